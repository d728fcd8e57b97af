"""pgqueuer, by its guide to performance tuning.

- asyncpg, one direct connection for each queue manager ("a single connection for QueueManager"), not a pool.
- ``pgq autovac`` after the installation: its vacuum settings and fill factor.
- Durability as it comes, ``durable``: the others may lose jobs, which ours does not.
- Batches of 100 and 500: "increase batch_size when jobs are short-lived". Its own benchmark drains with several
  managers in one process and no bound on jobs; with a bound ("at least 2 x batch_size") fewer jobs are in memory and
  the dequeue is dearer. A setting is MANAGERSxBATCH, or MANAGERSxBATCH/BOUND for each manager; which is fastest depends on
  the machine, so several are tried.
- Its log of statistics is folded in the background as by default.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final, Self

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.program import Drain, Event, Post, chunks, http_client, run

_MAX_CONNECTIONS: Final = 100


@dataclass(frozen=True, slots=True)
class _Setting:
    managers: int
    batch: int
    bound: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        match = re.fullmatch(r"(\d+)x(\d+)(?:/(\d+))?", text)
        if match is None:
            raise ValueError(f"a setting is MANAGERSxBATCH or MANAGERSxBATCH/BOUND, not {text!r}")
        return cls(int(match[1]), int(match[2]), int(match[3]) if match[3] else None)

    @property
    def connections(self) -> int:
        return min(self.managers * self.bound, _MAX_CONNECTIONS) if self.bound else _MAX_CONNECTIONS


async def fill(database: str, events: list[Event]) -> None:
    connection = await asyncpg.connect(database)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    for some in chunks(events):
        payloads: list[bytes | None] = [event.key.encode() + b" " + event.body for event in some]
        await queries.enqueue(["event"] * len(some), payloads, [0] * len(some))
    await connection.close()


async def drain(asked: Drain) -> None:
    setting = _Setting.parse(asked.setting)
    async with http_client(asked, connections=setting.connections) as post:
        await asyncio.gather(*(_manage(asked.database, setting, post) for _ in range(setting.managers)))


async def _manage(database: str, setting: _Setting, post: Post) -> None:
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(database)))

    @queue.entrypoint("event")
    async def send(job: Job) -> None:
        assert job.payload is not None  # noqa: S101
        key, body = job.payload.split(b" ", 1)
        await post(key.decode(), body)

    await queue.run(batch_size=setting.batch, max_concurrent_tasks=setting.bound)


if __name__ == "__main__":
    run(fill=fill, drain=drain)
