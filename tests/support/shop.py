"""A shop at work: its connection to Omnisend, its orders, and what the outbox holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from sandbox.shops import PROTEA, Shop
from sandbox.world import Database
from soldt_outbox.rows import Kind, OutboxRow
from soldt_outbox.sql import queries
from soldt_outbox.store import MAX_CLAIMED_BYTES, MAX_RESCUES, PATIENCE

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
ITEM = {
    "product_id": 102,
    "variant_id": None,
    "title": "Enamel mug",
    "variant_title": None,
    "quantity": 1,
    "price": 149.5,
    "subtotal": 149.5,
}
ORDER: dict[str, Any] = {
    "merchant_id": PROTEA.merchant_id,
    "customer_email": "nomsa@example.com",
    "customer_name": "Nomsa Dlamini",
    "customer_phone": "082 123 4567",
    "shipping_address": {
        "address": "12 Long Street",
        "city": "Cape Town",
        "province": "Western Cape",
        "postalCode": "8001",
    },
    "items": [ITEM],
    "subtotal": 149.5,
    "total": 149.5,
}
"""An order as the storefront writes one; what is not named here is left to the table's defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A row of the outbox. A dead one's ``available_at`` is infinity, which Python has no date for: here the year 9999."""

    id: int
    merchant_id: UUID
    kind: str
    name: str
    dedup_key: str
    ordering_key: str | None
    payload: Any
    state: str
    attempts: int
    created_at: datetime
    available_at: datetime
    occurred_at: datetime
    expires_at: datetime


def connect_shop(
    database: Database, shop: Shop = PROTEA, *, status: str = "connected", api_key_enc: str | None = None
) -> None:
    """Give a shop a connection to Omnisend."""
    with database.connect() as conn:
        conn.execute(
            "insert into public.integrations_omnisend (merchant_id, status, api_key_enc) values (%s, %s, %s)",
            [shop.merchant_id, status, api_key_enc],
        )


def admin(database: Database, shop: Shop = PROTEA, *, autocommit: bool = True) -> psycopg.Connection:
    """A session of the shop's owner, as SOLDT's admin page has it."""
    return database.connect("authenticated", claims={"sub": shop.owner_id}, autocommit=autocommit)


def place(conn: psycopg.Connection, **columns: Any) -> int:
    """Insert an order, `ORDER` with ``columns`` in place of its own; its id."""
    row = conn.execute(
        sql.SQL("insert into public.orders ({}) values ({}) returning id").format(*_columns(columns)),
        [_adapted(value) for value in (ORDER | columns).values()],
    ).fetchone()
    assert row is not None
    return int(row[0])


def place_unseen(conn: psycopg.Connection, **columns: Any) -> None:
    """Insert an order as a browser does, which cannot read it back."""
    conn.execute(
        sql.SQL("insert into public.orders ({}) values ({})").format(*_columns(columns)),
        [_adapted(value) for value in (ORDER | columns).values()],
    )


def check_out_together(database: Database, count: int) -> None:
    """Place an order in each of so many sessions while those of all before it are uncommitted, then commit all at once.

    Each gives up on any lock after a millisecond. They write one after the other: adding a page to a table is a moment's wait
    for whoever adds one, too, and no wait for an order.
    """
    with ExitStack() as sessions, ThreadPoolExecutor(count) as pool:
        browsers = [sessions.enter_context(database.connect("anon")) for _ in range(count)]
        for browser in browsers:
            browser.execute("set lock_timeout = '1ms'")
            place_unseen(browser)
        list(pool.map(psycopg.Connection.commit, browsers))


def change(conn: psycopg.Connection, order_id: int, **columns: Any) -> None:
    """Update an order that this session sees."""
    settings = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    done = conn.execute(
        sql.SQL("update public.orders set {} where id = %s").format(settings),
        [*map(_adapted, columns.values()), order_id],
    )
    assert done.rowcount == 1


def remember(conn: psycopg.Connection, merchant_id: UUID) -> None:
    """As if a product had been told, and contacts had been read back."""
    conn.execute(
        "insert into omnisend_private.told_items values (%s, 'products', '1', '\\x00')", [merchant_id]
    )
    conn.execute("insert into omnisend_private.contact_watermarks values (%s, now())", [merchant_id])


def outbox(database: Database, shop: Shop | None = PROTEA) -> list[Written]:
    """The outbox's rows, of one shop or of all, in the order in which they were written, with what they would tell."""
    with database.connect() as conn, conn.cursor(row_factory=class_row(Written)) as cursor:
        return cursor.execute(
            """
            select id, merchant_id, kind::text, name, dedup_key, ordering_key,
              coalesce(payload, omnisend_private.placed_order(id)) as payload, state::text, attempts, created_at,
              least(available_at, '9999-12-30') as available_at, occurred_at, expires_at
            from public.integrations_omnisend_outbox
            where %(merchant_id)s::uuid is null or merchant_id = %(merchant_id)s order by id
            """,
            {"merchant_id": shop and shop.merchant_id},
        ).fetchall()


def names(database: Database, shop: Shop | None = PROTEA) -> list[str]:
    """What was written, by name; payloads stay unread."""
    with database.connect() as conn:
        rows = conn.execute(
            """
            select name from public.integrations_omnisend_outbox
            where %(merchant_id)s::uuid is null or merchant_id = %(merchant_id)s order by id
            """,
            {"merchant_id": shop and shop.merchant_id},
        ).fetchall()
    return [name for (name,) in rows]


def claim_parameters(merchants: Sequence[UUID], *, limit: int) -> dict[str, Any]:
    """The claim's, with a budget that is not what is tested."""
    return {
        "merchants": list(merchants),
        "kinds": [Kind.EVENT] * len(merchants),
        "since": [LONG_AGO] * len(merchants),
        "limit": limit,
        "worker_id": "test",
        "lease": timedelta(minutes=1),
        "interval": timedelta(milliseconds=1),
        "burst": timedelta(minutes=1),
        "patience": PATIENCE,
        "most_rescues": MAX_RESCUES,
        "most_bytes": MAX_CLAIMED_BYTES,
    }


def claimed_row(row: dict[str, Any]) -> OutboxRow:
    """A row of the worker's claim, of an ordinary size."""
    assert row.pop("most_of_it") is None
    return OutboxRow(**row | {"kind": Kind(row["kind"])})


def claim(worker: psycopg.Connection, *, limit: int = 100, column: str = "id") -> list[Any]:
    """The worker's own claim, in whatever transaction ``worker`` is in; the ids leased, or another column."""
    worker.execute(queries["due_merchants"])
    cursor = worker.cursor(row_factory=dict_row)
    rows = cursor.execute(queries["claim"], claim_parameters([PROTEA.merchant_id], limit=limit)).fetchall()
    return [row[column] for row in rows]


def _columns(columns: dict[str, Any]) -> tuple[sql.Composed, sql.Composed]:
    wanted = ORDER | columns
    return sql.SQL(", ").join(map(sql.Identifier, wanted)), sql.SQL(", ").join(
        sql.Placeholder() * len(wanted)
    )


def _adapted(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict | list) else value
