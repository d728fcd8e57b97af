"""Looking up what rows are sent with: no row, and no slow table, keeps the others from being sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import psycopg
import pytest

from soldt_outbox.backoff import DEFAULT_POLICY
from soldt_outbox.rows import OutboxRow, Outcome, Verdict
from tests.support.worker_rows import Clock, row
from worker import preparing
from worker.holdings import Holdings
from worker.preparing import Preparer
from worker.surroundings import Surroundings

LEASE = timedelta(seconds=60)
AROUND = Surroundings(shops={})


class Bench:
    """Look-ups that fail for the rows in ``odd``, a dispatcher and a settler that note what they get."""

    def __init__(self, *odd: OutboxRow, error: Exception | None = None) -> None:
        self.odd = odd
        self.error = error or TypeError("'Unreadable' object is not iterable")
        self.looked_up: list[int] = []
        self.taken: list[OutboxRow] = []
        self.settled: list[Outcome] = []
        self.stopping = asyncio.Event()
        self.clock = Clock()
        self.holdings = Holdings(LEASE, margin=timedelta(seconds=12), clock=self.clock)
        self.preparer = Preparer(
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            self.holdings,
            self,  # type: ignore[arg-type]
            stopping=self.stopping,
            patience=LEASE,
            policy=DEFAULT_POLICY,
        )

    async def around(self, rows: Sequence[OutboxRow]) -> Surroundings:
        self.looked_up.append(len(rows))
        if any(one in self.odd for one in rows):
            raise self.error
        return AROUND

    def take(self, rows: Sequence[OutboxRow], around: Surroundings) -> None:
        assert around == AROUND
        self.taken.extend(rows)

    def add(self, outcome: Outcome) -> None:
        self.settled.append(outcome)


async def test_a_defect_in_a_look_up_is_the_row_s_own_and_the_others_are_sent() -> None:
    rows = [row() for _ in range(9)]
    bench = Bench(rows[4])
    await bench.preparer.hand_on(rows)
    assert bench.taken == rows[:4] + rows[5:]
    (outcome,) = bench.settled
    assert (outcome.row, outcome.verdict) == (rows[4], Verdict.RETRY)
    assert "TypeError" in str(outcome.error)


async def test_a_database_that_refuses_is_no_row_s_defect() -> None:
    """A column that a newer schema lacks, say: the rows wait for a worker that fits, none of their attempts counted."""
    rows = [row() for _ in range(4)]
    bench = Bench(*rows, error=psycopg.errors.UndefinedColumn("brand_id"))
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await bench.preparer.hand_on(rows)
    assert (bench.looked_up, bench.taken, bench.settled) == ([4], [], [])


async def test_rows_are_handed_back_when_the_look_up_has_failed_for_a_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long their leases are renewed."""
    one = row()
    bench = Bench(one, error=psycopg.errors.QueryCanceled("too slow"))
    monkeypatch.setattr(preparing.time, "monotonic", bench.clock)

    async def pass_time(_seconds: float) -> None:
        bench.clock.forward(20)
        bench.holdings.renewed([one], asked_at=bench.clock())

    monkeypatch.setattr(preparing.asyncio, "sleep", pass_time)
    bench.holdings.take([one], asked_at=bench.clock())
    await bench.preparer.hand_on([one])
    assert bench.looked_up == [1, 1, 1, 1]
    assert (bench.taken, bench.settled) == ([one], [])  # without a shop, the sender hands it back


async def test_a_worker_that_stops_waits_for_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    one = row()
    bench = Bench(one, error=psycopg.OperationalError("gone"))
    bench.holdings.take([one], asked_at=bench.clock())
    bench.stopping.set()
    await bench.preparer.hand_on([one])
    assert bench.taken == [one]
