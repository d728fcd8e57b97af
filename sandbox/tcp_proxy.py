"""A TCP proxy with faults: what the network between a worker and its database, or Omnisend, may do.

with TcpProxy(server.host, server.port) as proxy:
    worker_url = proxy.url(server.url())
    proxy.pause()    # half-open: connections stand, nothing arrives, nobody is told
    proxy.resume()   # what was held back arrives after all
    proxy.cut()      # every connection is reset; new ones are served
    proxy.refuse()   # ... and new ones are refused, until accept()
"""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from sandbox.background import BackgroundLoop
from sandbox.processes import LOOPBACK

_CHUNK = 64 * 1024


class TcpProxy:
    """Forwards a loopback port to ``target_host:target_port``, from a thread of its own, until it is closed."""

    host = LOOPBACK

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._background = BackgroundLoop("tcp-proxy")
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._listener: asyncio.Server | None = None
        self.accepted = 0  # connections ever taken
        self.port = 0
        self.port = self._background.run(self._listen())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def open_connections(self) -> int:
        """How many clients are connected at this moment."""
        return len(self._links)

    def url(self, url: str) -> str:
        """The same URL with this proxy's address in place of the host and port."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}{self.host}:{self.port}"))

    def pause(self) -> None:
        """Hold back every byte in both directions, of new connections too, without closing anything."""
        self._background.run(self._set_flowing(on=False))

    def resume(self) -> None:
        """Let bytes pass again, first those that were held back."""
        self._background.run(self._set_flowing(on=True))

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        self._background.run(self._reset_all())

    def refuse(self) -> None:
        """Reset every open connection and refuse new ones."""
        self._background.run(self._stop_listening())
        self.cut()

    def accept(self) -> None:
        """Take connections again, on the same port."""
        if self._listener is None:
            self._background.run(self._listen())

    def close(self) -> None:
        """End all connections and give the port back."""
        self.refuse()
        self._background.close()

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _set_flowing(self, *, on: bool) -> None:
        if on:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _reset_all(self) -> None:
        links = tuple(self._links.items())
        for task, ends in links:
            for end in ends:
                _reset(end)
            task.cancel()
        await asyncio.gather(*(task for task, _ in links), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        ends = (writer, far_writer)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._links[task] = ends
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(reader, far_writer))
                ways.create_task(self._forward(far_reader, writer))
        except* OSError:  # one side broke off: so it must look from the other
            for end in ends:
                _reset(end)
        finally:
            del self._links[task]
            for end in ends:
                end.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy one direction until its end; the other may still be open, so only the writing half is closed."""
        while chunk := await reader.read(_CHUNK):
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
        await self._flowing.wait()
        if not writer.is_closing():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: the other side learns of a broken connection, not of an orderly end."""
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
