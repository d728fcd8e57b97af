"""The most memory a worker held while a million rows were due, and how much of it an idle one holds already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.backlog import write_orders
from benchmarks.report import Bar, Cell, Say
from benchmarks.shops import connect_merchants
from benchmarks.sink import SinkProcess
from benchmarks.worker_process import running_worker
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing

BAR: Final = Bar("at most", 150)

_READY_S: Final = 30.0
_IDLE_S: Final = 3.0  # for an idle worker to have done everything it does once


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rows: int = 1_000_000
    merchants: int = 1_000
    seconds: float = 20


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """One cell, skipped where the system does not say what a process held at most."""
    name = f"memory: peak RSS in MB of a worker with {settings.rows:,} rows of {settings.merchants:,} merchants due"
    against = "embedded PostgreSQL, the sink; one process, 64 requests under way, no budget"
    if not Path("/proc/self/status").exists():
        note = "SKIPPED: the peak is read from /proc/<pid>/status, which Linux has"
        say(note)
        yield Cell(name=name, value=None, bar=BAR, against=against, note=note)
        return
    with PostgresServer() as server, SinkProcess() as sink:
        database, ring = prepare_database(server, "memory"), KeyRing.generate("bench")
        connect_merchants(database, ring, settings.merchants)
        idle = _idle(database, sink, ring)
        say(f"memory: an idle worker held {idle:.0f} MB at most; writing {settings.rows:,} orders")
        write_orders(database, rows=settings.rows, merchants=settings.merchants)
        peak, sent = _draining(database, sink, ring, settings.seconds)
        yield Cell(
            name=name,
            value=peak,
            bar=BAR,
            against=against,
            figures={
                "idle MB": idle,
                "share of an idle one's": idle / peak,
                "rows sent meanwhile": sent,
                "rows due at the end": settings.rows - sent,
            },
            note="" if sent < settings.rows else "every row was sent before the end: use more",
        )


def _idle(database: Database, sink: SinkProcess, ring: str) -> float:
    with (
        running_worker(database, sink.url, ring) as process,
        database.connect(database.superuser, autocommit=True) as conn,
    ):
        until = time.monotonic() + _READY_S
        while conn.execute("select from public.integrations_omnisend_workers").fetchone() is None:
            if time.monotonic() > until:
                raise TimeoutError(f"the worker gave no sign of life within {_READY_S:g} s")
            time.sleep(0.05)
        time.sleep(_IDLE_S)
        return peak_rss_mb(process.pid)


def _draining(database: Database, sink: SinkProcess, ring: str, seconds: float) -> tuple[float, int]:
    """The peak, and how many rows were sent when it was read."""
    with running_worker(database, sink.url, ring) as process:
        sink.wait_for(1, timeout_s=_READY_S)
        time.sleep(seconds)
        return peak_rss_mb(process.pid), sink.summary()["events"]


def peak_rss_mb(pid: int) -> float:
    """What a process held resident at most since it began, in MB of 10^6 bytes. Linux."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/{pid}/status does not say VmHWM: the process has ended")
