"""The stand-in as an object: starts the server, registers brands, orders faults, tells what came in."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from sandbox.omnisend import breakage, control
from sandbox.omnisend.api import Api
from sandbox.omnisend.brands import BrandKey, new_brand_id, new_key
from sandbox.omnisend.faults import AT_CONNECT, Target
from sandbox.omnisend.model import BrandSpec, Fault, FaultView, KeySpec, Received, Settings, Summary, WaitFor
from sandbox.omnisend.views import (
    BatchView,
    CategoryView,
    ContactsView,
    ContactView,
    OAuthClient,
    OAuthView,
    ProductView,
    Unsubscribe,
)
from sandbox.omnisend.world import World

_KEEPALIVE_S: Final = 75.0
_BACKLOG: Final = 1024
_SHUTDOWN_S: Final = 1.0


class StandInTimeout(TimeoutError):  # noqa: N818 - what is waited for did not happen; a kind of TimeoutError
    """What was waited for did not come; the message says how far it got."""


class _ApiServer(web.Server):
    """aiohttp's low-level server, with faults that hit a connection before anything is read from it."""

    def __init__(self, handler: Any, world: World) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            handler_cancellation=True,  # a hang ends when its client hangs up
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=1.0,
        )
        self._world = world

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        faults = self._world.faults
        if faults and faults.pick(AT_CONNECT, Target()) is not None:
            breakage.reset_transport(transport)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        settings = self._world.settings
        most = max(settings.max_body_bytes, settings.max_batch_bytes)
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=most + 1)

    def hang_up(self) -> None:
        """Reset every open connection."""
        for connection in self.connections:
            if connection.transport is not None:
                breakage.reset_transport(connection.transport)


