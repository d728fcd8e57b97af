"""A catalogue refreshed by a worker that is killed three times on the way: what it held at most, and whether anything is missing.

The stand-in validates every product and has no limit of its own, and the worker no budget: its memory is what is asked, and
it is highest where it may go as fast as it can.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.histories import catalogue_of, write_catalogue
from benchmarks.memory import peak_rss_mb
from benchmarks.report import Bar, Cell, Say
from benchmarks.shops import connect_merchants, merchant_id
from benchmarks.worker_process import ROOT, running_worker
from sandbox.omnisend import BrandKey, StandInProcess
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing

MEMORY_BAR: Final = Bar("at most", 150)
MISSING_BAR: Final = Bar("at most", 0)
KILLS: Final = 3
VARIANTS: Final = 3

_LEASE_S: Final = 30  # the shortest there is: what a killed worker holds waits for it to run out
_PATIENCE_S: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    products: int = 50_000
    version: str = "2026-03-15"


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """The peak of memory, and the products that differ in the end."""
    with PostgresServer(durable=True) as server, StandInProcess("--rate-limit", "0") as standin:
        database, ring = prepare_database(server, "refresh"), KeyRing.generate("bench")
        brand = standin.control.add_brand()
        connect_merchants(database, ring, 1, new_key=lambda: brand.key)
        write_catalogue(database, merchant_id(0), products=settings.products, variants=VARIANTS)
        started = time.monotonic()
        peaks = _refresh(database, ring, standin, settings, say)
        seconds = time.monotonic() - started
        differing = _differing(database, standin, brand)
        sync = _sync(database)
    against = f"durable embedded PostgreSQL, the validating stand-in, version {settings.version}; one process, no budget"
    figures = {
        "kills": KILLS,
        "seconds": seconds,
        "products a second": settings.products / seconds,
        "peaks MB": peaks,
        "sync": sync,
    }
    name = f"refresh: {settings.products:,} products of {VARIANTS} variants, killed {KILLS} times"
    yield Cell(
        name=f"{name}: peak RSS of a worker in MB",
        value=max(peaks),
        bar=MEMORY_BAR,
        against=against,
        figures=figures,
    )
    lost = settings.products - sync["items_sent"]
    yield Cell(
        name=f"{name}: products that differ at Omnisend, or were not confirmed",
        value=differing + abs(lost),
        bar=MISSING_BAR,
        against=against,
        figures={"differing": differing, "not confirmed": lost},
    )


def _refresh(
    database: Database, ring: str, standin: StandInProcess, settings: Settings, say: Say
) -> list[float]:
    """Start it by command and see it to its end; what each worker held at most, in MB."""
    environment = {
        "DATABASE_URL": database.url("omnisend_worker"),
        "OUTBOX_ENCRYPTION_KEYS": ring,
        "OMNISEND_BASE_URL": standin.url,
        "OMNISEND_API_VERSION": settings.version,
    }
    command = [
        sys.executable,
        "-m",
        "cli.main",
        "resync",
        "products",
        "--merchant",
        "bench-0",
        "--detach",
        "--json",
    ]
    subprocess.run(command, env=os.environ | environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    more: dict[str, Any] = {"OMNISEND_API_VERSION": settings.version, "LEASE_SECONDS": str(_LEASE_S)}
    peaks = []
    for kill in range(1, KILLS + 1):
        with running_worker(database, standin.url, ring, **more) as worker:
            _wait_for(database, kill * settings.products // (KILLS + 1))
            peaks.append(peak_rss_mb(worker.pid))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        say(
            f"refresh: killed a worker after {_sync(database)['items_sent']:,} products, at {peaks[-1]:.0f} MB"
        )
    with running_worker(database, standin.url, ring, **more) as worker:
        _wait_for_the_end(database)
        peaks.append(peak_rss_mb(worker.pid))
    return peaks


def _wait_for(database: Database, sent: int) -> None:
    until = time.monotonic() + _PATIENCE_S
    while _sync(database)["items_sent"] < sent:
        if time.monotonic() > until:
            raise TimeoutError(f"{sent:,} products were not sent within {_PATIENCE_S:g} s")
        time.sleep(0.05)


def _wait_for_the_end(database: Database) -> None:
    pending = "select 1 from public.integrations_omnisend_outbox where state = 'pending' limit 1"
    until = time.monotonic() + _PATIENCE_S
    with database.connect(database.superuser, autocommit=True) as conn:
        while conn.execute(pending).fetchone() is not None:
            if time.monotonic() > until:
                raise TimeoutError(f"rows still wait after {_PATIENCE_S:g} s")
            time.sleep(0.1)


def _sync(database: Database) -> dict[str, Any]:
    with database.connect(database.superuser) as conn:
        row = conn.execute(
            "select to_jsonb(s) from public.integrations_omnisend_syncs s order by id desc limit 1"
        ).fetchone()
    if row is None:
        raise RuntimeError("the command began no sync")
    found: dict[str, Any] = row[0]
    return found


def _differing(database: Database, standin: StandInProcess, brand: BrandKey) -> int:
    """How many products are not at Omnisend as they are in the shop, or only there."""
    wanted = catalogue_of(database, merchant_id(0))
    there = {}
    for product in standin.control.products(brand.brand_id):
        content = json.loads(bytes(product.body))
        there[product.product_id] = (
            content["title"],
            tuple(float(variant["price"]) for variant in content["variants"]),
        )
    return sum(wanted.get(one) != there.get(one) for one in wanted.keys() | there.keys())
