"""Whom the claim loop asks, for how many rows, and how soon again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import psycopg
import pytest

from soldt_outbox.rows import Due, Kind, OutboxRow
from tests.support.worker import Signals
from tests.support.worker_rows import OTHER_SHOP, SHOP, ScriptedStore, row
from worker import claiming
from worker.claiming import Claimer
from worker.holdings import Holdings
from worker.lanes import Lanes

CONCURRENCY = 8
MOST = claiming.LEAST_AHEAD * CONCURRENCY


@dataclass
class Bench:
    """A claimer whose sleeps are noted and not sat out."""

    store: ScriptedStore = field(default_factory=ScriptedStore)
    holdings: Holdings = field(
        default_factory=lambda: Holdings(timedelta(seconds=60), margin=timedelta(seconds=12))
    )
    lanes: Lanes = field(default_factory=Lanes)
    signals: Signals = field(default_factory=Signals)
    handed: list[OutboxRow] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def hand_on(self, rows: Sequence[OutboxRow]) -> None:
        self.handed += rows

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        claimer = Claimer(
            self.store,  # type: ignore[arg-type]
            self.holdings,
            self.lanes,
            self.signals,
            worker_id="w",
            lease=timedelta(seconds=60),
            concurrency=CONCURRENCY,
            hand_on=self.hand_on,
        )
        task = asyncio.create_task(claimer.run(self.stopping))
        yield
        self.stopping.set()
        await asyncio.wait_for(task, 5)

    def settle(self, rows: Sequence[OutboxRow]) -> None:
        for one in rows:
            self.holdings.answered(one)
            self.holdings.let_go(one)


async def _a_round(bench: Bench) -> None:
    async with bench.running():
        await asyncio.sleep(0.01)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()

    async def note(seconds: float, *_: asyncio.Event) -> None:
        made.pauses.append(seconds)
        made.signals.count("pauses")
        await asyncio.sleep(0)

    monkeypatch.setattr(claiming, "wait_at_most", note)
    monkeypatch.setattr(claiming, "SCAN_SHARE", 1e9)  # every round may scan
    return made


async def test_with_nothing_due_it_asks_less_and_less_often(bench: Bench) -> None:
    bench.store.due = []
    async with bench.running():
        await bench.signals.reached("pauses", 30)
    # Each is shorter by what its round took.
    assert bench.pauses[0] == pytest.approx(claiming.BUSY_S, abs=0.02)
    assert all(later > earlier - 0.02 for earlier, later in pairwise(bench.pauses))
    assert bench.pauses[-1] == pytest.approx(claiming.IDLE_S, abs=0.02)
    assert bench.store.claims == []


async def test_after_rows_have_come_it_asks_often_again(bench: Bench) -> None:
    bench.store.due = []
    async with bench.running():
        await bench.signals.reached("pauses", 15)
        bench.store.due = [SHOP]
        bench.store.on_claim = lambda _merchants, _limit: [row()]
        await bench.signals.reached("claimed", 1)
        bench.store.on_claim = lambda _merchants, _limit: []
        await bench.signals.reached("pauses", len(bench.pauses) + 1)
    assert min(bench.pauses[15:17]) <= claiming.BUSY_S < bench.pauses[14]


async def test_rounds_begin_at_the_pace_whatever_they_take_but_the_database_rests_as_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter([0.02, 0.04, 0.2])

    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now

    def claim(_merchants: Sequence[UUID], _limit: int) -> list[OutboxRow]:
        Clock.now += next(took, 0.0)
        rows = [row()]
        asyncio.get_running_loop().call_soon(bench.settle, rows)
        return rows

    monkeypatch.setattr(claiming, "time", Clock)
    bench.store.on_claim = claim
    async with bench.running():
        await bench.signals.reached("pauses", 3)
    assert bench.pauses[:3] == pytest.approx([0.03, 0.04, 0.05])


async def test_a_full_batch_is_followed_by_the_next_at_once(bench: Bench) -> None:
    bench.store.due = [UUID(int=n) for n in range(100, 100 + MOST)]
    batches = [[row(merchant_id=merchant) for merchant in bench.store.due]]

    def claim(_merchants: Sequence[UUID], _limit: int) -> list[OutboxRow]:
        rows = batches.pop(0) if batches else []
        if rows:
            asyncio.get_running_loop().call_soon(bench.settle, rows)
        return rows

    bench.store.on_claim = claim
    async with bench.running():
        await bench.signals.reached("claims", 2)
    assert len(bench.pauses) == 1  # after the second, which gave nothing


async def test_it_never_holds_more_than_it_can_send_soon(bench: Bench) -> None:
    bench.store.due = [UUID(int=n) for n in range(100, 200)]
    bench.store.on_claim = lambda merchants, limit: [row(merchant_id=m) for m in merchants[:limit]]
    async with bench.running():
        await bench.signals.reached("claimed", MOST)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(bench.holdings) == MOST
        bench.settle(bench.handed[: MOST // 2 + 1])
        await bench.signals.reached("claimed", MOST + MOST // 2 + 1)
        assert len(bench.holdings) == MOST


async def test_it_holds_as_many_as_are_answered_while_a_claim_is_made(bench: Bench) -> None:
    answered = 2 * CONCURRENCY
    bench.store.due = [UUID(int=n) for n in range(100, 400)]

    def claim(merchants: Sequence[UUID], limit: int) -> list[OutboxRow]:
        if bench.handed:  # the second claim: meanwhile senders went on
            for given in bench.handed[-answered:]:
                bench.holdings.answered(given)
        return [row(merchant_id=m) for m in merchants[:limit]]

    bench.store.on_claim = claim
    async with bench.running():
        await bench.signals.reached("claimed", MOST)
        bench.settle(bench.handed[: MOST // 2 + 1])
        await bench.signals.reached("claims", 3)
    assert [limit for _, limit in bench.store.claims][2] > MOST


async def test_a_merchant_with_many_rows_unanswered_leaves_room_for_the_others(bench: Bench) -> None:
    bench.store.due = [SHOP]
    bench.store.on_claim = lambda _merchants, _limit: [row() for _ in range(10)]
    async with bench.running():
        await bench.signals.reached("claimed", 10)
        bench.store.due = [SHOP, OTHER_SHOP]
        bench.store.on_claim = lambda _merchants, _limit: []
        await bench.signals.reached("claims", 2)
    assert bench.store.claims[1][0] == [OTHER_SHOP]


async def test_merchants_take_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "MERCHANTS_PER_CLAIM", 2)
    monkeypatch.setattr(claiming, "SCAN_SHARE", 1e-9)  # one scan, and then what it found in turn
    bench.store.due = [UUID(int=n) for n in (11, 12, 13, 14)]

    def claim(merchants: Sequence[UUID], limit: int) -> list[OutboxRow]:
        rows = [row(merchant_id=m) for m in merchants for _ in range(limit // 2)]
        asyncio.get_running_loop().call_soon(bench.settle, rows)
        return rows

    bench.store.on_claim = claim
    async with bench.running():
        await bench.signals.reached("claims", 4)
    assert [[m.int for m in asked] for asked, _ in bench.store.claims[:4]] == [
        [11, 12],
        [13, 11],
        [14, 12],
        [13, 11],
    ]


async def test_merchants_on_hold_are_not_asked(bench: Bench) -> None:
    bench.lanes.hold(SHOP)
    async with bench.running():
        await bench.signals.reached("rounds", 10)
    assert bench.store.claims == []


async def test_a_database_out_of_reach_is_asked_less_often_and_found_again(bench: Bench) -> None:
    failures: list[Exception] = [psycopg.OperationalError("gone")] * 6 + [TimeoutError()]

    def claim(_merchants: Sequence[UUID], _limit: int) -> list[OutboxRow]:
        if failures:
            raise failures.pop(0)
        return [row()]

    bench.store.on_claim = claim
    async with bench.running():
        await bench.signals.reached("claimed", 1)
    assert bench.signals.counts["claim_failures"] == 7
    assert bench.pauses[:7] == [0.5, 1, 2, 4, 8, 10, 10]


async def test_what_waiting_cannot_mend_ends_the_loop(bench: Bench) -> None:
    def claim(_merchants: Sequence[UUID], _limit: int) -> list[OutboxRow]:
        raise psycopg.errors.UndefinedTable("no table")

    bench.store.on_claim = claim
    with pytest.raises(psycopg.errors.UndefinedTable):
        await _a_round(bench)


async def test_no_more_batches_are_asked_for_while_many_are_in_hand() -> None:
    """They take long; what is due beside them is claimed on."""
    bench = Bench()
    asked: list[Kind] = []

    async def due() -> list[Due]:
        return [Due(merchant_id=SHOP, kind=kind) for kind in (Kind.EVENT, Kind.BATCH)]

    async def claim(due: Sequence[Due], **_: object) -> list[OutboxRow]:
        asked.extend(one.kind for one in due)
        bench.stopping.set()
        return []

    bench.store.due_merchants = due  # type: ignore[method-assign]
    bench.store.claim = claim  # type: ignore[method-assign,assignment]
    bench.holdings.take([row(kind=Kind.BATCH) for _ in range(claiming.MOST_BATCHES)], asked_at=0.0)
    async with bench.running():
        await asyncio.wait_for(bench.stopping.wait(), 5)
    assert set(asked) == {Kind.EVENT}
