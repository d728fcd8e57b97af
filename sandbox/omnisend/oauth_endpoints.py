"""`/oauth2/authorize`, `/oauth2/token` and `/oauth2/revoke`: the requests, their checks and the form of the answers."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlencode

import msgspec

from sandbox.omnisend.answers import Answer, documented
from sandbox.omnisend.dialect import Headers
from sandbox.omnisend.model import Finding
from sandbox.omnisend.oauth import SCOPES, OAuthError, Tokens
from sandbox.omnisend.views import OAuthClient
from sandbox.omnisend.world import World

PREFIX: Final = "/oauth2/"
_METHODS: Final = {"/oauth2/authorize": "GET", "/oauth2/token": "POST", "/oauth2/revoke": "POST"}
_AUTHORIZE: Final = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
)
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_UNSTORED: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


class OAuthRequest:
    """A request to one of the endpoints; `found` is what was odd about it."""

    def __init__(self, method: str, raw_path: str, headers: Headers, body: bytes) -> None:
        self.method = method
        self.path, _, query = raw_path.partition("?")
        self.headers = headers
        self.found: list[Finding] = []
        content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self._is_form = content_type == "application/x-www-form-urlencoded"
        raw = query if method == "GET" else body.decode("utf-8", "replace") if self._is_form else ""
        self._given = parse_qsl(raw, keep_blank_values=True)
        self.values = {name: value for name, value in self._given if value}

    def check(self) -> None:
        """Raises OAuthError where the form of the request is wrong (RFC 6749, sections 3.1 and 3.2)."""
        names = [name for name, _ in self._given]
        if len(names) != len(set(names)):
            raise OAuthError("invalid_request", "A parameter is given more than once")
        if self.method == "POST" and not self._is_form:
            raise OAuthError("invalid_request", "The body must be application/x-www-form-urlencoded")

    def needed(self, name: str) -> str:
        value = self.values.get(name)
        if value is None:
            raise OAuthError("invalid_request", f"The parameter {name} is missing")
        return value

    def secret(self) -> str | None:
        """The code or refresh token it is about."""
        return self.values.get("refresh_token") or self.values.get("code")


def answer(request: OAuthRequest, world: World) -> Answer:
    """What the authorization server answers."""
    method = _METHODS.get(request.path)
    if method is None:
        return documented(404)
    if request.method != method:
        return documented(405, (("Allow", method),))
    if request.path == "/oauth2/authorize":
        return _authorize(request, world)
    try:
        request.check()
        client = _client(request, world)
        if request.path == "/oauth2/revoke":
            world.oauth.revoke(client, request.needed("token"))
            return Answer(200, headers=_UNSTORED)
        return _shown(_tokens(request, client, world))
    except OAuthError as error:
        return _refused(error, request.headers)


def _authorize(request: OAuthRequest, world: World) -> Answer:
    """Send the browser back with a code or an error; to an address that is not the client's, never."""
    client = world.oauth.client(request.values.get("client_id", ""))
    asked = request.values.get("redirect_uri", "")
    if client is None or asked not in client.redirect_uris:
        error = OAuthError("invalid_request", "client_id or redirect_uri is not known")
        return _refused(error, {})
    # Omnisend puts redirect_uri unencoded into the URL its login leads on to, where an ampersand ends it
    # (wp-omnisend 0fde32d4): of a query of its own the first parameter comes back, the others do not.
    back = asked.partition("&")[0]
    if back != asked:
        request.found.append(
            Finding("ignored", "redirect_uri_truncated", "redirect_uri", "loses all but its first parameter")
        )
    _note_odd(request)
    state = {"state": request.values["state"]} if "state" in request.values else {}
    try:
        request.check()
        answered = {"code": _approved(request, client, world, frozenset({asked, back}))}
    except OAuthError as error:
        answered = {"error": error.code, "error_description": error.description}
    joint = "&" if "?" in back else "?"
    return Answer(302, headers=(("Location", f"{back}{joint}{urlencode(answered | state)}"), *_UNSTORED))


