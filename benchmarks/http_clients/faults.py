"""Each fault on a real socket, and the exception that a client raises at it."""

from __future__ import annotations

import asyncio
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import Final, assert_never

import uvloop

from benchmarks.http_clients import HttpClient
from benchmarks.http_clients.posting import posting
from benchmarks.peers.bodies import KEY

_TIMEOUT: Final = timedelta(seconds=0.3)
_HUNG_S: Final = 15.0  # pyreqwest's transport adds httpx's four time-outs up, so an answer may take 1.2 s
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Fault(StrEnum):
    REFUSED = "connection refused"
    NO_ANSWER = "no answer in time"
    CLOSED_UNREAD = "closed before the request was read"
    CLOSED_READ = "closed after the request was read"
    HALF_ANSWER = "half an answer"
    NOT_HTTP = "not HTTP at all"


READ_FAULTS: Final = (Fault.NO_ANSWER, Fault.CLOSED_READ, Fault.HALF_ANSWER, Fault.NOT_HTTP)
"""The faults that come after the other side read the whole request, so it may have acted."""


def errors_of(client: HttpClient, body: bytes) -> dict[Fault, str]:
    """What ``client`` raises at each fault, named as ``package.Class``."""
    return {fault: uvloop.run(_error_of(client, fault, body)) for fault in Fault}


async def _error_of(client: HttpClient, fault: Fault, body: bytes) -> str:
    with _serving(fault) as url:
        async with asyncio.timeout(_HUNG_S), posting(client, url, connections=1, timeout=_TIMEOUT) as post:
            try:
                status = await post(KEY, body)
            except Exception as error:  # noqa: BLE001 - which one it is, is the question
                return _name(type(error))
    return f"status {status}"


def _name(kind: type[Exception]) -> str:
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"


@contextmanager
def _serving(fault: Fault) -> Iterator[str]:
    """The URL of a server with this fault, in a thread of its own."""
    if fault is Fault.REFUSED:
        with socket.socket() as unheard:  # bound, so that nobody else takes the port, and not listening
            unheard.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{unheard.getsockname()[1]}"
        return
    with _Server(fault) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """Treats every connection to the same fault, until ``over`` is set."""

    daemon_threads = True

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    """One connection; returning closes it in order."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        match self.server.fault:
            case Fault.REFUSED:
                raise AssertionError("a port that refuses has no server")
            case Fault.NO_ANSWER:
                _read_request(self.request)
                self.server.over.wait()
            case Fault.CLOSED_UNREAD:
                self.request.recv(1, socket.MSG_PEEK)
                self.request.close()  # with bytes unread: the system resets the connection (RFC 2525, 2.17)
            case Fault.CLOSED_READ:
                _read_request(self.request)
            case Fault.HALF_ANSWER:
                _read_request(self.request)
                self.request.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\nhalf")
            case Fault.NOT_HTTP:
                _read_request(self.request)
                self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
            case _:
                assert_never(self.server.fault)


def _read_request(connection: socket.socket) -> None:
    read = b""
    while not _is_whole(read):
        if not (more := connection.recv(65536)):
            return
        read += more


def _is_whole(read: bytes) -> bool:
    head, found, body = read.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(found) and len(body) >= (int(length[1]) if length else 0)
