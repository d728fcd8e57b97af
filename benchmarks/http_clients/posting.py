"""Each client set up alike, as its documentation has it: one pool, no environment, a key in each request's headers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Final, assert_never

import aiohttp
import httpx

from benchmarks.http_clients import HttpClient
from soldt_outbox.omnisend.client import USER_AGENT, OmnisendClient
from soldt_outbox.omnisend.dialects import V5
from soldt_outbox.omnisend.mapping.events import EVENTS_PATH
from soldt_outbox.omnisend.transport import AiohttpTransport
from soldt_outbox.rows import OmnisendRequest

Post = Callable[[str, bytes], Awaitable[int]]
"""Posts a body under an API key; the status, once the whole answer is read."""

_HEADERS: Final = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
"""What ``OmnisendClient`` sends with each request, so that all send the same bytes."""


def posting(  # noqa: PLR0911 - a table
    client: HttpClient, url: str, *, connections: int, timeout: timedelta
) -> AbstractAsyncContextManager[Post]:
    """Open ``client`` towards the host at ``url``; closed on leaving.

    Args:
        client: which; its packages must be installed.
        url: scheme, host and port.
        connections: how many it may hold, and keep.
        timeout: for each step of a request (connecting, reading), or for the whole where a client has but that.
    """
    events = f"{url}{V5.base_path}{EVENTS_PATH}"
    match client:
        case HttpClient.AIOHTTP:
            return _aiohttp(events, connections, timeout)
        case HttpClient.HTTPX:
            limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
            return _httpx(events, timeout, httpx.AsyncHTTPTransport(limits=limits, trust_env=False))
        case HttpClient.HTTPX2:
            return _httpx2(events, connections, timeout)
        case HttpClient.HTTPX_AIOHTTP:
            return _httpx(events, timeout, _httpx_aiohttp(connections))
        case HttpClient.HTTPX_PYREQWEST:
            return _httpx(events, timeout, _httpx_pyreqwest(connections))
        case HttpClient.HTTPX_OURS:
            ours = AiohttpTransport(timeout=timeout, max_connections=connections)
            return _httpx(events, timeout, ours)
        case HttpClient.OURS:
            return _ours(url, connections, timeout)
        case HttpClient.PYREQWEST:
            return _pyreqwest(events, connections, timeout)
        case _:
            assert_never(client)


def _auth(key: str) -> Mapping[str, str]:
    return dict(V5.auth_headers(key))


@asynccontextmanager
async def _aiohttp(url: str, connections: int, timeout: timedelta) -> AsyncIterator[Post]:
    seconds = timeout.total_seconds()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(sock_connect=seconds, sock_read=seconds),
        headers=_HEADERS,
    ) as session:

        async def post(key: str, body: bytes) -> int:
            async with session.post(url, data=body, headers=_auth(key)) as answer:
                await answer.read()
                return answer.status

        yield post


@asynccontextmanager
async def _httpx(url: str, timeout: timedelta, transport: httpx.AsyncBaseTransport) -> AsyncIterator[Post]:
    async with httpx.AsyncClient(
        transport=transport, headers=_HEADERS, timeout=timeout.total_seconds(), trust_env=False
    ) as client:

        async def post(key: str, body: bytes) -> int:
            return (await client.post(url, content=body, headers=_auth(key))).status_code

        yield post


@asynccontextmanager
async def _httpx2(url: str, connections: int, timeout: timedelta) -> AsyncIterator[Post]:
    import httpx2  # noqa: PLC0415 - in the bench group only

    async with httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers=_HEADERS,
        timeout=timeout.total_seconds(),
        trust_env=False,
    ) as client:

        async def post(key: str, body: bytes) -> int:
            return (await client.post(url, content=body, headers=_auth(key))).status_code

        yield post


def _httpx_aiohttp(connections: int) -> httpx.AsyncBaseTransport:
    import httpx_aiohttp  # noqa: PLC0415 - in the bench group only

    return httpx_aiohttp.AiohttpTransport(limits=httpx.Limits(max_connections=connections), trust_env=False)


def _httpx_pyreqwest(connections: int) -> httpx.AsyncBaseTransport:
    from pyreqwest.compatibility.httpx import HttpxTransport  # noqa: PLC0415 - in the bench group only

    return HttpxTransport(_pyreqwest_builder(connections).build())  # httpx hands its time-outs over


def _pyreqwest_builder(connections: int) -> Any:
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - in the bench group only

    builder = ClientBuilder().max_connections(connections).pool_max_idle_per_host(connections)
    return builder.http1_only().no_proxy()


@asynccontextmanager
async def _pyreqwest(url: str, connections: int, timeout: timedelta) -> AsyncIterator[Post]:
    builder = _pyreqwest_builder(connections).default_headers(_HEADERS)
    async with builder.connect_timeout(timeout).read_timeout(timeout).build() as client:

        async def post(key: str, body: bytes) -> int:
            answer = await client.post(url).headers(_auth(key)).body_bytes(body).build().send()
            await answer.bytes()
            status: int = answer.status
            return status

        yield post


@asynccontextmanager
async def _ours(url: str, connections: int, timeout: timedelta) -> AsyncIterator[Post]:
    async with OmnisendClient(url, V5, timeout=timeout, max_connections=connections) as client:

        async def post(key: str, body: bytes) -> int:
            request = OmnisendRequest(method="POST", path=EVENTS_PATH, body=body)
            return (await client.send(request, key)).status

        yield post
