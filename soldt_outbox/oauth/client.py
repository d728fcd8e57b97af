"""Omnisend's token endpoint over HTTP: exchange, refresh, revoke. No error and no log holds a code or a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

import httpx

from soldt_outbox.errors import TokenRefused, TokenUnavailable
from soldt_outbox.oauth.protocol import (
    REVOKE_PATH,
    TOKEN_PATH,
    Grant,
    OAuthApp,
    parse_error,
    parse_grant,
)
from soldt_outbox.omnisend.client import USER_AGENT
from soldt_outbox.omnisend.transport import AiohttpTransport
from soldt_outbox.settings import Settings

REQUEST_TIMEOUT: Final = timedelta(seconds=10)
_MAX_CONNECTIONS: Final = 4  # a merchant's token is refreshed once in its life


def oauth_app(settings: Settings) -> OAuthApp:
    """This installation's registration. Raises ``ConfigurationError`` where there is none."""
    return OAuthApp(
        url=settings.omnisend_oauth_url,
        client_id=settings.omnisend_oauth_client_id,
        client_secret=settings.omnisend_oauth_client_secret.get_secret_value() or None,
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class OAuthClient:
    """Asks the token endpoint of one app. An answer is at most 64 kB long, and takes at most ten seconds."""

    def __init__(
        self,
        app: OAuthApp,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: timedelta = REQUEST_TIMEOUT,
    ) -> None:
        self.app = app
        self._transport = transport or AiohttpTransport(timeout=timeout, max_connections=_MAX_CONNECTIONS)

    def __repr__(self) -> str:
        return f"OAuthClient({self.app.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection. Requests under way fail."""
        await self._transport.aclose()

    async def exchange(self, code: str, *, redirect_uri: str, code_verifier: str) -> Grant:
        """The tokens for an authorization code, which can be used once.

        Raises ``TokenRefused``, ``MalformedAnswer`` or ``TokenUnavailable``.
        """
        return await self._grant(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": code_verifier,
            }
        )

    async def refresh(self, refresh_token: str) -> Grant:
        """New tokens. The refresh token may be used up by it. Raises as ``exchange`` does."""
        return await self._grant({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def revoke(self, token: str, *, hint: str) -> None:
        """End a token (RFC 7009), which succeeds for one that has ended already. ``hint`` is its kind.

        Raises ``TokenRefused`` or ``TokenUnavailable``.
        """
        answer = await self._post(REVOKE_PATH, {"token": token, "token_type_hint": hint})
        if not 200 <= answer.status < 300:
            raise _refusal(answer)

    async def _grant(self, form: Mapping[str, str]) -> Grant:
        answer = await self._post(TOKEN_PATH, form)
        if answer.status != 200:
            raise _refusal(answer)
        return parse_grant(answer.body)

    async def _post(self, path: str, form: Mapping[str, str]) -> _Answer:
        # The secret goes into the body (client_secret_post), one of the three ways that Omnisend lists for clients.
        secret = self.app.client_secret
        fields = {**form, "client_id": self.app.client_id} | ({"client_secret": secret} if secret else {})
        request = httpx.Request(
            "POST",
            self.app.endpoint(path),
            headers={
                "user-agent": USER_AGENT,
                "accept": "application/json",
                "accept-encoding": "identity",
                "content-type": "application/x-www-form-urlencoded",
            },
            content=urlencode(fields).encode(),
        )
        try:
            response = await self._transport.handle_async_request(request)
            return _Answer(response.status_code, await response.aread())
        except (httpx.TransportError, httpx.StreamError) as error:
            # Without its cause: httpx's errors hold the request, and with it the secrets.
            raise TokenUnavailable(
                f"Omnisend's token endpoint cannot be reached ({type(error).__name__})"
            ) from None


def _refusal(answer: _Answer) -> TokenRefused | TokenUnavailable:
    code = parse_error(answer.body)
    if code is not None and 400 <= answer.status < 500 and answer.status != 429:
        return TokenRefused(code)
    return TokenUnavailable(f"Omnisend's token endpoint answered {answer.status}")
