"""Omnisend's OAuth endpoints and just enough of its API to use a token, strict about what a client must do.

Refresh tokens are used up by use, as the strictest servers have it: whoever sends one twice is refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from aiohttp import web

from sandbox.background import BackgroundLoop

CLIENT_ID = "client-of-the-tests"
CLIENT_SECRET = "opens-nothing"
BRAND_ID = "5f0000000000000000000abc"
PATIENCE_S = 20.0


@dataclass
class Rules:
    """How the server behaves; a test changes them as it goes."""

    lifetime: object = 3_600
    scope: str | None = None  # instead of what was asked for
    says_scope: bool = True
    gives_refresh_token: bool = True
    declines: bool = False
    refresh_error: str | None = None
    status: int | None = None  # instead of any answer of the token endpoint
    revoke_status: int = 200
    brand_status: int = 200


@dataclass
class _Code:
    redirect_uri: str
    challenge: str
    scope: str


@dataclass
class OAuthServer:
    """``async with OAuthServer() as server``: ``server.url`` is OMNISEND_OAUTH_URL and OMNISEND_BASE_URL in one."""

    rules: Rules = field(default_factory=Rules)
    url: str = ""
    forms: list[dict[str, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    sent_with: list[str] = field(default_factory=list)
    access: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=set)
    codes: dict[str, _Code] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._asked = asyncio.Condition()
        self._holding = False
        self._held: list[asyncio.Event] = []
        self.hung_up = asyncio.Event()  # who was held is gone, and what it asked for was not done
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/oauth2/authorize", self._authorize),
                web.post("/oauth2/token", self._token),
                web.post("/oauth2/revoke", self._revoke),
                web.get("/api/brands/current", self._brand),
                web.post("/api/events", self._event),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        assert self._runner is not None
        await self._runner.cleanup()

    def hold(self) -> None:
        """Let the token endpoint read, and answer nobody until ``let_go``."""
        self._holding = True

    def let_go(self, number: int | None = None) -> None:
        """Answer all, now and from now on, or only the one that was held as number so and so, from 0."""
        if number is not None:
            self._held[number].set()
            return
        self._holding = False
        for held in self._held:
            held.set()

    async def asked(self, times: int) -> None:
        """Wait until the token endpoint was asked so often."""
        async with asyncio.timeout(PATIENCE_S), self._asked:
            await self._asked.wait_for(lambda: len(self.forms) >= times)

    @property
    def refreshes(self) -> int:
        return sum(form["grant_type"] == "refresh_token" for form in self.forms)

    def give(self, *, lifetime: object = None, refresh_token: bool = True) -> dict[str, object]:
        """A pair of tokens, or the first of them, as the token endpoint gives it."""
        number = next(self._numbers)
        access, refresh = f"access-{number}", f"refresh-{number}"
        self.access.add(access)
        given: dict[str, object] = {"access_token": access, "token_type": "bearer"}
        if lifetime is not None:
            given["expires_in"] = lifetime
        if refresh_token:
            self.refresh.add(refresh)
            given["refresh_token"] = refresh
        return given

    def _give(self) -> dict[str, object]:
        return self.give(lifetime=self.rules.lifetime, refresh_token=self.rules.gives_refresh_token)

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        if self.rules.declines:
            answer = {"error": "access_denied", "state": asked["state"]}
        else:
            code = f"code-{next(self._numbers)}"
            self.codes[code] = _Code(asked["redirect_uri"], asked["code_challenge"], asked["scope"])
            answer = {"code": code, "state": asked["state"]}
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-www-form-urlencoded"
        form = {name: str(value) for name, value in (await request.post()).items()}
        may_answer = asyncio.Event()
        if self._holding:
            self._held.append(may_answer)
        else:
            may_answer.set()
        async with self._asked:
            self.forms.append(form)
            self._asked.notify_all()
        try:
            await may_answer.wait()
        except asyncio.CancelledError:
            self.hung_up.set()
            raise
        if self.rules.status is not None:
            return web.Response(status=self.rules.status, text="<html>away</html>")
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _error("invalid_client", 401)
        if form["grant_type"] == "refresh_token":
            return self._refreshed(form)
        return self._exchanged(form)

    def _refreshed(self, form: dict[str, str]) -> web.Response:
        if self.rules.refresh_error is not None:
            return _error(self.rules.refresh_error)
        if form["refresh_token"] not in self.refresh:
            return _error("invalid_grant")
        if self.rules.gives_refresh_token:
            self.refresh.discard(form["refresh_token"])
        return web.json_response(self._give())

    def _exchanged(self, form: dict[str, str]) -> web.Response:
        code = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if code is None or (form["redirect_uri"], challenge) != (code.redirect_uri, code.challenge):
            return _error("invalid_grant")
        given = self._give()
        if self.rules.says_scope:
            given["scope"] = self.rules.scope or code.scope
        return web.json_response(given)

    async def _revoke(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self.rules.revoke_status == 200:
            self.revoked.append(str(form["token"]))
            self.access.discard(str(form["token"]))
            self.refresh.discard(str(form["token"]))
        return web.Response(status=self.rules.revoke_status)

    async def _brand(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if self.rules.brand_status != 200:
            return web.Response(status=self.rules.brand_status)
        return web.json_response({"brandID": BRAND_ID, "name": "Protea & Co"})

    async def _event(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        self.sent_with.append(request.headers["Authorization"])
        return web.json_response({}, status=202)

    def _refused(self, request: web.Request) -> web.Response | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = scheme == "Bearer" and token in self.access
        versioned = request.headers.get("Omnisend-Version") == "2026-03-15"
        return None if known and versioned else web.json_response({"status": 401}, status=401)


def _error(code: str, status: int = 400) -> web.Response:
    return web.json_response({"error": code, "error_description": "words of the server's"}, status=status)


@contextmanager
def oauth_server_in_background() -> Iterator[OAuthServer]:
    """The same on a loop of its own, for a test whose program has one too."""
    loop = BackgroundLoop("oauth")
    try:
        server = loop.run(_made())
        try:
            loop.run(server.__aenter__())
            yield server
        finally:
            loop.run(server.__aexit__(None, None, None))
    finally:
        loop.close()


async def _made() -> OAuthServer:
    return OAuthServer()  # on the loop that it will run on
