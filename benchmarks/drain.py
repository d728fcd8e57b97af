"""How fast a worker drains a backlog, against the same client posting the same bodies in a bare loop.

All are processes of their own, against the same stand-in (validating, no faults, no rate limit), in alternating
rounds of one run: the bare loop, a worker of one process, and one of two. The worker does more: claims in order under
a budget, maps, redacts, writes a log row, settles behind a fence; all of it is counted, from the first request to
arrive until the last row is settled.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from benchmarks.shops import connect_merchants
from benchmarks.worker_process import ROOT, running_worker
from sandbox.omnisend import StandInProcess
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing
from soldt_outbox.omnisend.dialects import V5
from soldt_outbox.omnisend.mapping import map_event
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, OutboxRow

ROWS = 20_000
MERCHANTS = 50
CONCURRENCY = 64
PROCESSES = (1, 2)
ROUNDS = 3
BAR = 0.50
_TIMEOUT_S = 180.0

# Orders as SOLDT's browser writes them; every merchant is its own customers' world.
_ORDERS = """
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

_ROWS = """
select o.*, coalesce(o.payload, omnisend_private.placed_order(o.id)) as payload
from public.integrations_omnisend_outbox o
order by o.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainResult:
    """Rows per second of each round, by number of processes, and of the bare loop beside it."""

    worker: dict[int, list[float]]
    bare: list[float]

    def ratio(self, processes: int) -> float:
        return statistics.median(w / b for w, b in zip(self.worker[processes], self.bare, strict=True))


def run(*, rows: int = ROWS, rounds: int = ROUNDS, say: object = print) -> DrainResult:
    """Measure. ``say`` is called with a line of progress now and then."""
    ring = KeyRing.generate("bench")
    worker: dict[int, list[float]] = {count: [] for count in PROCESSES}
    bare: list[float] = []
    with PostgresServer(durable=True) as server, StandInProcess("--rate-limit", "0") as standin:
        database = prepare_database(server, "bench")
        keys = connect_merchants(database, ring, MERCHANTS, new_key=lambda: standin.control.add_brand().key)
        for number in range(1, rounds + 1):
            for processes in PROCESSES if number % 2 else PROCESSES[::-1]:
                _write(database, rows)
                if processes == PROCESSES[0]:
                    bare.append(_bare(standin, _bodies(database, keys)))
                worker[processes].append(_worker(database, standin, ring, rows, processes))
            if callable(say):
                drained = ", ".join(
                    f"{rates[-1]:,.0f} rows/s with {count}" for count, rates in worker.items()
                )
                say(f"drain {number}/{rounds}: {drained}; bare loop {bare[-1]:,.0f} requests/s")
    return DrainResult(worker=worker, bare=bare)


def _write(database: Database, rows: int) -> None:
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute(
            "truncate public.integrations_omnisend_outbox, public.integrations_omnisend_logs, public.orders"
        )
        conn.execute(_ORDERS, {"rows": rows, "merchants": MERCHANTS})
        conn.execute("vacuum analyze public.integrations_omnisend_outbox")


def _bodies(database: Database, keys: dict[UUID, str]) -> list[tuple[str, bytes]]:
    """What the worker will send, mapped beforehand."""
    bodies = []
    with psycopg.connect(database.url(database.superuser), row_factory=dict_row) as conn:
        for row in conn.execute(_ROWS):
            fields = {name: row[name] for name in OutboxRow.__struct_fields__ if name in row}
            fields |= {"kind": Kind(row["kind"]), "expired": False, "lease_token": row["merchant_id"]}
            profile = MerchantProfile(
                merchant_id=row["merchant_id"], storefront_url="https://soldt.co.za/s/bench"
            )
            request = map_event(OutboxRow(**fields), profile, {}, V5)
            assert isinstance(request, OmnisendRequest)  # noqa: S101
            bodies.append((keys[row["merchant_id"]], request.body))
    return bodies


def _bare(standin: StandInProcess, bodies: list[tuple[str, bytes]]) -> float:
    standin.control.reset()
    with tempfile.NamedTemporaryFile(suffix=".bodies") as file:
        file.write(b"\n".join(key.encode() + b" " + body for key, body in bodies))
        file.flush()
        command = [sys.executable, "-m", "benchmarks.bare_loop", standin.url, str(CONCURRENCY), file.name]
        subprocess.run(command, check=True, timeout=_TIMEOUT_S, cwd=ROOT)
    total = standin.control.summary().total
    assert total.accepted == len(bodies), total  # noqa: S101
    return len(bodies) / (total.last_arrival - total.first_arrival)


def _worker(database: Database, standin: StandInProcess, ring: str, rows: int, processes: int) -> float:
    standin.control.reset()
    with (
        running_worker(database, standin.url, ring, processes=processes, concurrency=CONCURRENCY),
        database.connect(database.superuser, autocommit=True) as conn,
    ):
        standin.control.wait_for(rows, of="accepted", timeout_s=_TIMEOUT_S)
        _wait_until_settled(conn)
        settled = time.monotonic()
    total = standin.control.summary().total
    assert total.accepted == total.unique == rows, total  # noqa: S101
    return rows / (settled - total.first_arrival)


def _wait_until_settled(conn: psycopg.Connection) -> None:
    while conn.execute(
        "select 1 from public.integrations_omnisend_outbox where state = 'pending' limit 1"
    ).fetchone():
        time.sleep(0.01)
