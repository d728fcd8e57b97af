"""What one brand gets from ten workers in a minute: never more than Omnisend's limit, and not much less while rows are due.

Ten processes that know nothing of each other, each started by itself, with the product's budget. The stand-in validates,
and its own limit is off: what counts is what was sent, not what was let in.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from benchmarks.backlog import write_orders
from benchmarks.report import Bar, Cell, Say
from benchmarks.shops import connect_merchants
from benchmarks.worker_process import running_worker
from sandbox.omnisend import StandInProcess
from sandbox.postgres import PostgresServer
from sandbox.world import prepare_database
from soldt_outbox.credentials import KeyRing

LIMIT: Final = 400  # Omnisend's, a brand and sliding minute
MOST_BAR: Final = Bar("at most", LIMIT)
LEAST_BAR: Final = Bar("at least", 340)
WINDOW_S: Final = 60.0
WORKERS: Final = 10

_READY_S: Final = 60.0  # ten processes start at once, on however few cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    brands: int = 3
    rows: int = 1_500  # of each brand: more than may leave in the time
    seconds: float = 150


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """The most requests of a brand in any minute, and the fewest in any in which it had rows due."""
    with PostgresServer(durable=True) as server, StandInProcess("--rate-limit", "0") as standin:
        arrivals, ended = _arrivals(server, standin, settings, say)
        total = standin.control.summary().total
    most = {brand: max(requests_before(instants)) for brand, instants in arrivals.items()}
    fewest = {
        brand: min(requests_after(instants, until=_due_until(instants, settings.rows, ended)))
        for brand, instants in arrivals.items()
    }
    against = f"durable embedded PostgreSQL, the validating stand-in without a limit of its own; {WORKERS} processes, {settings.seconds:g} s"
    figures = {
        "requests": total.received,
        "different events": total.unique,
        "statuses": total.statuses,
        "requests of each brand": {brand: len(instants) for brand, instants in arrivals.items()},
    }
    yield Cell(
        name=f"budget: most requests of a brand in any {WINDOW_S:g} s, {WORKERS} workers",
        value=max(most.values()),
        bar=MOST_BAR,
        against=against,
        figures={**figures, "of each brand": most},
    )
    yield Cell(
        name=f"budget: fewest requests of a brand in any {WINDOW_S:g} s with rows due, {WORKERS} workers",
        value=min(fewest.values()),
        bar=LEAST_BAR,
        against=against,
        figures={**figures, "of each brand": fewest},
    )


def _arrivals(
    server: PostgresServer, standin: StandInProcess, settings: Settings, say: Say
) -> tuple[Mapping[str, Sequence[float]], float]:
    """When each brand's requests came, by ``time.monotonic``, and when workers were told to stop."""
    brands = [standin.control.add_brand() for _ in range(settings.brands)]
    keys = iter(brands)
    database, ring = prepare_database(server, "budget"), KeyRing.generate("bench")
    connect_merchants(database, ring, settings.brands, new_key=lambda: next(keys).key)
    write_orders(database, rows=settings.brands * settings.rows, merchants=settings.brands)
    with ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(
                running_worker(database, standin.url, ring, OMNISEND_REQUESTS_PER_MINUTE=str(LIMIT))
            )
        standin.control.wait_for(1, of="received", timeout_s=_READY_S)
        say(f"budget: {WORKERS} workers are at it for {settings.seconds:g} s")
        time.sleep(settings.seconds)
        ended = time.monotonic()
    return {
        brand.brand_id: [one.arrived_monotonic for one in standin.control.received(brand=brand.brand_id)]
        for brand in brands
    }, ended


def _due_until(instants: Sequence[float], rows: int, ended: float) -> float:
    """Until when a brand had rows due and workers to send them."""
    return ended if len(instants) < rows else min(ended, instants[-1])


def requests_before(instants: Sequence[float]) -> list[int]:
    """How many came in the window that ends with each, this one included: no window holds more than the fullest of these."""
    return [
        position + 1 - bisect_right(instants, instant - WINDOW_S) for position, instant in enumerate(instants)
    ]


def requests_after(instants: Sequence[float], *, until: float) -> list[int]:
    """How many came in the window that begins just after each, of windows that end by ``until``: none holds fewer than the emptiest.

    Raises:
        ValueError: no window ends by then.
    """
    counts = [
        bisect_right(instants, instant + WINDOW_S) - position - 1
        for position, instant in enumerate(instants)
        if instant + WINDOW_S <= until
    ]
    if not counts:
        raise ValueError(f"{WINDOW_S:g} s had not passed since the first request: measure for longer")
    return counts
