"""The ceiling: the worker's own client posting ready bodies in a bare loop. Run as a process of its own by ``drain``.

    python -m benchmarks.bare_loop URL CONCURRENCY FILE

FILE holds lines of ``key body``. Prints nothing; the sink saw when requests arrived.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import V5
from soldt_outbox.omnisend.mapping.events import EVENTS_PATH
from soldt_outbox.rows import OmnisendRequest


async def post(url: str, concurrency: int, requests: Iterator[tuple[str, OmnisendRequest]]) -> None:
    """Post everything, ``concurrency`` at a time."""
    async with OmnisendClient(url, V5, max_connections=concurrency) as client:

        async def one_after_another() -> None:
            for key, request in requests:
                answer = await client.send(request, key)
                if answer.status != 202:
                    raise RuntimeError(f"the stand-in answered {answer.status}: {answer.body[:200]!r}")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(concurrency):
                tasks.create_task(one_after_another())


def main() -> None:
    url, concurrency, file = sys.argv[1:]
    lines = [line.split(b" ", 1) for line in Path(file).read_bytes().splitlines()]
    ready = [
        (key.decode(), OmnisendRequest(method="POST", path=EVENTS_PATH, body=body)) for key, body in lines
    ]
    uvloop.run(post(url, int(concurrency), iter(ready)))


if __name__ == "__main__":
    main()
