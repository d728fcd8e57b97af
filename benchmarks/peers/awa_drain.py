"""awa (``awa-pg``), whose engine is written in Rust and calls a Python coroutine for each job.

- Its queue storage, the engine of fresh installations, filled by ``enqueue_many_copy``.
- 256 workers in the queue, as its own benchmark of the Python client has by default.
- A pool of 20 connections; it uses few, since it claims and completes in batches.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from awa import AsyncClient

from benchmarks.peers.program import Drain, Event, chunks, http_client, run

_QUEUE: Final = "events"
_CONNECTIONS: Final = 20


@dataclass(frozen=True, slots=True)
class SendEvent:
    key: str
    body: str


async def fill(database: str, events: list[Event]) -> None:
    client = AsyncClient(database, max_connections=_CONNECTIONS)
    await client.migrate()
    await client.install_queue_storage()
    for some in chunks(events):
        await client.enqueue_many_copy(
            [SendEvent(event.key, event.body.decode()) for event in some], queue=_QUEUE
        )
    await client.close()


async def drain(asked: Drain) -> None:
    workers = int(asked.setting)
    client = AsyncClient(asked.database, max_connections=_CONNECTIONS)
    async with http_client(asked, connections=workers) as post:

        @client.task(SendEvent, queue=_QUEUE)
        async def send(job: Any) -> None:
            await post(job.args.key, job.args.body.encode())

        await client.start([(_QUEUE, workers)])
        await asyncio.Event().wait()


if __name__ == "__main__":
    run(fill=fill, drain=drain)