class OmnisendStandIn:
    """An Omnisend of one's own on the loopback interface.

    `url` speaks Omnisend's API and the control endpoints; `control_url` is a second listener for the latter, which
    faults and a refused connection leave alone.

        async with OmnisendStandIn() as omnisend:
            brand = omnisend.add_brand()
            ...  # let something post to omnisend.url with brand.key
            await omnisend.wait_for(3)
            assert [one.event_name for one in omnisend.received()] == [...]
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the stand-in is for this machine only; {host} is not a loopback address")
        self._host = host
        self._ports = [port, control_port]
        self._world = World(settings or Settings())
        self._control = control.Control(self._world, self._urls, self._listen)
        self._api = Api(self._world)
        self._runners: list[web.ServerRunner] = []
        self._api_server: _ApiServer | None = None
        self._site: web.TCPSite | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; with port 0 the system picks one, which `url` tells."""
        self._api_server = _ApiServer(self._handle, self._world)
        servers = (self._api_server, web.Server(self._handle_control, access_log=None))
        for index, server in enumerate(servers):
            runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            self._runners.append(runner)
            site = web.TCPSite(runner, self._host, self._ports[index], backlog=_BACKLOG)
            await site.start()
            self._ports[index] = runner.addresses[0][1]
            self._site = self._site or site

    async def stop(self) -> None:
        self._world.release()
        self._world.batches.clear()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self._site = self._api_server = None

    @property
    def url(self) -> str:
        """Where Omnisend's API is, without a slash at the end."""
        return self._url_of(self._ports[0])

    @property
    def control_url(self) -> str:
        return self._url_of(self._ports[1])

    def _url_of(self, port: int) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}"

    def _urls(self) -> dict[str, str]:
        return {"url": self.url, "control_url": self.control_url}

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        if raw.raw_path.startswith(control.PREFIX):
            return await self._control.handle(raw)
        return await self._api.handle(raw)

    async def _handle_control(self, raw: web.BaseRequest) -> web.StreamResponse:
        return await self._control.handle(raw)

    async def _listen(self, accept: bool) -> None:
        await (self.accept_connections() if accept else self.refuse_connections())

    async def refuse_connections(self) -> None:
        """Stop listening and reset the connections there are: to clients, a server that is down."""
        if self._site is not None and self._api_server is not None:
            await self._site.stop()
            self._site = None
            self._api_server.hang_up()

    async def accept_connections(self) -> None:
        """Listen again, on the same port."""
        if self._site is None:
            self._site = web.TCPSite(
                self._runners[0], self._host, self._ports[0], backlog=_BACKLOG, reuse_address=True
            )
            await self._site.start()

    @property
    def settings(self) -> Settings:
        return self._world.settings

    def change_settings(self, **changes: Any) -> None:
        """Change settings by name; takes effect with the next request."""
        self._world.change(control.changed(self._world.settings, changes))

    def add_brand(
        self,
        brand_id: str | None = None,
        *,
        key: str | None = None,
        permissions: list[str] | None = None,
        **more: Any,
    ) -> BrandKey:
        """Register a brand with one key; what is not given is made up, and more is as in BrandSpec.

        Raises:
            BrandError: the id or the key is not of Omnisend's form.
        """
        known = brand_id or (key.partition("-")[0] if key is not None else new_brand_id())
        opens = key or new_key(known)
        self._world.brands.register(BrandSpec(brandID=known, keys=[KeySpec(opens, permissions)], **more))
        return BrandKey(known, opens)

    def change_brand(self, spec: BrandSpec) -> None:
        """Change a brand; `keys=[]` revokes its keys, other keys replace them."""
        self._world.brands.register(spec)

    def add_fault(self, fault: Fault) -> int:
        return self._world.faults.add(fault)

    def clear_faults(self) -> None:
        self._world.faults.clear()

    def faults(self) -> list[FaultView]:
        return self._world.faults.views()

    def release(self) -> None:
        """Reset the connections of the requests that hang."""
        self._world.release()

    def reset(self, *, brands: bool = False) -> None:
        """Forget what came in and the faults; the brands stay unless said."""
        self._world.reset(brands=brands)

    def received(
        self, *, brand: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Received]:
        """Requests in order of arrival, as far as they are kept."""
        most = limit if limit is not None else self._world.settings.max_stored
        return self._world.journal.page(brand, after, most).received

    def summary(self) -> Summary:
        return self._world.journal.summary()

    def contacts(self, brand: str | None = None) -> ContactsView:
        """The contacts of a brand, or of all, with their statuses and the welcome messages they got."""
        return self._world.contacts_view(brand)

    def products(self, brand: str) -> list[ProductView]:
        """All products of a brand as they were last sent."""
        return self._world.products_page(brand, 0, sys.maxsize).products

    def categories(self, brand: str) -> list[CategoryView]:
        return self._world.categories_view(brand)

    def batches(self, brand: str | None = None) -> list[BatchView]:
        """The batches of a brand, or of all, with the response codes of their items."""
        return self._world.batches_view(brand)

    def oauth(self) -> OAuthView:
        """What merchants have granted to applications, and how often tokens were refreshed."""
        return self._world.oauth.view()

    def add_oauth_client(self, client: OAuthClient) -> None:
        """Register an application that merchants can connect."""
        self._world.oauth.add_client(client)

    def sign_in(self, brand: str) -> None:
        """Let the merchant of a brand be the one whose browser comes to the authorize endpoint."""
        self._world.oauth.sign_in(brand)

    def expire_tokens(self, brand: str) -> None:
        """Let the access tokens of a brand expire now."""
        self._world.oauth.expire_tokens(brand)

    def disconnect(self, brand: str) -> None:
        """Let the merchant of a brand take back what was granted."""
        self._world.oauth.disconnect(brand)

    def unsubscribe(self, brand: str, *, email: str | None = None, phone: str | None = None) -> ContactView:
        """Let the person click "unsubscribe" in a message; ValueError if the brand has no such contact."""
        return self._world.unsubscribe(Unsubscribe(brand=brand, email=email, phone=phone))

    def arrivals(self) -> list[float]:
        return self._world.journal.arrivals()

    async def wait_for(
        self, count: int, *, of: WaitFor = "accepted", brand: str | None = None, timeout_s: float = 30.0
    ) -> int:
        """Wait until so many requests are received, events accepted or different events accepted.

        Raises:
            StandInTimeout: they did not come in time.
        """
        journal = self._world.journal
        if not await journal.wait(count, of, brand, timeout_s):
            raise StandInTimeout(f"{journal.count(of, brand)} of {count} {of} after {timeout_s:g} s")
        return journal.count(of, brand)


def settings_from(**given: Any) -> Settings:
    """Settings from named values; what is None stays as it is by default."""
    return msgspec.convert({name: value for name, value in given.items() if value is not None}, Settings)
