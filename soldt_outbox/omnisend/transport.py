"""httpx's transport interface over aiohttp, with aiohttp's errors told apart by one question: was anything written?

Under httpx's ``AsyncClient`` this carries 3 to 28 times the requests of httpx's own pool (from 8 to 64 connections:
``python -m benchmarks clients``), and the ready-made adapters report a connection that broke after the request as one
that was never made. Here:

- no connection, or nothing written to it: ``httpx.ConnectError`` or ``ConnectTimeout``: safe to send again;
- written, and no whole answer: ``ReadError``, ``ReadTimeout`` or ``RemoteProtocolError``: may have been acted upon.

A connection that the server closed while it was idle counts as written unless aiohttp knew before writing: bytes
handed to the kernel may have been read.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from typing import Final

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter

MAX_RESPONSE_BYTES: Final = (
    64 * 1024
)  # the longest documented answer to what is sent is an error body of a few kB
MAX_READ_BYTES: Final = (
    8 << 20
)  # to a GET: a batch's items come back with what was sent, a megabyte, and an answer each
MAX_CONNECTIONS: Final = 64
KEEP_ALIVE_SECONDS: Final = (
    15.0  # below the idle time-outs usual in front of APIs (60 s), so few connections are stale
)
CONNECT_SECONDS: Final = 5.0


class _Body(aiohttp.BytesPayload):
    """A body that knows whether it, and the headers buffered before it, were handed to the socket."""

    written = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = getattr(writer, "transport", None)
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("closed before the request was written")
        self.written = True
        await super().write_with_length(writer, content_length)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One connection pool. No redirects, proxies, cookies, netrc or environment; certificates are verified.

    ``timeout`` bounds a whole exchange. An answer's body is cut at ``max_response_bytes`` (to a GET at ``MAX_READ_BYTES``), its
    status still counts, and it is never decompressed. Create it anywhere; use it within one event loop, and close it there.
    """

    def __init__(
        self,
        *,
        timeout: timedelta = timedelta(seconds=10),
        max_connections: int = MAX_CONNECTIONS,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds(), sock_connect=CONNECT_SECONDS)
        self._max_connections = max_connections
        self._max_response_bytes = max_response_bytes
        self._ssl = ssl_context
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        """The session, made at the first request because aiohttp binds it to the running loop."""
        connector = aiohttp.TCPConnector(
            limit=self._max_connections,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=True if self._ssl is None else self._ssl,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
        )
        return self._session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and read the whole answer; raises httpx's transport errors as the module says."""
        content = await request.aread()
        body = _Body(content) if content else None
        session = self._session or self._open()
        try:
            async with session.request(
                request.method,
                str(request.url),
                headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                    if name.lower() not in _SET_BY_AIOHTTP
                ],
                data=body,
                allow_redirects=False,
            ) as answer:
                received = await self._read(answer, request.method)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise _as_httpx(error, request, written=body is None or body.written) from error
        headers = [(n, v) for n, v in answer.raw_headers if n.lower() not in _DROPPED]
        return httpx.Response(
            answer.status, headers=headers, stream=httpx.ByteStream(received), request=request
        )

    async def _read(self, answer: aiohttp.ClientResponse, method: str) -> bytes:
        """The body up to the bound; what is left unread closes the connection instead of being read."""
        most = MAX_READ_BYTES if method == "GET" else self._max_response_bytes
        length = answer.content_length
        if length == 0:
            return b""
        received = b""
        while len(received) <= most:
            chunk = await answer.content.read(most + 1 - len(received))
            if not chunk:
                return received
            received += chunk
        answer.close()
        return received[:most]

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


_SET_BY_AIOHTTP: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})
# The body is raw and whole: headers that would make httpx decode it are not passed on.
_DROPPED: Final = frozenset({b"content-encoding", b"transfer-encoding", b"content-length"})


def _as_httpx(error: Exception, request: httpx.Request, *, written: bool) -> httpx.TransportError:  # noqa: PLR0911 - a table
    """The httpx error for aiohttp's. ``written``: bytes of the request may have left; a GET has no body to tell."""
    words = type(error).__name__  # aiohttp's texts repeat addresses and, for bad HTTP, bytes of the answer
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(f"no connection in time ({words})", request=request)
        case aiohttp.ClientConnectorError() | aiohttp.InvalidURL():
            return httpx.ConnectError(f"no connection ({_reason(error)})", request=request)
        case asyncio.TimeoutError() if not written:
            return httpx.ConnectTimeout("no connection in time, nothing was written", request=request)
        case _ if not written:
            return httpx.ConnectError(f"nothing was written ({words})", request=request)
        case asyncio.TimeoutError():
            return httpx.ReadTimeout("no whole answer in time", request=request)
        case (
            aiohttp.ClientPayloadError()
            | aiohttp.ClientResponseError()
            | aiohttp.ServerDisconnectedError()
            | ValueError()
        ):
            return httpx.RemoteProtocolError(f"no whole HTTP answer ({words})", request=request)
        case _:
            return httpx.ReadError(f"the connection broke ({words})", request=request)


def _reason(error: aiohttp.ClientError) -> str:
    """What the system says of a failed connection: refused, name unknown, certificate."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"certificate: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{type(error).__name__}: {error.os_error.strerror or type(error.os_error).__name__}"
    return type(error).__name__
