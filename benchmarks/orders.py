"""Orders as SOLDT's browsers write them, of the benchmark's merchants: one by one, and a backlog at once."""

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

_COLUMNS: Final = """insert into public.orders (merchant_id, customer_email, customer_name, customer_phone,
  shipping_address, items, subtotal, shipping, tax, total, status, payment_status, payment_method, notes)"""
_VALUES: Final = """'Naledi van der Merwe', '082 123 4567', %(address)s::jsonb, %(items)s::jsonb,
  1947.50, 99.00, 254.02, 2046.50, 'pending', 'pending', 'payfast', 'Please ring at the gate'"""
_DOCUMENTS: Final = {"address": json.dumps(ADDRESS), "items": json.dumps(ITEMS)}

_ONE: Final = f"{_COLUMNS} values (%(merchant)s, %(email)s, {_VALUES}) returning id"
_MANY: Final = f"""{_COLUMNS}
select m.id, 'customer' || n || '@shopper.example', {_VALUES}
from generate_series(1, %(orders)s) as n
join unnest(%(merchants)s::uuid[]) with ordinality as m (id, number) on m.number = 1 + n %% %(count)s"""


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Write]:
    """Write orders through the trigger, each a transaction of its own, over one connection."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:

        async def write(merchant: int, number: int) -> str:
            shop = merchant_id(merchant)
            values = {"merchant": shop, "email": f"steady{number}@shopper.example", **_DOCUMENTS}
            row = await (await conn.execute(_ONE, values)).fetchone()
            if row is None:
                raise RuntimeError("an insert returned no id")
            return str(event_id(shop, "order_placed", str(row[0])))

        yield write


def write_backlog(database: Database, orders: int, *, merchants: range) -> None:
    """Commit so many orders at once, dealt out to these merchants in turn; each is another customer's."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute(
            _MANY,
            {
                "orders": orders,
                "merchants": [merchant_id(number) for number in merchants],
                "count": len(merchants),
                **_DOCUMENTS,
            },
        )
        conn.execute("vacuum analyze public.integrations_omnisend_outbox")
        conn.execute("checkpoint")  # else the server writes it all out while something is measured


def forget_all(database: Database) -> None:
    """As if nothing had been ordered or sent yet: no rows, no logs, no budget used."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("""truncate public.orders, public.integrations_omnisend_outbox, public.integrations_omnisend_logs,
            public.integrations_omnisend_lanes""")
