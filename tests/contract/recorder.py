"""A server between the project's clients and the stand-in: it notes each request as the wire had it, and passes it on."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

_OF_ONE_CONNECTION = frozenset({"host", "connection", "content-length", "transfer-encoding", "keep-alive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it came in; names of headers in lower case. ``target`` is path and query, ``status`` the answer's."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    status: int


class Recorder:
    """``async with Recorder(standin.url) as recorder``: what is sent to ``recorder.url`` is in ``recorder.sent``."""

    def __init__(self, upstream: str) -> None:
        self.sent: list[Sent] = []
        self.url = ""
        self._upstream = upstream
        self._runner = web.ServerRunner(web.Server(self._pass_on, access_log=None))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(skip_auto_headers=("User-Agent", "Content-Type"))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _pass_on(self, request: web.BaseRequest) -> web.Response:
        assert self._session is not None
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        passed = {name: value for name, value in headers.items() if name not in _OF_ONE_CONNECTION}
        async with self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=passed,
            data=body or None,
            allow_redirects=False,
        ) as answer:
            said = await answer.read()
            told = [(n, v) for n, v in answer.headers.items() if n.lower() not in _OF_ONE_CONNECTION]
        self.sent.append(
            Sent(
                method=request.method,
                target=request.raw_path,
                headers=headers,
                body=body,
                status=answer.status,
            )
        )
        return web.Response(status=answer.status, headers=told, body=said)
