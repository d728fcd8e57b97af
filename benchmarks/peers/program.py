"""What the peers' programs have in common: their two commands, the file of events, and the request that each job makes.

    python -m benchmarks.peers.MODULE fill DATABASE FILE
    python -m benchmarks.peers.MODULE drain DATABASE URL --client {ours,httpx} --setting SETTING

``fill`` makes the peer's tables in an empty database and enqueues FILE, whose lines are ``key body``. ``drain`` works
until it is terminated; whoever started it looks into the peer's tables for the end.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import uvloop

from benchmarks.peers import Client
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import V5
from soldt_outbox.omnisend.mapping.events import EVENTS_PATH
from soldt_outbox.rows import OmnisendRequest

ENQUEUED_AT_ONCE: Final = 1000

Post = Callable[[str, bytes], Awaitable[None]]
"""Sends one body with its key. Raises where the answer is not 202, so that the job fails."""

# Where more jobs run than there are connections they wait for one, and that wait must not fail them.
_PATIENCE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Event:
    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Drain:
    """What ``drain`` was asked for."""

    database: str
    url: str
    client: Client
    setting: str


def run(
    *, fill: Callable[[str, list[Event]], Awaitable[None]], drain: Callable[[Drain], Awaitable[None]]
) -> None:
    """Run the command of the command line, on uvloop, which is faster for whoever uses asyncio."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    filling = commands.add_parser("fill")
    filling.add_argument("database")
    filling.add_argument("file", type=Path)
    draining = commands.add_parser("drain")
    draining.add_argument("database")
    draining.add_argument("url")
    draining.add_argument("--client", choices=["ours", "httpx"], default="ours")
    draining.add_argument("--setting", required=True)
    options = parser.parse_args()
    if options.command == "fill":
        uvloop.run(_awaited(fill(options.database, list(_events(options.file)))))
    else:
        asked = Drain(options.database, options.url, options.client, options.setting)
        uvloop.run(_awaited(drain(asked)))


async def _awaited(what: Awaitable[None]) -> None:
    await what


def _events(file: Path) -> Iterator[Event]:
    for line in file.read_bytes().splitlines():
        key, body = line.split(b" ", 1)
        yield Event(key.decode(), body)


def chunks(events: list[Event]) -> Iterator[list[Event]]:
    for start in range(0, len(events), ENQUEUED_AT_ONCE):
        yield events[start : start + ENQUEUED_AT_ONCE]


@asynccontextmanager
async def http_client(asked: Drain, *, connections: int) -> AsyncIterator[Post]:
    """The client asked for, with at most so many connections."""
    opened = _ours if asked.client == "ours" else _httpx
    async with opened(asked.url, connections) as post:
        yield post


@asynccontextmanager
async def _ours(url: str, connections: int) -> AsyncIterator[Post]:
    async with OmnisendClient(url, V5, timeout=_PATIENCE, max_connections=connections) as client:

        async def post(key: str, body: bytes) -> None:
            answer = await client.send(
                OmnisendRequest(method="POST", path=EVENTS_PATH, body=body), api_key=key
            )
            _check(answer.status)

        yield post


@asynccontextmanager
async def _httpx(url: str, connections: int) -> AsyncIterator[Post]:
    """One client shared by all jobs, as httpx's documentation recommends, with limits that fit the concurrency."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    target = f"{url}{V5.base_path}{EVENTS_PATH}"
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(10, pool=None)) as client:

        async def post(key: str, body: bytes) -> None:
            answer = await client.post(
                target,
                content=body,
                headers={**dict(V5.auth_headers(key)), "Content-Type": "application/json"},
            )
            _check(answer.status_code)

        yield post


def _check(status: int) -> None:
    if status != 202:
        raise RuntimeError(f"the sink answered {status}")
