"""The steady writer's orders, as SOLDT's browsers write them, through the trigger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from benchmarks.shops import merchant_id
from benchmarks.steady_writer import Write
from benchmarks.the_order import PSYCOPG_INSERT, TEXTS
from sandbox.world import Database
from soldt_outbox.omnisend.identity import event_id


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Write]:
    """Write orders through the trigger, each a transaction of its own, over one connection."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:

        async def write(merchant: int, number: int) -> str:
            shop = merchant_id(merchant)
            values = {"merchant": shop, "email": f"steady{number}@shopper.example", **TEXTS}
            row = await (await conn.execute(PSYCOPG_INSERT, values)).fetchone()
            if row is None:
                raise RuntimeError("an insert returned no id")
            return str(event_id(shop, "order_placed", str(row[0])))

        yield write


def forget_all(database: Database) -> None:
    """As if nothing had been ordered or sent yet: no rows, no logs, no budget used."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("""truncate public.orders, public.integrations_omnisend_outbox, public.integrations_omnisend_logs,
            public.integrations_omnisend_lanes""")
