"""A job of pgqueuer for each event: a direct connection of asyncpg, an insert that its trigger notifies of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from benchmarks.peers.bodies import KEY, body
from benchmarks.steady_writer import Write


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Write]:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))

    async def write(_merchant: int, _number: int) -> str:
        event = uuid4()
        await queries.enqueue("event", KEY.encode() + b" " + body(event))
        return str(event)

    try:
        yield write
    finally:
        await connection.close()
