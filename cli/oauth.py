"""``connect --oauth``: the way through a browser and back to a port of this machine."""

from __future__ import annotations

import asyncio
import html
import threading
import webbrowser
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from cli.session import outbox
from cli.terminal import Exit, Failure, progress, say
from soldt_outbox.administration.merchants import Connected, Merchant, find_merchant
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import AuthorizationRefused
from soldt_outbox.oauth.client import OAuthClient, oauth_app
from soldt_outbox.oauth.connecting import (
    ConnectedByOAuth,
    begin_authorization,
    complete_authorization,
)
from soldt_outbox.oauth.protocol import STATE_LIFETIME, same_secret
from soldt_outbox.oauth.scopes import WHAT_FOR
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import BEARER
from soldt_outbox.settings import Settings

DEFAULT_PORT: Final = 8931  # a fixed one, since a redirect URI has to be registered at Omnisend
CALLBACK_PATH: Final = "/callback"
_HOST: Final = "127.0.0.1"  # not localhost, which may be another machine's name (RFC 8252 section 8.3)
_LAST_ANSWER_S: Final = 2.0  # for the browser to read its last page

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>soldt-outbox</title>
<p>{sentence}</p><p>You can close this window.</p></html>
"""


async def connect_by_oauth(
    settings: Settings,
    keys: KeyRing,
    named: str,
    *,
    port: int,
    browser: bool,
    currency: str | None,
    country: str | None,
) -> ConnectedByOAuth:
    """Connect a merchant by what its admin authorizes in a browser. Raises ``Failure`` and the library's errors."""
    app = oauth_app(settings)
    async with (
        outbox(settings) as database,
        OAuthClient(app) as oauth,
        OmnisendClient(settings.omnisend_base_url, BEARER) as omnisend,
        LoopbackDoor(port) as door,
    ):
        merchant = await find_merchant(database, named)
        query = await _through_the_browser(database, keys, oauth, door, merchant, browser=browser)
        try:
            with progress("asking Omnisend for the tokens"):
                connected = await complete_authorization(
                    database,
                    keys,
                    oauth,
                    omnisend,
                    query,
                    merchant_id=merchant.merchant_id,
                    currency=currency,
                    country_code=country,
                )
        except AuthorizationRefused as refused:
            door.answer(f"Nothing was connected: {refused}.")
            raise
        door.answer(f"{merchant} is connected to {connected.brand_name or 'its brand'}.")
        return connected


async def _through_the_browser(
    database: AsyncDatabase,
    keys: KeyRing,
    oauth: OAuthClient,
    door: LoopbackDoor,
    merchant: Merchant,
    *,
    browser: bool,
) -> dict[str, str]:
    """The query with which the browser came back."""
    authorization = await begin_authorization(
        database, keys, oauth.app, merchant.merchant_id, redirect_uri=door.redirect_uri
    )
    say(f"to connect {merchant}, sign in to its brand at Omnisend:")
    say(authorization.url)
    if browser:
        # On a thread that nobody waits for: a browser of the terminal keeps it until it is closed.
        threading.Thread(target=webbrowser.open, args=[authorization.url], daemon=True).start()
    minutes = STATE_LIFETIME.total_seconds() / 60
    try:
        with progress(f"waiting for the browser to come back from Omnisend, up to {minutes:.0f} minutes"):
            async with asyncio.timeout(STATE_LIFETIME.total_seconds()):
                return await door.redirected(authorization.state)
    except TimeoutError:
        raise Failure(
            f"nobody came back from Omnisend within {minutes:.0f} minutes; nothing was stored"
        ) from None


class LoopbackDoor:
    """Listens on 127.0.0.1 for the one redirect that brings the state, whoever else may call."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=_LAST_ANSWER_S
        )
        self._state: str | None = None
        self._query: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._sentence: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def redirect_uri(self) -> str:
        return f"http://{_HOST}:{self._port}{CALLBACK_PATH}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _HOST, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Failure(
                f"port {self._port} of {_HOST} cannot be listened on ({error.strerror}): say another with --port, "
                "one that Omnisend knows of this client",
                Exit.USAGE,
            ) from None
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer("Something went wrong: the command says what.")
        await self._runner.cleanup()

    async def redirected(self, state: str) -> dict[str, str]:
        """Wait for the redirect with this state; its query. The browser waits for ``answer``."""
        self._state = state
        return await self._query

    def answer(self, sentence: str) -> None:
        """What the browser shows in the end. The first sentence counts."""
        if not self._sentence.done():
            self._sentence.set_result(sentence)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if request.method != "GET" or request.path != CALLBACK_PATH:
            return _page("There is nothing here.", status=404)
        if self._state is None or not same_secret(request.query.get("state", ""), self._state):
            return _page("This is not what was waited for.", status=400)
        if self._query.done():
            return _page("This authorization was completed before.", status=400)
        self._query.set_result(dict(request.query))
        return _page(await asyncio.shield(self._sentence), status=200)


def _page(sentence: str, *, status: int) -> web.Response:
    page = web.Response(
        status=status,
        text=_PAGE.format(sentence=html.escape(sentence)),
        content_type="text/html",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'",
            "Referrer-Policy": "no-referrer",  # the address holds the code
        },
    )
    page.force_close()
    return page


def say_what_is_missing(connected: Connected) -> None:
    """Warn of scopes that something needs and that were not granted, before it needs them. A key has none to speak of."""
    if isinstance(connected, ConnectedByOAuth):
        say(f"scopes granted: {', '.join(connected.scopes) or 'none'}")
        for scope in connected.missing_scopes:
            if scope in WHAT_FOR:
                say(f"warning: {scope} was not granted, so this will not work: {WHAT_FOR[scope]}")
