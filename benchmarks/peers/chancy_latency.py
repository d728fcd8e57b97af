"""A job of chancy for each event, pushed by a pool of one connection; ``push`` notifies."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from chancy import Chancy, Job

from benchmarks.peers import chancy_job
from benchmarks.peers.bodies import KEY, body
from benchmarks.steady_writer import Write


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Write]:
    log = logging.getLogger("chancy")
    log.setLevel(logging.WARNING)
    pushing = Chancy(
        url,
        min_connection_pool_size=1,
        max_connection_pool_size=1,
        no_default_plugins=True,
        log=log,
    )
    async with pushing as chancy:

        async def write(_merchant: int, _number: int) -> str:
            event = uuid4()
            values = {"key": KEY, "body": body(event).decode()}
            await chancy.push(Job.from_func(chancy_job.send, kwargs=values))
            return str(event)

        yield write
