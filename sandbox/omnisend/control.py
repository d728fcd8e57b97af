"""The control endpoints under `/_sandbox`: what was received, what shall go wrong, who may call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from sandbox.omnisend.model import BrandSpec, Fault, Settings, Waited, WaitFor
from sandbox.omnisend.views import ForBrand, OAuthClient, Unsubscribe
from sandbox.omnisend.world import World

PREFIX: Final = "/_sandbox"
MAX_WAIT_S: Final = 600.0
_MAX_PAGE: Final = 5_000

ENDPOINTS: Final = {
    "GET /_sandbox": "this list",
    "GET /_sandbox/received?brand=&after=&limit=": "requests in order of arrival, with findings",
    "GET /_sandbox/summary": "counts, in all and per brand",
    "GET /_sandbox/arrivals": "monotonic instants of all requests",
    "GET /_sandbox/wait?count=N&of=received|settled|accepted|unique|batches&brand=&timeout=S": "answers when the count is reached",
    "GET /_sandbox/brands": "brands and masked keys",
    "POST /_sandbox/brands": "register or change a brand: {brandID, keys: [{key, permissions?}], …}",
    "GET /_sandbox/faults": "faults in force, with how often they matched and fired",
    "POST /_sandbox/faults": "add one: {kind, brand?, event_name?, email?, nth?, count?, probability?, seed?, …}",
    "DELETE /_sandbox/faults": "remove all",
    "GET /_sandbox/settings": "what is in force",
    "POST /_sandbox/settings": "change some: {rate_limit, sink, any_key, retired, …}",
    "GET /_sandbox/contacts?brand=": "contacts with statuses and consents, welcome messages, what was ignored",
    "GET /_sandbox/products?brand=&offset=&limit=": "a brand's products as last sent",
    "GET /_sandbox/categories?brand=": "a brand's product categories",
    "GET /_sandbox/batches?brand=": "batches and the response codes of their items",
    "GET /_sandbox/oauth": "what merchants have granted, and refreshes per brand",
    "POST /_sandbox/oauth/clients": "register an application: {client_id, client_secret?, redirect_uris}",
    "POST /_sandbox/oauth/sign-in": "{brand}: whose merchant comes to /oauth2/authorize",
    "POST /_sandbox/oauth/expire": "{brand}: its access tokens expire now",
    "POST /_sandbox/oauth/disconnect": "{brand}: its merchant takes back what was granted",
    "POST /_sandbox/unsubscribe": "{brand, email | phone}: the person clicks unsubscribe in a message",
    "POST /_sandbox/release": "reset the connections of requests that hang",
    "POST /_sandbox/listening": "{accept: false} refuses connections at the API, {accept: true} takes them again",
    "POST /_sandbox/reset": "forget what came in and the faults; with {brands: true} the brands too",
}


class _Listening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accept: bool


class _Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    brands: bool = False


class _Query:
    """Query parameters; a ValueError names what is wrong with one."""

    def __init__(self, raw: web.BaseRequest, known: frozenset[str]) -> None:
        self._values = dict(parse_qsl(raw.raw_path.partition("?")[2]))
        unknown = self._values.keys() - known
        if unknown:
            raise ValueError(f"unknown parameter: {', '.join(sorted(unknown))}")

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def needed(self, name: str) -> str:
        value = self._values.get(name)
        if value is None:
            raise ValueError(f"the parameter {name} is needed")
        return value

    def whole(self, name: str, default: int, most: int | None = None) -> int:
        value = int(self._values.get(name, default))
        return value if most is None else min(value, most)

    def seconds(self, name: str, default: float) -> float:
        return min(float(self._values.get(name, default)), MAX_WAIT_S)


def checked_wait_for(of: str) -> WaitFor:
    """The name of a count, or ValueError."""
    known: WaitFor = msgspec.convert(of, WaitFor)
    return known


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """Settings with some of them changed; msgspec.ValidationError names an unknown or wrong one."""
    current = msgspec.to_builtins(settings)
    return msgspec.convert({**current, **changes}, Settings)


_T = TypeVar("_T")

Listen = Callable[[bool], Awaitable[None]]
_Handler = Callable[[web.BaseRequest], Awaitable[Any]]


class Control:
    """Answers `/_sandbox/*`; secrets of keys are and of the OAuth flow are taken out of everything it says."""

    def __init__(self, world: World, urls: Callable[[], dict[str, str]], listen: Listen) -> None:
        self._world = world
        self._urls = urls
        self._listen = listen
        self._handlers: dict[str, dict[str, _Handler]] = {
            "": {"GET": self._index},
            "/received": {"GET": self._received},
            "/summary": {"GET": self._summary},
            "/arrivals": {"GET": self._arrivals},
            "/wait": {"GET": self._wait},
            "/brands": {"GET": self._brands, "POST": self._register},
            "/faults": {"GET": self._faults, "POST": self._add_fault, "DELETE": self._clear_faults},
            "/settings": {"GET": self._settings, "POST": self._change_settings},
            "/contacts": {"GET": self._contacts},
            "/products": {"GET": self._products},
            "/categories": {"GET": self._categories},
            "/batches": {"GET": self._batches},
            "/oauth": {"GET": self._oauth},
            "/oauth/clients": {"POST": self._add_client},
            "/oauth/sign-in": {"POST": self._sign_in},
            "/oauth/expire": {"POST": self._expire_tokens},
            "/oauth/disconnect": {"POST": self._disconnect},
            "/unsubscribe": {"POST": self._unsubscribe},
            "/release": {"POST": self._release},
            "/listening": {"POST": self._listening},
            "/reset": {"POST": self._reset},
        }

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        path = raw.raw_path.partition("?")[0].removeprefix(PREFIX).rstrip("/")
        methods = self._handlers.get(path)
        if methods is None:
            return self._say({"error": f"no such endpoint; GET {PREFIX} lists them"}, 404)
        handler = methods.get(raw.method)
        if handler is None:
            return self._say({"error": f"use {' or '.join(methods)}"}, 405)
        try:
            return self._say(await handler(raw), 200)
        except (msgspec.MsgspecError, ValueError) as error:  # ValueError: BrandError and query parameters
            return self._say({"error": str(error)}, 400)

    def _say(self, content: Any, status: int) -> web.Response:
        rendered = self._world.redact(msgspec.json.encode(content))
        return web.Response(status=status, body=rendered, content_type="application/json")

    async def _index(self, _raw: web.BaseRequest) -> Any:
        return {**self._urls(), "endpoints": ENDPOINTS}

    async def _received(self, raw: web.BaseRequest) -> Any:
        query = _Query(raw, frozenset({"brand", "after", "limit"}))
        limit = query.whole("limit", 1000, most=_MAX_PAGE)
        return self._world.journal.page(query.text("brand"), query.whole("after", 0), limit)

    async def _summary(self, _raw: web.BaseRequest) -> Any:
        return self._world.journal.summary()

    async def _arrivals(self, _raw: web.BaseRequest) -> Any:
        return self._world.journal.arrivals()

    async def _wait(self, raw: web.BaseRequest) -> Any:
        query = _Query(raw, frozenset({"count", "of", "brand", "timeout"}))
        of, brand = checked_wait_for(query.text("of") or "accepted"), query.text("brand")
        journal = self._world.journal
        reached = await journal.wait(query.whole("count", 1), of, brand, query.seconds("timeout", 30.0))
        return Waited(reached, journal.count(of, brand))

    async def _brands(self, _raw: web.BaseRequest) -> Any:
        return [brand.view() for brand in self._world.brands.by_id.values()]

    async def _register(self, raw: web.BaseRequest) -> Any:
        return self._world.brands.register(await _decoded(raw, BrandSpec)).view()

    async def _faults(self, _raw: web.BaseRequest) -> Any:
        return self._world.faults.views()

    async def _add_fault(self, raw: web.BaseRequest) -> Any:
        return {"id": self._world.faults.add(await _decoded(raw, Fault))}

    async def _clear_faults(self, _raw: web.BaseRequest) -> Any:
        self._world.faults.clear()
        return {}

    async def _settings(self, _raw: web.BaseRequest) -> Any:
        return self._world.settings

    async def _change_settings(self, raw: web.BaseRequest) -> Any:
        self._world.change(changed(self._world.settings, await _decoded(raw, dict[str, Any])))
        return self._world.settings

    async def _contacts(self, raw: web.BaseRequest) -> Any:
        return self._world.contacts_view(_Query(raw, frozenset({"brand"})).text("brand"))

    async def _products(self, raw: web.BaseRequest) -> Any:
        query = _Query(raw, frozenset({"brand", "offset", "limit"}))
        limit = query.whole("limit", 1000, most=_MAX_PAGE)
        return self._world.products_page(query.needed("brand"), query.whole("offset", 0), limit)

    async def _categories(self, raw: web.BaseRequest) -> Any:
        return self._world.categories_view(_Query(raw, frozenset({"brand"})).needed("brand"))

    async def _batches(self, raw: web.BaseRequest) -> Any:
        return self._world.batches_view(_Query(raw, frozenset({"brand"})).text("brand"))

    async def _oauth(self, _raw: web.BaseRequest) -> Any:
        return self._world.oauth.view()

    async def _add_client(self, raw: web.BaseRequest) -> Any:
        self._world.oauth.add_client(await _decoded(raw, OAuthClient))
        return {}

    async def _sign_in(self, raw: web.BaseRequest) -> Any:
        self._world.oauth.sign_in((await _decoded(raw, ForBrand)).brand)
        return {}

    async def _expire_tokens(self, raw: web.BaseRequest) -> Any:
        self._world.oauth.expire_tokens((await _decoded(raw, ForBrand)).brand)
        return {}

    async def _disconnect(self, raw: web.BaseRequest) -> Any:
        self._world.oauth.disconnect((await _decoded(raw, ForBrand)).brand)
        return {}

    async def _unsubscribe(self, raw: web.BaseRequest) -> Any:
        return self._world.unsubscribe(await _decoded(raw, Unsubscribe))

    async def _release(self, _raw: web.BaseRequest) -> Any:
        self._world.release()
        return {}

    async def _listening(self, raw: web.BaseRequest) -> Any:
        await self._listen((await _decoded(raw, _Listening)).accept)
        return {}

    async def _reset(self, raw: web.BaseRequest) -> Any:
        asked = await _decoded(raw, _Reset) if raw.can_read_body else _Reset()
        self._world.reset(brands=asked.brands)
        return {}


async def _decoded(raw: web.BaseRequest, kind: type[_T]) -> _T:
    return msgspec.json.decode(await raw.read(), type=kind)
