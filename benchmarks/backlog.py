"""A backlog to drain: orders whose rows wait in the outbox, the requests they will become, and the wait for the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from sandbox.world import Database
from soldt_outbox.omnisend.mapping import map_event
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, OutboxRow

# Orders as SOLDT's browser writes them; every merchant is its own customers' world.
_ORDERS: Final = """
insert into public.orders (merchant_id, customer_email, customer_name, customer_phone, shipping_address, items,
  subtotal, shipping, tax, total, payment_method, notes)
select m.id, 'customer' || n || '@example.com', 'Thandi Nkosi', '082 123 ' || lpad((n %% 10000)::text, 4, '0'),
  '{"address": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001"}',
  '[{"product_id": 901, "variant_id": 77, "title": "Linen shirt", "variant_title": "M / Blue", "quantity": 2, "price": 349.5, "subtotal": 699.0},
    {"product_id": 902, "variant_id": null, "title": "Socks", "variant_title": null, "quantity": 1, "price": 49.99, "subtotal": 49.99}]',
  748.99, 60, 0, 808.99, 'card', 'Please ring the bell'
from generate_series(1, %(rows)s) as n
join public.merchants m on m.slug = 'bench-' || (n %% %(merchants)s)
"""

_ROWS: Final = """
select o.*, coalesce(o.payload, omnisend_private.placed_order(o.id)) as payload
from public.integrations_omnisend_outbox o
order by o.id
"""


def write_orders(database: Database, *, rows: int, merchants: int) -> None:
    """Empty outbox, log and orders, and write ``rows`` orders of the first ``merchants`` merchants in turn."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute(
            "truncate public.integrations_omnisend_outbox, public.integrations_omnisend_logs, public.orders"
        )
        conn.execute(_ORDERS, {"rows": rows, "merchants": merchants})
        conn.execute("vacuum analyze public.integrations_omnisend_outbox")


def ready_bodies(database: Database, keys: dict[UUID, str]) -> list[tuple[str, bytes]]:
    """What the worker will send for the rows that wait, mapped beforehand: key and body of each."""
    bodies = []
    with psycopg.connect(database.url(database.superuser), row_factory=dict_row) as conn:
        for row in conn.execute(_ROWS):
            fields = {name: row[name] for name in OutboxRow.__struct_fields__ if name in row}
            fields |= {"kind": Kind(row["kind"]), "expired": False, "lease_token": row["merchant_id"]}
            profile = MerchantProfile(
                merchant_id=row["merchant_id"], storefront_url="https://soldt.co.za/s/bench"
            )
            request = map_event(OutboxRow(**fields), profile, {})
            assert isinstance(request, OmnisendRequest)  # noqa: S101
            bodies.append((keys[row["merchant_id"]], request.body))
    return bodies


@contextmanager
def file_of(bodies: list[tuple[str, bytes]]) -> Iterator[Path]:
    """A file with lines of ``key body``, for the processes that send them without our worker."""
    with tempfile.NamedTemporaryFile(suffix=".bodies") as file:
        file.write(b"\n".join(key.encode() + b" " + body for key, body in bodies))
        file.flush()
        yield Path(file.name)


def wait_until_settled(conn: psycopg.Connection, *, timeout_s: float) -> float:
    """Wait until no row is pending; when that was, by ``time.monotonic``. Raises ``TimeoutError``."""
    pending = "select 1 from public.integrations_omnisend_outbox where state = 'pending' limit 1"
    return wait_until(lambda: conn.execute(pending).fetchone() is None, timeout_s=timeout_s)


def wait_until(done: Callable[[], bool], *, timeout_s: float) -> float:
    """When it was asked for the first time that the answer was yes, by ``time.monotonic``. Raises ``TimeoutError``."""
    until = time.monotonic() + timeout_s
    while (asked := time.monotonic()) < until:
        if done():
            return asked
        time.sleep(0.01)
    raise TimeoutError(f"rows were still waiting after {timeout_s:g} s")
