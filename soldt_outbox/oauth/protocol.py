"""OAuth 2.0 as Omnisend speaks it, without I/O: PKCE, state, the authorize URL, and what the token endpoint answers.

Sources: RFC 6749 (authorization code, refresh, error codes), RFC 7636 (PKCE), RFC 7009 (revocation), RFC 8252 (loopback
redirects), Omnisend's reference "OAuth". Where that contradicts itself, what Omnisend's WordPress plugin does decides: the
parameter is ``scope``, separated by blanks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from soldt_outbox.errors import ConfigurationError, OAuthError

AUTHORIZE_PATH: Final = "/oauth2/authorize"
TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path
REVOKE_PATH: Final = "/oauth2/revoke"

STATE_LIFETIME: Final = timedelta(seconds=900)  # as Omnisend's WordPress plugin has it
_RANDOM_BYTES: Final = 32  # of a state and of a verifier: 256 bits, what RFC 7636 section 7.1 recommends
# Omnisend's reference says that access tokens end with their revocation alone, and shows expires_in 9223372036 (292
# years). What is further away than this is no expiry, and is not put into a column where it could overflow.
_NEVER: Final = timedelta(days=3_650)


class ErrorCode(StrEnum):
    """RFC 6749's codes: section 4.1.2.1 for a redirect, section 5.2 for the token endpoint."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
    INVALID_SCOPE = "invalid_scope"
    ACCESS_DENIED = "access_denied"
    SERVER_ERROR = "server_error"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """This project's registration at Omnisend. Without a secret it is a public client, which PKCE alone protects."""

    url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises ``ConfigurationError`` for a missing client id, or a URL to which no secret may be sent."""
        if not self.client_id:
            raise ConfigurationError(
                "OMNISEND_OAUTH_CLIENT_ID is not set: Omnisend gives one to registered apps "
                "(its reference, OAuth, has the form); without one, connect by API key"
            )
        if not is_private(self.url) or urlsplit(self.url).path not in ("", "/"):
            raise ConfigurationError(
                "OMNISEND_OAUTH_URL must be a scheme and a host, such as https://app.omnisend.com "
                "(http only on the loopback): secrets are sent to it"
            )

    def endpoint(self, path: str) -> str:
        return self.url.rstrip("/") + path


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A fresh state and PKCE verifier. Both are secrets until the redirect has come back."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(_RANDOM_BYTES), repr=False)
    code_verifier: str = field(default_factory=lambda: secrets.token_urlsafe(_RANDOM_BYTES), repr=False)


def state_hash(state: str) -> bytes:
    """What is stored of a state: whoever reads the table cannot complete an authorization with it."""
    return hashlib.sha256(state.encode("utf-8", "replace")).digest()


def same_secret(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that does not tell how far they agree."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def code_challenge(code_verifier: str) -> str:
    """RFC 7636's S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(app: OAuthApp, challenge: Challenge, *, redirect_uri: str, scopes: tuple[str, ...]) -> str:
    """Where a merchant's admin says yes. Holds the state, and no other secret."""
    query = urlencode(
        {
            "response_type": "code",
            "client_id": app.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(scopes),
            "state": challenge.state,
            "code_challenge": code_challenge(challenge.code_verifier),
            "code_challenge_method": "S256",
        }
    )
    return f"{app.endpoint(AUTHORIZE_PATH)}?{query}"


def checked_redirect_uri(redirect_uri: str) -> str:
    """``redirect_uri``, or ``ConfigurationError`` where Omnisend cannot or should not send anybody there.

    It has no query: Omnisend repeats the redirect URI unencoded, and what stands behind the first ``&`` of its query is
    lost (seen and avoided by Omnisend's WordPress plugin).
    """
    if "?" in redirect_uri or "#" in redirect_uri:
        raise ConfigurationError("the redirect URI must have no query and no fragment: Omnisend loses them")
    if not is_private(redirect_uri):
        raise ConfigurationError("the redirect URI must begin with https:// (http only on the loopback)")
    return redirect_uri


def is_private(url: str) -> bool:
    """Whether what is sent there cannot be read on the way: https, or http on the loopback; no user, no query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class MalformedAnswer(OAuthError):  # noqa: N818 - the field's word
    """The token endpoint's answer holds no token that can be used. The message repeats nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the token endpoint gave.

    ``lifetime`` is ``None`` where the token ends with its revocation alone; ``refresh_token`` and ``scopes`` are
    ``None`` where nothing was said of them: then what was known before holds (RFC 6749 sections 5.1 and 6).
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    lifetime: timedelta | None
    scopes: tuple[str, ...] | None


class _TokenAnswer(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a scheme
    refresh_token: str | None = None
    expires_in: Any = None
    scope: str | None = None


class _ErrorAnswer(msgspec.Struct):
    error: str


def parse_grant(body: bytes) -> Grant:
    """The grant that an answer of status 200 holds. Raises ``MalformedAnswer``."""
    try:
        answer = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise MalformedAnswer("Omnisend's token endpoint answered something that holds no token") from None
    if answer.token_type.lower() != "bearer":
        raise MalformedAnswer("Omnisend's token endpoint gave a token of another type than Bearer")
    if not usable(answer.access_token) or not (answer.refresh_token is None or usable(answer.refresh_token)):
        raise MalformedAnswer(
            "Omnisend's token endpoint gave a token with characters that cannot stand in a header"
        )
    return Grant(
        access_token=answer.access_token,
        refresh_token=answer.refresh_token,
        lifetime=_lifetime(answer.expires_in),
        scopes=None if answer.scope is None else tuple(answer.scope.split()),
    )


def usable(secret: str) -> bool:
    """Whether a token can be sent: visible ASCII, as RFC 6749 appendix A has it."""
    return bool(secret) and all("!" <= character <= "~" for character in secret)


def _lifetime(expires_in: Any) -> timedelta | None:
    """``expires_in`` in seconds; ``None`` where it is absent or so far away that it never comes."""
    if expires_in is None:
        return None
    try:
        seconds = float(expires_in) if not isinstance(expires_in, bool) else 0.0
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:  # NaN too
        raise MalformedAnswer("Omnisend's token endpoint gave an expires_in that is no number of seconds")
    return None if seconds > _NEVER.total_seconds() else timedelta(seconds=seconds)


def parse_error(body: bytes) -> ErrorCode | None:
    """The code that an error answer holds, if it is one of RFC 6749's. The description is Omnisend's, and is not used."""
    try:
        return ErrorCode(msgspec.json.decode(body, type=_ErrorAnswer).error)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
