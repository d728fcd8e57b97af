"""Outcomes on their way into the database: in batches, none lost, none in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from soldt_outbox.rows import Kind, Outcome, Record, Verdict
from tests.support.worker import Signals
from tests.support.worker_rows import ScriptedStore, delivered
from worker import settling
from worker.holdings import Holdings
from worker.settling import MAX_BATCH, Settler


@dataclass
class Bench:
    store: ScriptedStore = field(default_factory=ScriptedStore)
    holdings: Holdings = field(
        default_factory=lambda: Holdings(timedelta(seconds=60), margin=timedelta(seconds=12))
    )
    signals: Signals = field(default_factory=Signals)
    told: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settler = Settler(
            self.store,  # type: ignore[arg-type]
            self.holdings,
            self.signals,
            on_settled=self.told.append,
        )

    def add(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.holdings.take([outcome.row], asked_at=0)
            self.settler.add(outcome)


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.create_task(bench.settler.run())
    yield bench
    bench.settler.close()
    await asyncio.wait_for(task, 5)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    really = asyncio.sleep
    monkeypatch.setattr(settling.asyncio, "sleep", lambda _seconds: really(0))


async def test_outcomes_that_come_together_are_settled_together() -> None:
    async with running() as bench:
        bench.add(*(delivered() for _ in range(50)))
        await bench.signals.reached("delivered", 50)
    assert [len(batch) for batch in bench.store.settled] == [50]
    assert len(bench.holdings) == 0
    assert len(bench.told) == 50


async def test_batches_are_bounded() -> None:
    async with running() as bench:
        bench.add(*(delivered() for _ in range(2 * MAX_BATCH + 7)))
        await bench.signals.reached("delivered", 2 * MAX_BATCH + 7)
    assert [len(batch) for batch in bench.store.settled] == [MAX_BATCH, MAX_BATCH, 7]


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("gone"),
        psycopg.errors.AdminShutdown("restart"),
        psycopg.errors.DeadlockDetected("deadlock"),
        psycopg.errors.QueryCanceled("too slow"),
        psycopg.errors.ReadOnlySqlTransaction("disk full"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_out_of_reach_is_waited_for_and_nothing_is_lost(error: Exception) -> None:
    failures = [error] * 5

    def fail(_batch: Sequence[Outcome]) -> None:
        if failures:
            raise failures.pop()

    async with running() as bench:
        bench.store.on_settle = fail
        bench.add(delivered(), delivered())
        await bench.signals.reached("delivered", 2)
        assert len(bench.holdings) == 0


async def test_rows_stay_in_hand_until_they_are_settled_so_that_no_more_are_claimed_than_can_be() -> None:
    up = asyncio.Event()

    def fail(_batch: Sequence[Outcome]) -> None:
        if not up.is_set():
            raise psycopg.OperationalError("gone")

    async with running() as bench:
        bench.store.on_settle = fail
        bench.add(*(delivered() for _ in range(20)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(bench.holdings) == 20
        up.set()
        await bench.signals.reached("delivered", 20)
        assert len(bench.holdings) == 0


@pytest.mark.parametrize(
    "error", [psycopg.DataError("NUL"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "lone")]
)
async def test_an_outcome_that_cannot_be_stored_loses_its_words_and_nobody_elses(error: Exception) -> None:
    poison = msgspec.structs.replace(
        delivered(), error="bad \x00 words", request_log={"a": "b"}, response_log={"c": "d"}
    )

    def refuse(batch: Sequence[Outcome]) -> None:
        if any("\x00" in (one.error or "") for one in batch):
            raise error

    async with running() as bench:
        bench.store.on_settle = refuse
        others = [delivered() for _ in range(30)]
        bench.add(*others[:11], poison, *others[11:])
        await bench.signals.reached("delivered", 31)

    stored = {one.row.id: one for batch in bench.store.settled for one in batch}
    assert all(stored[one.row.id] is one for one in others)
    bare = stored[poison.row.id]
    assert bare.verdict is poison.verdict
    assert (bare.request_log, bare.response_log) == (None, None)
    assert "could not be stored" in str(bare.error)


@pytest.mark.parametrize(
    ("kind", "verdict"), [(Kind.EVENT, Verdict.DELIVERED), (Kind.BATCH, Verdict.DEAD)], ids=["event", "batch"]
)
async def test_what_else_is_to_be_written_is_left_out_where_the_database_refuses_it(
    kind: Kind, verdict: Verdict
) -> None:
    record = Record(by="keep_told", fields={"item": "\x00"})
    poison = msgspec.structs.replace(delivered(kind=kind), records=(record,))

    def refuse(batch: Sequence[Outcome]) -> None:
        if any(one.records for one in batch):
            raise psycopg.errors.UntranslatableCharacter("NUL")

    async with running() as bench:
        bench.store.on_settle = refuse
        bench.add(delivered(), poison)
        await bench.signals.reached(verdict.value, 1 if verdict is Verdict.DEAD else 2)
    (bare,) = (one for batch in bench.store.settled for one in batch if one.row.id == poison.row.id)
    assert (bare.verdict, bare.records, bare.follow_ups) == (verdict, (), ())
    assert "what is to be written with it could not be stored" in str(bare.error)


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.ProgramLimitExceeded("256 MB"), psycopg.errors.QueryCanceled("15 s")],
    ids=lambda error: type(error).__name__,
)
async def test_a_batch_that_is_too_much_for_a_statement_is_settled_in_parts(error: Exception) -> None:
    """psycopg counts both among what passes by itself."""

    def refuse(batch: Sequence[Outcome]) -> None:
        if len(batch) > 2:
            raise error

    async with running() as bench:
        bench.store.on_settle = refuse
        outcomes = [delivered() for _ in range(8)]
        bench.add(*outcomes)
        await bench.signals.reached("delivered", 8)
    assert [len(batch) for batch in bench.store.settled] == [2, 2, 2, 2]
    assert [one for batch in bench.store.settled for one in batch] == outcomes


async def test_where_not_even_a_bare_verdict_can_be_stored_the_worker_ends() -> None:
    def refuse(_batch: Sequence[Outcome]) -> None:
        raise psycopg.errors.UndefinedColumn("no such column")

    bench = Bench()
    bench.store.on_settle = refuse
    task = asyncio.create_task(bench.settler.run())
    bench.add(delivered())
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await asyncio.wait_for(task, 5)


async def test_a_result_whose_lease_was_lost_is_dropped_and_counted() -> None:
    async with running() as bench:
        lost, kept = delivered(), delivered()
        bench.store.on_settle = lambda _batch: {kept.row.id}
        bench.add(lost, kept)
        await bench.signals.reached("lost_leases", 1)
        assert bench.signals.counts["delivered"] == 1
    assert len(bench.holdings) == 0


async def test_after_a_failed_try_a_missing_row_may_have_been_stored_by_it() -> None:
    tries = iter([psycopg.OperationalError("broke after the commit")])

    def broke(_batch: Sequence[Outcome]) -> set[int]:
        for error in tries:
            raise error
        return set()

    async with running() as bench:
        bench.store.on_settle = broke
        bench.add(delivered())
        await bench.signals.reached("settled_or_lost", 1)
        assert bench.signals.counts["lost_leases"] == 0


async def test_closing_settles_what_is_there() -> None:
    bench = Bench()
    bench.add(*(delivered() for _ in range(3)))
    bench.settler.close()
    await asyncio.wait_for(bench.settler.run(), 5)
    assert [len(batch) for batch in bench.store.settled] == [3]


@pytest.mark.parametrize(
    ("verdict", "requests_made", "level"),
    [
        (Verdict.DELIVERED, 1, "debug"),
        (Verdict.RELEASE, 0, "debug"),
        (Verdict.RELEASE, 1, "info"),
        (Verdict.RETRY, 1, "info"),
        (Verdict.SKIPPED, 0, "info"),
        (Verdict.EXPIRED, 0, "info"),
        (Verdict.DEAD, 1, "error"),
    ],
)
async def test_how_loudly_an_outcome_is_logged(verdict: Verdict, requests_made: int, level: str) -> None:
    outcome = msgspec.structs.replace(delivered(), verdict=verdict, requests_made=requests_made)
    with capture_logs() as lines:
        async with running() as bench:
            bench.add(outcome)
            await bench.signals.reached(verdict.value, 1)
    told = [(line["event"], line["log_level"], line["outbox_id"]) for line in lines]
    assert told == [(verdict.value, level, outcome.row.id)]
