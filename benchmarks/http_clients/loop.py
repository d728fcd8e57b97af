"""One client posting ready bodies for some seconds. A process of its own, so that its CPU time is the client's.

    python -m benchmarks.http_clients.loop CLIENT URL CONNECTIONS SECONDS FILE

FILE holds lines of ``key body``, sent over and over. Prints a ``Run`` as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from benchmarks.http_clients import HttpClient
from benchmarks.http_clients.posting import Post, posting
from benchmarks.worker_process import ROOT

# Time-outs are not measured here, and httpx with 256 under way got 52 answers a second: five seconds for each.
_ANSWER: Final = timedelta(seconds=60)
_LIMIT_S: Final = 180.0


class Run(msgspec.Struct, frozen=True):
    """What one client did.

    Attributes:
        requests: answered within the measured time.
        warm_up: answered before it, one on each connection.
        seconds: from the first of ``requests`` to the last answer.
        cpu_seconds: user's and system's, of all threads of the process, within ``seconds``.
    """

    requests: int
    warm_up: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for each request."""
        return 1e6 * self.cpu_seconds / self.requests


def run_in_process(client: HttpClient, url: str, *, connections: int, seconds: float, file: Path) -> Run:
    """Measure ``client`` in a process of its own. Raises ``CalledProcessError`` where it fails."""
    command = [sys.executable, "-m", "benchmarks.http_clients.loop", client, url, str(connections)]
    done = subprocess.run(
        [*command, str(seconds), str(file)],
        check=True,
        timeout=_LIMIT_S + seconds,
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    return msgspec.json.decode(done.stdout, type=Run)


async def post_for(
    client: HttpClient, url: str, *, connections: int, seconds: float, ready: Iterator[tuple[str, bytes]]
) -> Run:
    """Post for ``seconds``, one request after another on each connection. Raises where an answer is not 202."""
    async with posting(client, url, connections=connections, timeout=_ANSWER) as post:
        await asyncio.gather(*(_one(post, ready) for _ in range(connections)))
        cpu, began = _cpu_seconds(), time.monotonic()
        counts = await asyncio.gather(
            *(_until(began + seconds, post, ready) for _ in range(connections)),
        )
        ended = time.monotonic()
        return Run(
            requests=sum(counts),
            warm_up=connections,
            seconds=ended - began,
            cpu_seconds=_cpu_seconds() - cpu,
        )


async def _until(end: float, post: Post, ready: Iterator[tuple[str, bytes]]) -> int:
    """Post until ``end``, and once at least: with many under way httpx does not come to all of them in a second."""
    requests = 0
    while not requests or time.monotonic() < end:
        await _one(post, ready)
        requests += 1
    return requests


async def _one(post: Post, ready: Iterator[tuple[str, bytes]]) -> None:
    key, body = next(ready)
    if (status := await post(key, body)) != 202:
        raise RuntimeError(f"the sink answered {status}")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    client, url, connections, seconds, file = sys.argv[1:]
    lines = [line.split(b" ", 1) for line in Path(file).read_bytes().splitlines()]
    run = uvloop.run(
        post_for(
            HttpClient(client),
            url,
            connections=int(connections),
            seconds=float(seconds),
            ready=itertools.cycle([(key.decode(), body) for key, body in lines]),
        )
    )
    sys.stdout.buffer.write(msgspec.json.encode(run))


if __name__ == "__main__":
    main()
