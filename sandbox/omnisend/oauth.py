"""OAuth 2.0 as Omnisend offers it: clients, codes, tokens, and whom a token belongs to.

Sources: DOCS/reference/oauth, where DOCS is https://api-docs.omnisend.com, RFC 6749 for everything it does not say,
RFC 7636 for PKCE, RFC 7009 for revocation, and RFC 9700 (section 4.14.2) for what a refresh token's second use means.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from sandbox.omnisend.brands import NOBODY, Brands, Caller
from sandbox.omnisend.model import Settings
from sandbox.omnisend.views import GrantView, OAuthClient, OAuthView

SCOPES: Final = frozenset(
    {
        *(
            f"{resource}.{what}"
            for resource in (
                "contacts",
                "products",
                "events",
                "brands",
                "automations",
                "campaigns",
                "segments",
                "email-templates",
                "images",
                "forms",
                "brand-assets",
            )
            for what in ("read", "write")
        ),
        "accounts.write",
        "sessions.write",
        "reports.read",
        "analytics.read",
    }
)
"""DOCS/reference/oauth; orders and carts have none, for they are events."""
_CODE_LIFETIME_S: Final = 600.0
"""RFC 6749, section 4.1.2: "a maximum authorization code lifetime of 10 minutes is recommended"."""

ErrorCode = Literal[
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "unsupported_grant_type",
    "unsupported_response_type",
]


class OAuthError(Exception):
    """A request that is refused; `code` is one of RFC 6749's, the message never holds a secret."""

    def __init__(self, code: ErrorCode, description: str) -> None:
        super().__init__(description)
        self.code: ErrorCode = code
        self.description = description


@dataclass(eq=False)
class Grant:
    """What a merchant has allowed a client; all tokens of one approval belong to it."""

    brand_id: str
    client_id: str
    scopes: frozenset[str]
    revoked: bool = False
    refreshes: int = 0
    reuses: int = 0
    """How often a refresh token came that had been replaced."""


@dataclass(eq=False)
class _Code:
    grant: Grant
    redirect_uris: frozenset[str]
    """As the client sent it, and as it was after the way through the login."""
    challenge: str | None
    expires_at: float
    used: bool = False


@dataclass(eq=False)
class _Access:
    grant: Grant
    expires_at: float
    scopes: frozenset[str]
    revoked: bool = False


@dataclass(eq=False)
class _Refresh:
    grant: Grant
    replaced: bool = False


