"""What a merchant's live events notice of the import of its own history, which goes on at the same time within the same budget.

The stand-in validates and refuses what is over Omnisend's limit. Live orders are written at a steady rate for as long as the
import lasts; only those that were committed before it ended count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import orders
from benchmarks.backlog import write_orders
from benchmarks.histories import make_history
from benchmarks.report import Bar, Cell, Say
from benchmarks.shops import connect_merchants
from benchmarks.steady_writer import SteadyWriter, Written
from benchmarks.waits import Waits
from benchmarks.worker_process import ROOT, running_worker
from sandbox.omnisend import BrandKey, StandInProcess
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing

LIMIT: Final = 400
BAR: Final = Bar("at most", 1_000)
_PATIENCE_S: Final = 30.0  # for live events still to come when the import is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    orders: int = 20_000
    rate: float = 1.0  # live orders a second
    seconds: float = 150  # longer than the import takes


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """The median wait of the live events."""
    with (
        PostgresServer(durable=True) as server,
        StandInProcess("--rate-limit", str(LIMIT)) as standin,
    ):
        database, ring = prepare_database(server, "backfill"), KeyRing.generate("bench")
        brand = standin.control.add_brand()
        connect_merchants(database, ring, 1, new_key=lambda: brand.key)
        write_orders(database, rows=settings.orders, merchants=1)
        make_history(database)
        say(f"backfill: {settings.orders:,} orders of last year are there")
        written, sync, ended = _import(database, ring, standin, settings)
        arrivals = _arrivals(standin, brand, written)
        total = standin.control.summary().total
    counted = [one for one in written if one.committed < ended]
    waits = Waits.of(counted, arrivals)
    yield Cell(
        name=f"backfill: median ms a live event waits while {settings.orders:,} orders of its merchant are imported",
        value=waits.at(0.50),
        bar=BAR,
        against=f"durable embedded PostgreSQL, the validating stand-in at {LIMIT} a minute; one process, {settings.rate:g} live orders a second",
        figures={
            **waits.figures(),
            "events imported": sync["items_sent"],
            "rejected": sync["items_rejected"],
            "statuses": total.statuses,
            "different events at Omnisend": total.unique,
        },
        note="" if sync["state"] == "finished" else f"the import was not over: {sync['state']}",
    )


def _import(
    database: Database, ring: str, standin: StandInProcess, settings: Settings
) -> tuple[list[Written], dict[str, Any], float]:
    """Import with live orders beside it: these, how the sync ended, and when, by ``time.monotonic``."""
    environment = {
        "DATABASE_URL": database.url("omnisend_worker"),
        "OUTBOX_ENCRYPTION_KEYS": ring,
        "OMNISEND_BASE_URL": standin.url,
        "OMNISEND_API_VERSION": "2026-03-15",
    }
    command = [
        *(sys.executable, "-m", "cli.main", "backfill", "orders", "--merchant", "bench-0"),
        *("--since", "2025-01-01", "--yes", "--json"),
    ]
    writer = SteadyWriter(
        orders.__name__, database.url(), rate=settings.rate, seconds=settings.seconds, merchants=range(1)
    )
    worker = running_worker(
        database,
        standin.url,
        ring,
        OMNISEND_REQUESTS_PER_MINUTE=str(LIMIT),
        OMNISEND_API_VERSION="2026-03-15",
    )
    with writer, worker:
        standin.control.wait_for(1, timeout_s=_PATIENCE_S)  # the writer's order ahead
        writer.go()
        subprocess.run(
            command, env=os.environ | environment, cwd=ROOT, check=False, stdout=subprocess.DEVNULL
        )
        ended = time.monotonic()
        imported = standin.control.summary().total.accepted
        written = writer.written()
        later = sum(one.committed > ended for one in written)
        standin.control.wait_for(imported + later, timeout_s=_PATIENCE_S)
    with database.connect(database.superuser) as conn:
        row = conn.execute("select to_jsonb(s) from public.integrations_omnisend_syncs s").fetchone()
    assert row is not None  # noqa: S101 - the command made it
    return written, row[0], ended


def _arrivals(standin: StandInProcess, brand: BrandKey, written: list[Written]) -> dict[str, float]:
    """When live events came that were taken, by ``time.monotonic``."""
    wanted = {one.event for one in written}
    return {
        one.event_id: one.arrived_monotonic
        for one in standin.control.received(brand=brand.brand_id)
        if one.accepted and one.event_id in wanted
    }
