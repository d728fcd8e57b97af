"""What quiet merchants notice of one with a great backlog: how long their events take, with the flood and without.

One process, the sink as receiver. Twice: with the product's budget, under which the backlog leaves at six a second, and
with one that never binds, so that the backlog takes whatever the worker has. Rounds take turns with and without.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import orders
from benchmarks.backlog import write_orders
from benchmarks.report import Bar, Cell, Say
from benchmarks.shops import connect_merchants
from benchmarks.sink import SinkProcess
from benchmarks.steady_writer import SteadyWriter, Written
from benchmarks.waits import Waits, arrivals_of
from benchmarks.worker_process import running_worker
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing

BAR: Final = Bar("at most", 1.5)
QUIET: Final = range(1, 50)  # one event a second each; merchant 0 has the flood
BUDGETS: Final = {"budget of 400 a minute": 400, "no budget": 100_000_000}

_WARM_UP_S: Final = 1.0  # of each run, not counted: shops looked up, connections opened
_READY_S: Final = 30.0
_PATIENCE_S: Final = 30.0  # for events still to come when the last is committed
_FEW: Final = 200  # events below which a 99th percentile is the one or two slowest


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    flood: int = 100_000
    seconds: float = 20
    rounds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    database: Database
    ring: str
    sink: SinkProcess


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """A ratio for each budget."""
    ring = KeyRing.generate("bench")
    with PostgresServer(durable=True) as server, SinkProcess() as sink:
        database = prepare_database(server, "fairness")
        connect_merchants(database, ring, QUIET.stop)
        world = World(database=database, ring=ring, sink=sink)
        for name in BUDGETS:
            yield _cell(world, name, settings, say)


def _cell(world: World, name: str, settings: Settings, say: Say) -> Cell:
    without: list[Waits] = []
    flooded: list[Waits] = []
    for number in range(1, settings.rounds + 1):
        for flood, results in [(0, without), (settings.flood, flooded)][:: 1 if number % 2 else -1]:
            results.append(_run(world, BUDGETS[name], flood, settings.seconds))
        say(
            f"fairness, {name}, round {number}/{settings.rounds}: p99 of the quiet ones "
            f"{without[-1].at(0.99):.0f} ms without the flood, {flooded[-1].at(0.99):.0f} ms with it"
        )
    ratios = [with_it.at(0.99) / plain.at(0.99) for plain, with_it in zip(without, flooded, strict=True)]
    return Cell(
        name=f"fairness: p99 of {len(QUIET)} quiet merchants, with / without another's {settings.flood:,} rows, {name}",
        value=statistics.median(ratios),
        bar=BAR,
        against="durable embedded PostgreSQL, the sink; one worker process; an order a second of each quiet merchant",
        figures={
            **_figures("without", without),
            **_figures("with", flooded),
            "rounds": ratios,
        },
        note=_note(flooded),
    )


def _run(world: World, budget: int, flood: int, seconds: float) -> Waits:
    """The quiet merchants' waits, as far as rows of the flood were being sent all the while."""
    orders.forget_all(world.database)
    world.sink.reset()
    if flood:
        _write_flood(world.database, flood)
    writer = SteadyWriter(
        orders.__name__, world.database.url(), rate=len(QUIET), seconds=_WARM_UP_S + seconds, merchants=QUIET
    )
    worker = running_worker(
        world.database, world.sink.url, world.ring, OMNISEND_REQUESTS_PER_MINUTE=str(budget)
    )
    with writer, worker:
        world.sink.wait_for(2 if flood else 1, timeout_s=_READY_S)
        writer.go()
        written = writer.written()
        arrivals = arrivals_of(written, world.sink, patience_s=_PATIENCE_S)
    flooded_until = _last_of_others(arrivals, written) if flood else math.inf
    counted = [
        one for one in written if one.due >= written[0].due + _WARM_UP_S and one.committed <= flooded_until
    ]
    if not counted:
        raise RuntimeError(f"{flood:,} rows were sent before a quiet merchant's event came: use more")
    return Waits.of(counted, arrivals)


def _write_flood(database: Database, rows: int) -> None:
    write_orders(database, rows=rows, merchants=1)
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("checkpoint")  # else the server writes it all out while the quiet ones are measured


def _last_of_others(arrivals: Mapping[str, float], written: Sequence[Written]) -> float:
    return max(arrivals[event] for event in arrivals.keys() - {one.event for one in written})


def _figures(words: str, rounds: Sequence[Waits]) -> dict[str, float]:
    return {
        f"{words} p50 ms": statistics.median(waits.at(0.50) for waits in rounds),
        f"{words} p95 ms": statistics.median(waits.at(0.95) for waits in rounds),
        f"{words} p99 ms": statistics.median(waits.at(0.99) for waits in rounds),
        f"{words} events": sum(len(waits.committed) for waits in rounds),
        f"{words} never arrived": sum(waits.missing for waits in rounds),
        f"{words} writer late ms, p99": max(waits.late_by(0.99) for waits in rounds),
    }


def _note(flooded: Sequence[Waits]) -> str:
    fewest = min(len(waits.committed) for waits in flooded)
    if fewest >= _FEW:
        return ""
    return f"only {fewest} events came during a flood: their 99th percentile is the one or two slowest"
