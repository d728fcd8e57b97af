"""A shop that sells: its catalogue changes, and what the outbox holds of it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from sandbox.shops import PROTEA, Shop
from sandbox.world import Database
from soldt_outbox.rows import Kind, OutboxRow
from soldt_outbox.sql import queries
from tests.support.shop import claim_parameters, claimed_row, connect_shop

MUG = 102
SHIRT = 101
SHIRT_S, SHIRT_M = 1011, 1012
SUMMER = 11


def sync_shop(database: Database, shop: Shop = PROTEA, *, status: str = "connected") -> None:
    """Give a shop a connection that tells of its catalogue."""
    connect_shop(database, shop, status=status)
    with database.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend set sync_catalogue = true where merchant_id = %s",
            [shop.merchant_id],
        )


def update(conn: psycopg.Connection, table: str, row_id: int, **columns: Any) -> None:
    """Change a row of a table of the shop's."""
    settings = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    done = conn.execute(
        sql.SQL("update {} set {} where id = %s").format(sql.Identifier("public", table), settings),
        [*columns.values(), row_id],
    )
    assert done.rowcount == 1


def reprice(conn: psycopg.Connection, price: float, product_id: int = MUG) -> None:
    update(conn, "products", product_id, price=price)


def told(database: Database) -> list[str]:
    """What rows there are of the catalogue, in order: ``product 102``."""
    with database.connect() as conn:
        rows = conn.execute(
            """
            select kind || ' ' || coalesce(payload ->> 'product_id', payload ->> 'collection_id')
            from public.integrations_omnisend_outbox where kind in ('product', 'category') order by id
            """
        ).fetchall()
    return [row for (row,) in rows]


def forget(database: Database) -> None:
    """Empty the outbox."""
    with database.connect() as conn:
        conn.execute("delete from public.integrations_omnisend_outbox")


def take(worker: psycopg.Connection, kind: Kind = Kind.PRODUCT, *, limit: int = 100) -> list[OutboxRow]:
    """The worker's own claim of rows of a kind, in whatever transaction ``worker`` is in."""
    worker.execute(queries["due_merchants"])
    parameters = claim_parameters([PROTEA.merchant_id], limit=limit) | {"kinds": [kind]}
    rows = worker.cursor(row_factory=dict_row).execute(queries["claim"], parameters).fetchall()
    return [claimed_row(row) for row in rows]


def deliver(worker: psycopg.Connection) -> None:
    """Settle all that is leased as delivered."""
    worker.execute(
        """
        update public.integrations_omnisend_outbox
        set state = 'delivered', settled_at = now(), payload = null, ordering_key = null,
          lease_token = null, lease_until = null, leased_by = null
        where state = 'pending' and lease_token is not null
        """
    )
