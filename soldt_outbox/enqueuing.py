"""Writing events into the outbox, inside the caller's own psycopg transaction: they commit together or not at all.

    with conn.transaction():
        conn.execute("update ...")
        enqueue(conn, CheckoutStarted(merchant_id=shop, contact=..., properties=...))

Each function gives the row's id, or ``None`` where the occurrence is already there or the merchant is not connected.
The connection's role must be the owner of the tables, ``service_role`` or ``omnisend_worker``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from soldt_outbox.events import Event
from soldt_outbox.rows import Kind
from soldt_outbox.sql import queries

BULK: Final = 500  # events per statement: past this a larger one gains nothing


def enqueue(conn: psycopg.Connection[Any], event: Event) -> int | None:
    """Write one event. Raises ``psycopg.Error`` as any statement of the transaction does."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        return _id(cursor.execute(queries["enqueue"], _one(event)).fetchone())


async def enqueue_async(conn: psycopg.AsyncConnection[Any], event: Event) -> int | None:
    """As ``enqueue``, on an async connection."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(queries["enqueue"], _one(event))
        return _id(await cursor.fetchone())


def enqueue_many(conn: psycopg.Connection[Any], events: Iterable[Event]) -> list[int | None]:
    """Write many events, five hundred a statement, in the order given; the ids in the same order."""
    ids: list[int | None] = []
    with conn.cursor(row_factory=tuple_row) as cursor:
        for batch in _batches(events):
            ids.extend(row[0] for row in cursor.execute(queries["enqueue_many"], _many(batch)))
    return ids


async def enqueue_many_async(conn: psycopg.AsyncConnection[Any], events: Iterable[Event]) -> list[int | None]:
    """As ``enqueue_many``, on an async connection."""
    ids: list[int | None] = []
    async with conn.cursor(row_factory=tuple_row) as cursor:
        for batch in _batches(events):
            await cursor.execute(queries["enqueue_many"], _many(batch))
            ids.extend(row[0] for row in await cursor.fetchall())
    return ids


def _id(row: tuple[Any, ...] | None) -> int | None:
    return None if row is None else row[0]


def _batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    remaining = iter(events)
    while batch := list(islice(remaining, BULK)):
        yield batch


def _one(event: Event) -> dict[str, Any]:
    return {
        "merchant_id": event.merchant_id,
        "name": str(event.name),
        "payload": event.payload_json(),
        "dedup_key": event.dedup_key,
        "occurred_at": event.occurred_at,
        "ordering_key": event.ordering_key,
        "kind": Kind.EVENT.value,
    }


def _many(events: list[Event]) -> dict[str, Any]:
    rows = [_one(event) for event in events]
    columns = {
        "merchants": "merchant_id",
        "names": "name",
        "payloads": "payload",
        "dedup_keys": "dedup_key",
        "occurred": "occurred_at",
        "ordering_keys": "ordering_key",
        "kinds": "kind",
    }
    return {parameter: [row[field] for row in rows] for parameter, field in columns.items()}
