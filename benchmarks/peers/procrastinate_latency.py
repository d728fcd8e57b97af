"""A job of procrastinate for each event, deferred by a pool of one connection; its trigger notifies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from procrastinate import App, PsycopgConnector

from benchmarks.peers.bodies import KEY, body
from benchmarks.steady_writer import Write


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Write]:
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=1))
    async with app.open_async():
        job = app.configure_task("event")

        async def write(_merchant: int, _number: int) -> str:
            event = uuid4()
            await job.defer_async(key=KEY, body=body(event).decode())
            return str(event)

        yield write
