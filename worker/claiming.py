"""The claim loop: whom to ask for, how many, and how soon again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from soldt_outbox.database import PASSING
from soldt_outbox.rows import Due, Kind, OutboxRow
from soldt_outbox.store import Store
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.telemetry import Statistics
from worker.turns import Turns
from worker.waiting import wait_at_most

log = structlog.get_logger()

BUSY_S: Final = 0.05  # between rounds while rows have been arriving
IDLE_S: Final = 1.0  # the longest between rounds when none have
EASING: Final = 1.3  # each empty round waits this much longer: a second after some twelve
ECHO_S: Final = 0.01  # after a wake-up: of several commits at a moment only one notifies
LEAST_APART_S: Final = 0.0005  # rounds that wake-ups begin: rows that come together are claimed together
MERCHANTS_PER_CLAIM: Final = 500
#: Batches in hand from which on none are asked for: each takes a sender of its own for long, and up to 1 MB.
MOST_BATCHES: Final = 16
#: Rows in hand and unanswered, in multiples of what can be under way.
LEAST_AHEAD: Final = 4
MOST_AHEAD: Final = 16
MAX_FAILURE_S: Final = 10.0
CLAIMS_IN_MEAN: Final = 100
#: The scan for due merchants costs one index probe per merchant with pending rows: with thousands
#: of them it may take this share of the time and no more.
SCAN_SHARE: Final = 0.1


class Claimer:
    """Claims rows and hands them on.

    Due merchants are found by a scan that is repeated as often as its own cost allows; between scans those found are
    asked in turn as long as they give rows, and those of whom a listener heard at once. A merchant with many rows under
    way, or whose last claim gave nothing, is passed over for a moment.
    """

    def __init__(
        self,
        store: Store,
        holdings: Holdings,
        lanes: Lanes,
        statistics: Statistics,
        *,
        worker_id: str,
        lease: timedelta,
        concurrency: int,
        hand_on: Callable[[Sequence[OutboxRow]], Awaitable[None]],
        may_claim: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._lanes = lanes
        self._statistics = statistics
        self._worker_id = worker_id
        self._lease = lease
        self._hand_on = hand_on
        self._may_claim = may_claim
        self._concurrency = concurrency
        self._most = LEAST_AHEAD * concurrency
        # And those whose outcomes are being settled; past this the database is the slower side, and is waited for.
        self._most_in_hand = 2 * MOST_AHEAD * concurrency
        # A merchant whose requests hang must leave connections for the others.
        self._most_of_one = max(4, concurrency // 4)
        self._turns = Turns()
        self._woken = asyncio.Event()
        self._scan_again_at = 0.0
        self.last_success = time.monotonic()
        self._claims_took: deque[float] = deque(maxlen=CLAIMS_IN_MEAN)

    @property
    def mean_claim_ms(self) -> float:
        """How long the last claims took, for whoever looks at the table's health; 0 before the first."""
        return 1000 * sum(self._claims_took) / max(1, len(self._claims_took))

    def wake(self, merchant_id: UUID | None = None) -> None:
        """Look now. Somebody committed an event of ``merchant_id``; without one, it is not known whose."""
        if merchant_id is None:
            self._scan_again_at = 0.0
        else:
            self._lanes.woken(merchant_id)
            self._turns.woken(merchant_id)
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim until ``stopping`` is set. A database out of reach is waited for."""
        pause = BUSY_S
        failure_wait = 0.5
        while not stopping.is_set():
            await self._until_room_or(stopping)
            if stopping.is_set():
                return
            woken = self._woken.is_set()
            self._woken.clear()
            began = time.monotonic()
            try:
                claimed, more = await self._round(scan=not woken)
            except PASSING as error:
                self._statistics.count("claim_failures")
                log.warning("claiming failed", error=type(error).__name__, retry_in_s=failure_wait)
                await wait_at_most(failure_wait, stopping)
                failure_wait = min(MAX_FAILURE_S, failure_wait * 2)
                continue
            failure_wait = 0.5
            self.last_success = time.monotonic()
            self._statistics.count("rounds")
            if claimed:
                pause = BUSY_S
            if not more:
                took = time.monotonic() - began
                # From the beginning of one round to that of the next, but as long as this one took, so that the database rests too.
                rest = ECHO_S if woken else max(pause - took, min(pause, took))
                await self._rest(rest, stopping, took=took)
                pause = pause if claimed or woken else min(IDLE_S, pause * EASING)

    async def _rest(self, pause: float, stopping: asyncio.Event, *, took: float) -> None:
        """Until the next round. A wake-up ends it, but leaves the database half the rest that the last round took."""
        until = time.monotonic() + took / 2
        await wait_at_most(pause, stopping, self._woken)
        if self._woken.is_set():
            await wait_at_most(max(LEAST_APART_S, until - time.monotonic()), stopping)

    async def _until_room_or(self, stopping: asyncio.Event) -> None:
        room = asyncio.ensure_future(self._holdings.wait_for_fewer(self._most // 2, self._most_in_hand))
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait((room, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
            stop.cancel()

    async def _round(self, *, scan: bool) -> tuple[int, bool]:
        """Claim once; how many rows came, and whether there is more to ask for at once."""
        if not self._may_claim():
            return 0, False
        limit = self._most - self._holdings.unanswered_in_all
        asked = await self._whom_to_ask(limit, scan=scan) if limit > 0 else {}
        if not asked:
            return 0, False
        asked_at, answers = time.monotonic(), self._holdings.answers
        due = [one for queues in asked.values() for one in queues]
        rows = await self._store.claim(due, limit=limit, worker_id=self._worker_id, lease=self._lease)
        self._claims_took.append(time.monotonic() - asked_at)
        gave = Counter(row.merchant_id for row in rows)
        share = max(1, limit // len(asked))
        self._note(asked, gave, share)
        self._statistics.count("claims")
        self._statistics.count("claimed", len(rows))
        if rows:
            rows.sort(key=lambda row: row.id)
            self._holdings.take(rows, asked_at=asked_at)
            await self._hand_on(rows)
            self._reckon(self._holdings.answers - answers)
        # Who gave a share of several rows has more; a share of one is as likely the last.
        return len(rows), 2 * len(rows) >= limit or (share > 1 and max(gave.values(), default=0) >= share)

    def _reckon(self, answered_meanwhile: int) -> None:
        """How many rows to hold unanswered: enough that senders find work while the next claim is made.

        A claim takes longer the busier the process is. What is held beyond need would keep rows that come later waiting
        behind it.
        """
        wanted = 2 * self._concurrency + 4 * answered_meanwhile
        self._most = max(LEAST_AHEAD * self._concurrency, min(wanted, MOST_AHEAD * self._concurrency))

    def _note(self, asked: Iterable[UUID], gave: Counter[UUID], share: int) -> None:
        self._lanes.nothing_came(m for m in asked if m not in gave and not self._turns.heard_of(m))
        for merchant_id in gave:
            self._lanes.something_changed(merchant_id)
        self._turns.asked(asked, gave, share=share)

    async def _whom_to_ask(self, limit: int, *, scan: bool) -> dict[UUID, list[Due]]:
        """Merchants whose turn it is; scans when the last scan is old enough, and after a wake-up a moment later."""
        now = time.monotonic()
        overdue = now - self._scan_again_at
        if overdue >= (0.0 if scan or not len(self._turns) else ECHO_S):
            self._turns.found(await self._store.due_merchants())
            took = time.monotonic() - now
            self._scan_again_at = now + took / SCAN_SHARE
        asked = self._turns.next(min(limit, MERCHANTS_PER_CLAIM), self._askable)
        if self._holdings.batches < MOST_BATCHES:
            return asked
        others = {m: [due for due in queues if due.kind is not Kind.BATCH] for m, queues in asked.items()}
        return {merchant_id: queues for merchant_id, queues in others.items() if queues}

    def _askable(self, merchant_id: UUID) -> bool:
        return not (
            self._lanes.is_cooling(merchant_id)
            or self._lanes.is_held(merchant_id)
            or self._holdings.unanswered[merchant_id] >= self._most_of_one
        )