@dataclass(frozen=True)
class Tokens:
    """An answer of the token endpoint; without a refresh token the client keeps the one it has."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    scopes: frozenset[str]


class OAuth:
    """The authorization server's state."""

    def __init__(self, settings: Callable[[], Settings], brands: Callable[[], Brands]) -> None:
        self._settings = settings
        self._brands = brands
        self._clients: dict[str, OAuthClient] = {}
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._grants: list[Grant] = []
        self._refused: Counter[str] = Counter()
        self._signed_in: str | None = None

    def add_client(self, client: OAuthClient) -> None:
        self._clients[client.client_id] = client

    def client(self, client_id: str) -> OAuthClient | None:
        return self._clients.get(client_id)

    def sign_in(self, brand_id: str) -> None:
        """Whose browser it is that comes to the authorize endpoint from now on.

        Raises:
            ValueError: there is no such brand.
        """
        if brand_id not in self._brands().by_id:
            raise ValueError(f"there is no brand {brand_id[:40]!r}")
        self._signed_in = brand_id

    def signed_in(self) -> str | None:
        """The brand whose merchant approves: the one signed in, else the only one there is."""
        if self._signed_in is not None:
            return self._signed_in
        known = list(self._brands().by_id)
        return known[0] if len(known) == 1 else None

    def approve(
        self,
        client: OAuthClient,
        brand_id: str,
        scopes: frozenset[str],
        *,
        redirect_uris: frozenset[str],
        challenge: str | None,
    ) -> str:
        """The merchant says yes: a code for the client."""
        code = secrets.token_urlsafe(24)
        grant = Grant(brand_id, client.client_id, scopes)
        expires_at = time.monotonic() + _CODE_LIFETIME_S
        self._codes[code] = _Code(grant, redirect_uris, challenge, expires_at)
        return code

    def exchange(self, client: OAuthClient, code: str, redirect_uri: str, verifier: str | None) -> Tokens:
        """Tokens for a code.

        Raises:
            OAuthError: the code is not this client's, used, too old, or was asked for in another way.
        """
        known = self._codes.get(code)
        if known is None or known.grant.client_id != client.client_id:
            raise OAuthError("invalid_grant", "The code is not known")
        if known.used:
            known.grant.revoked = True  # RFC 6749, section 4.1.2: "SHOULD revoke (when possible) all tokens"
            raise OAuthError("invalid_grant", "The code was used before")
        if time.monotonic() > known.expires_at:
            raise OAuthError("invalid_grant", "The code has expired")
        if redirect_uri not in known.redirect_uris:
            raise OAuthError("invalid_grant", "The redirect_uri is not that of the authorization")
        if not _proves(verifier, known.challenge):
            raise OAuthError("invalid_grant", "The code_verifier does not fit the code_challenge")
        known.used = True
        self._grants.append(known.grant)
        return self._issue(known.grant, known.grant.scopes, with_refresh=True)

    def refresh(self, client: OAuthClient, token: str, scopes: frozenset[str] | None) -> Tokens:
        """Another access token; with `rotate_refresh_tokens` another refresh token too, and the old one is spent.

        Raises:
            OAuthError: the token is not this client's, revoked or spent; spent ones revoke the whole grant.
        """
        known = self._refresh.get(token)
        if known is None or known.grant.client_id != client.client_id:
            raise OAuthError("invalid_grant", "The refresh token is not known")
        grant = known.grant
        if known.replaced:
            grant.reuses += 1
            grant.revoked = True
        if grant.revoked:
            self._refused[grant.brand_id] += 1
            raise OAuthError("invalid_grant", "The refresh token is revoked or was used before")
        if scopes is not None and not scopes <= grant.scopes:
            raise OAuthError("invalid_scope", "More is asked for than was granted")
        grant.refreshes += 1
        rotate = self._settings().rotate_refresh_tokens
        known.replaced = rotate
        return self._issue(grant, scopes or grant.scopes, with_refresh=rotate)

    def _issue(self, grant: Grant, scopes: frozenset[str], *, with_refresh: bool) -> Tokens:
        lifetime = self._settings().token_expires_in
        access = secrets.token_urlsafe(32)
        self._access[access] = _Access(grant, time.monotonic() + lifetime, scopes)
        refresh = secrets.token_urlsafe(32) if with_refresh else None
        if refresh is not None:
            self._refresh[refresh] = _Refresh(grant)
        return Tokens(access, refresh, lifetime, scopes)

    def revoke(self, client: OAuthClient, token: str) -> None:
        """Revoke an access token, or with a refresh token the whole grant; an unknown one is none (RFC 7009)."""
        access, refresh = self._access.get(token), self._refresh.get(token)
        if access is not None and access.grant.client_id == client.client_id:
            access.revoked = True
        if refresh is not None and refresh.grant.client_id == client.client_id:
            refresh.grant.revoked = True

    def expire_tokens(self, brand_id: str) -> None:
        """Let the access tokens of a brand expire now."""
        for one in self._access.values():
            if one.grant.brand_id == brand_id:
                one.expires_at = time.monotonic()

    def disconnect(self, brand_id: str) -> None:
        """The merchant takes back what was granted, in Omnisend's own pages."""
        for grant in self._grants:
            if grant.brand_id == brand_id:
                grant.revoked = True

    def caller(self, token: str) -> Caller:
        """Who an access token belongs to; without permissions when it opens nothing any more."""
        known = self._access.get(token)
        if known is None:
            return NOBODY
        brand = self._brands().by_id.get(known.grant.brand_id)
        dead = known.revoked or known.grant.revoked or time.monotonic() >= known.expires_at
        return Caller(brand, None if dead else known.scopes, "Bearer ****", by_token=True)

    def brand_of(self, secret: str) -> str | None:
        """The brand a code or refresh token is of."""
        known = self._codes.get(secret) or self._refresh.get(secret)
        return known.grant.brand_id if known is not None else None

    def secrets(self) -> Iterator[str]:
        """Everything that must never be shown."""
        yield from self._codes
        yield from self._access
        yield from self._refresh
        yield from (one.client_secret for one in self._clients.values() if one.client_secret)

    def view(self) -> OAuthView:
        refreshes: Counter[str] = Counter()
        for grant in self._grants:
            refreshes[grant.brand_id] += grant.refreshes
        return OAuthView(
            refreshes=dict(refreshes),
            refused_refreshes=dict(self._refused),
            grants=[
                GrantView(
                    brand=one.brand_id,
                    client_id=one.client_id,
                    scopes=sorted(one.scopes),
                    revoked=one.revoked,
                    refreshes=one.refreshes,
                    reuses=one.reuses,
                )
                for one in self._grants
            ],
        )

    def forget_counts(self) -> None:
        self._refused.clear()
        for grant in self._grants:
            grant.refreshes = grant.reuses = 0


def _proves(verifier: str | None, challenge: str | None) -> bool:
    """Whether a verifier is the one a challenge was made of (RFC 7636, S256); without a challenge there is none."""
    if challenge is None or verifier is None:
        return challenge is verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return secrets.compare_digest(made, challenge)
