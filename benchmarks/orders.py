"""The steady writer's orders, as SOLDT's browsers write them, through the trigger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from benchmarks.order_load import ADDRESS, ITEMS
from benchmarks.shops import merchant_id
from benchmarks.steady_writer import Write
from sandbox.world import Database
from soldt_outbox.omnisend.identity import event_id

_INSERT: Final = """insert into public.orders (merchant_id, customer_email, customer_name, customer_phone,
  shipping_address, items, subtotal, shipping, tax, total, status, payment_status, payment_method, notes)
values (%(merchant)s, %(email)s, 'Naledi van der Merwe', '082 123 4567', %(address)s::jsonb, %(items)s::jsonb,
  1947.50, 99.00, 254.02, 2046.50, 'pending', 'pending', 'payfast', 'Please ring at the gate')
returning id"""
_DOCUMENTS: Final = {"address": json.dumps(ADDRESS), "items": json.dumps(ITEMS)}


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Write]:
    """Write orders through the trigger, each a transaction of its own, over one connection."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:

        async def write(merchant: int, number: int) -> str:
            shop = merchant_id(merchant)
            values = {"merchant": shop, "email": f"steady{number}@shopper.example", **_DOCUMENTS}
            row = await (await conn.execute(_INSERT, values)).fetchone()
            if row is None:
                raise RuntimeError("an insert returned no id")
            return str(event_id(shop, "order_placed", str(row[0])))

        yield write


def forget_all(database: Database) -> None:
    """As if nothing had been ordered or sent yet: no rows, no logs, no budget used."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("""truncate public.orders, public.integrations_omnisend_outbox, public.integrations_omnisend_logs,
            public.integrations_omnisend_lanes""")
