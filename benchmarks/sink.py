"""An HTTP server that does as little as one can: takes a POST, notes when it came, answers 202. A process of its own.

    python -m benchmarks.sink [--delay-ms N]

It notes each eventID it sees, and when, by the clock of the machine (``time.monotonic``), which all processes share. It
validates nothing: where the other side's cost is to be as small as it can be, and the same for whoever sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final, Self, cast

import uvloop

_LENGTH: Final = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
_EVENT_ID: Final = b'"eventID":"'
_ACCEPTED: Final = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Arrivals:
    """When each event came first, and how many requests came in all."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.first: dict[bytes, float] = {}
        self.last: float | None = None
        self.requests = 0

    def note(self, body: bytes) -> None:
        self.requests += 1
        at = body.find(_EVENT_ID)
        event = body[at + len(_EVENT_ID) : at + len(_EVENT_ID) + 36] if at >= 0 else b"%d" % self.requests
        if event not in self.first:
            self.first[event] = self.last = time.monotonic()

    def summary(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "events": len(self.first),
            "first": next(iter(self.first.values()), None),
            "last": self.last,
        }

    def listing(self) -> dict[str, float]:
        return {event.decode(): at for event, at in self.first.items()}


class _Connection(asyncio.Protocol):
    def __init__(self, arrivals: Arrivals, delay: float) -> None:
        self._arrivals = arrivals
        self._delay = delay
        self._read = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._read, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._read) < whole:
                return
            request, body = self._read[:end], self._read[end + 4 : whole]
            self._read = self._read[whole:]
            self._take(request, body)

    def _take(self, request: bytes, body: bytes) -> None:
        if request.startswith(b"POST /control/reset"):
            self._arrivals.clear()
            self._answer({})
        elif request.startswith(b"GET /control/summary"):
            self._answer(self._arrivals.summary())
        elif request.startswith(b"GET /control/arrivals"):
            self._answer(self._arrivals.listing())
        else:
            self._arrivals.note(body)
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, _ACCEPTED)
            else:
                self._transport.write(_ACCEPTED)

    def _answer(self, said: object) -> None:
        body = json.dumps(said).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def _serve(delay: float) -> None:
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(arrivals, delay), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    await loop.connect_read_pipe(lambda: _UntilEnd(ended), sys.stdin)  # nobody is left who wants it
    await ended.wait()


class _UntilEnd(asyncio.Protocol):
    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, _: Exception | None) -> None:
        self._ended.set()


class SinkProcess:
    """The sink beside the benchmark, as a context manager; it ends with the program that started it."""

    def __init__(self, *, delay_ms: float = 0) -> None:
        self._delay_ms = delay_ms

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sink", "--delay-ms", str(self._delay_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        assert self._process.stdout is not None  # noqa: S101
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def reset(self) -> None:
        """Forget what came."""
        self._ask("reset", "POST")

    def summary(self) -> dict[str, Any]:
        """``requests``; ``events`` (different ones); ``first`` and ``last`` arrival, by ``time.monotonic``, or None."""
        return self._ask("summary")

    def arrivals(self) -> dict[str, float]:
        """When each eventID came first, by ``time.monotonic``."""
        return self._ask("arrivals")

    def wait_for(self, events: int, *, timeout_s: float) -> dict[str, Any]:
        """The summary, once so many different events came. Raises ``TimeoutError``."""
        until = time.monotonic() + timeout_s
        while (summary := self.summary())["events"] < events:
            if time.monotonic() > until:
                raise TimeoutError(f"{summary['events']} of {events} events came within {timeout_s:g} s")
            time.sleep(0.05)
        return summary

    def _ask(self, what: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.url}/control/{what}", method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink")
    parser.add_argument("--delay-ms", type=float, default=0)
    uvloop.run(_serve(parser.parse_args().delay_ms / 1000))


if __name__ == "__main__":
    main()
