"""How fast a worker drains a backlog, against the same client posting the same bodies in a bare loop.

All are processes of their own, against the same stand-in (validating, no faults, no rate limit), in alternating
rounds of one run: the bare loop, a worker of one process, and one of two. The worker does more: claims in order under
a budget, maps, redacts, writes a log row, settles behind a fence; all of it is counted, from the first request to
arrive until the last row is settled.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.backlog import file_of, ready_bodies, wait_until_settled, write_orders
from benchmarks.report import Bar, Cell, Rounds, Say, ratio
from benchmarks.shops import connect_merchants
from benchmarks.worker_process import ROOT, running_worker
from sandbox.omnisend import StandInProcess
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing

CONCURRENCY: Final = 64
PROCESSES: Final = (1, 2)
BAR: Final = Bar("at least", 0.50)
_TIMEOUT_S: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rows: int = 20_000
    merchants: int = 50
    rounds: int = 3


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """A cell for each number of processes."""
    worker, bare = _measure(settings, say)
    for processes, rates in worker.items():
        yield ratio(
            f"drain: {settings.rows:,} rows of {settings.merchants} merchants at the stand-in, "
            f"{processes} process{'es' if processes > 1 else ''} / bare loop",
            Rounds("worker rows/s", rates),
            Rounds("bare requests/s", bare),
            bar=BAR if processes == 1 else None,
            against="durable embedded PostgreSQL, the stand-in without faults; the same client posting the same bodies",
        )


def _measure(settings: Settings, say: Say) -> tuple[dict[int, list[float]], list[float]]:
    """Rows per second of each round, by number of processes, and of the bare loop beside it."""
    ring = KeyRing.generate("bench")
    worker: dict[int, list[float]] = {count: [] for count in PROCESSES}
    bare: list[float] = []
    with PostgresServer(durable=True) as server, StandInProcess("--rate-limit", "0") as standin:
        database = prepare_database(server, "bench")
        keys = connect_merchants(
            database, ring, settings.merchants, new_key=lambda: standin.control.add_brand().key
        )
        for number in range(1, settings.rounds + 1):
            for processes in PROCESSES if number % 2 else PROCESSES[::-1]:
                write_orders(database, rows=settings.rows, merchants=settings.merchants)
                if processes == PROCESSES[0]:
                    with file_of(ready_bodies(database, keys)) as file:
                        bare.append(_bare(standin, file, settings.rows))
                worker[processes].append(_worker(database, standin, ring, settings.rows, processes))
            drained = ", ".join(f"{rates[-1]:,.0f} rows/s with {count}" for count, rates in worker.items())
            say(f"drain {number}/{settings.rounds}: {drained}; bare loop {bare[-1]:,.0f} requests/s")
    return worker, bare


def _bare(standin: StandInProcess, file: Path, rows: int) -> float:
    standin.control.reset()
    run_bare_loop(standin.url, file)
    total = standin.control.summary().total
    assert total.accepted == rows, total  # noqa: S101
    return rows / (total.last_arrival - total.first_arrival)


def run_bare_loop(url: str, file: Path) -> None:
    """Post everything in ``file`` by a process of its own, with as many requests under way as a worker has."""
    command = [sys.executable, "-m", "benchmarks.bare_loop", url, str(CONCURRENCY), str(file)]
    subprocess.run(command, check=True, timeout=_TIMEOUT_S, cwd=ROOT)


def _worker(database: Database, standin: StandInProcess, ring: str, rows: int, processes: int) -> float:
    standin.control.reset()
    with (
        running_worker(database, standin.url, ring, processes=processes, concurrency=CONCURRENCY),
        database.connect(database.superuser, autocommit=True) as conn,
    ):
        standin.control.wait_for(rows, of="accepted", timeout_s=_TIMEOUT_S)
        settled = wait_until_settled(conn, timeout_s=_TIMEOUT_S)
    total = standin.control.summary().total
    assert total.accepted == total.unique == rows, total  # noqa: S101
    return rows / (settled - total.first_arrival)