def _note_odd(request: OAuthRequest) -> None:
    if "state" not in request.values:
        request.found.append(
            Finding("ignored", "state_missing", "state", "protects the merchant against a forged answer")
        )
    for name in request.values.keys() - _AUTHORIZE:
        request.found.append(
            Finding("ignored", "query_unknown", name[:100], "is no parameter of this endpoint")
        )


def _approved(request: OAuthRequest, client: OAuthClient, world: World, redirect_uris: frozenset[str]) -> str:
    if request.needed("response_type") != "code":
        raise OAuthError("unsupported_response_type", "Only code is supported")
    scopes = _scopes(request.needed("scope"))
    challenge = request.values.get("code_challenge")
    if challenge is None and client.client_secret is None:
        raise OAuthError("invalid_request", "A client without a secret must send a code_challenge")
    if challenge is not None:
        # RFC 7636: without a method it is "plain", which Omnisend does not offer.
        if request.values.get("code_challenge_method") != "S256":
            raise OAuthError("invalid_request", "The code_challenge_method must be S256")
        if _CHALLENGE.fullmatch(challenge) is None:
            raise OAuthError("invalid_request", "The code_challenge is no SHA-256 in base64url")
    brand_id = world.oauth.signed_in()
    if brand_id is None or world.settings.oauth_refuses:
        raise OAuthError("access_denied", "The merchant did not approve")
    return world.oauth.approve(client, brand_id, scopes, redirect_uris=redirect_uris, challenge=challenge)


def _scopes(raw: str) -> frozenset[str]:
    scopes = frozenset(raw.split(" "))
    if not scopes <= SCOPES:
        raise OAuthError("invalid_scope", "A scope is not known; they are separated by spaces")
    return scopes


def _tokens(request: OAuthRequest, client: OAuthClient, world: World) -> Tokens:
    match request.needed("grant_type"):
        case "authorization_code":
            return world.oauth.exchange(
                client,
                request.needed("code"),
                request.needed("redirect_uri"),
                request.values.get("code_verifier"),
            )
        case "refresh_token":
            scope = request.values.get("scope")
            return world.oauth.refresh(
                client, request.needed("refresh_token"), None if scope is None else _scopes(scope)
            )
        case _:
            raise OAuthError(
                "unsupported_grant_type", "Only authorization_code and refresh_token are supported"
            )


def _client(request: OAuthRequest, world: World) -> OAuthClient:
    """The client, by HTTP Basic, by client_secret in the body, or, if it has no secret, by its id alone."""
    basic = _basic(request.headers)
    posted = request.values.get("client_secret")
    if basic is not None and posted is not None:
        raise OAuthError("invalid_request", "The client authenticates in two ways at once")
    client_id, secret = basic if basic is not None else (request.values.get("client_id", ""), posted)
    client = world.oauth.client(client_id)
    if client is None or not secrets.compare_digest(client.client_secret or "", secret or ""):
        raise OAuthError("invalid_client", "The client is not known or its secret is wrong")
    return client


def _basic(headers: Headers) -> tuple[str, str] | None:
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise OAuthError("invalid_client", "The Authorization header cannot be read") from None
    return unquote_plus(client_id), unquote_plus(secret)  # encoded as in a form (RFC 6749, section 2.3.1)


def _shown(tokens: Tokens) -> Answer:
    content: dict[str, str | int] = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "scope": " ".join(sorted(tokens.scopes)),
    }
    if tokens.refresh_token is not None:
        content["refresh_token"] = tokens.refresh_token
    return Answer(200, msgspec.json.encode(content), headers=_UNSTORED)


def _refused(error: OAuthError, headers: Mapping[str, str]) -> Answer:
    """RFC 6749, section 5.2: 400, and 401 for a client that is not let in, with a challenge if it tried Basic."""
    content = msgspec.json.encode({"error": error.code, "error_description": error.description})
    if error.code != "invalid_client":
        return Answer(400, content, headers=_UNSTORED)
    tried_basic = headers.get("Authorization", "").lower().startswith("basic ")
    challenge = (("WWW-Authenticate", 'Basic realm="Omnisend"'),) if tried_basic else ()
    return Answer(401, content, headers=(*_UNSTORED, *challenge))
