"""The claim loop: whom to ask for, how many, and how soon again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from soldt_outbox.rows import OutboxRow
from soldt_outbox.store import Store
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.settling import PASSING
from worker.telemetry import Statistics
from worker.waiting import wait_at_most

log = structlog.get_logger()

BUSY_S: Final = 0.05  # between rounds while rows have been arriving
IDLE_S: Final = 1.0  # the longest between rounds when none have
EASING: Final = 1.3  # each empty round waits this much longer: a second after some twelve
MERCHANTS_PER_CLAIM: Final = 500
#: Rows in hand and unanswered, in multiples of what can be under way.
LEAST_AHEAD: Final = 4
MOST_AHEAD: Final = 16
MAX_FAILURE_S: Final = 10.0
#: The scan for due merchants costs one index probe per merchant with pending rows: with thousands
#: of them it may take this share of the time and no more.
SCAN_SHARE: Final = 0.1


class Claimer:
    """Claims rows and hands them on.

    Due merchants are found by a scan that is repeated as often as its own cost allows; between scans the merchants
    found are asked again as long as they give rows. A merchant with many rows under way, or whose last claim gave
    nothing, is passed over for a moment.
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
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._lanes = lanes
        self._statistics = statistics
        self._worker_id = worker_id
        self._lease = lease
        self._hand_on = hand_on
        self._concurrency = concurrency
        self._most = LEAST_AHEAD * concurrency
        # And those whose outcomes are being settled; past this the database is the slower side, and is waited for.
        self._most_in_hand = 2 * MOST_AHEAD * concurrency
        # A merchant whose requests hang must leave connections for the others.
        self._most_of_one = max(4, concurrency // 4)
        self._due: list[UUID] = []
        self._scan_again_at = 0.0
        self.last_success = time.monotonic()
        self.paused = False  # while a row is sent alone

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim until ``stopping`` is set. A database out of reach is waited for."""
        pause = BUSY_S
        failure_wait = 0.5
        while not stopping.is_set():
            await self._until_room_or(stopping)
            if stopping.is_set():
                return
            try:
                claimed, wanted = await self._round()
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
            if claimed * 2 < wanted:  # else there is more: ask again at once
                await wait_at_most(pause, stopping)
                pause = pause if claimed else min(IDLE_S, pause * EASING)

    async def _until_room_or(self, stopping: asyncio.Event) -> None:
        room = asyncio.ensure_future(self._holdings.wait_for_fewer(self._most // 2, self._most_in_hand))
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait((room, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
            stop.cancel()

    async def _round(self) -> tuple[int, int]:
        """Claim once; how many rows came and how many were wanted."""
        if self.paused:
            return 0, 1
        limit = self._most - self._holdings.unanswered_in_all
        bound = self._lanes.claim_limit
        if bound is not None:
            limit = min(limit, bound - len(self._holdings))  # one probe, and not one a round
        asked = await self._merchants(limit) if limit > 0 else []
        if not asked:
            return 0, 1
        asked_at, answers = time.monotonic(), self._holdings.answers
        rows = await self._store.claim(asked, limit=limit, worker_id=self._worker_id, lease=self._lease)
        self._note(asked, {row.merchant_id for row in rows})
        self._statistics.count("claims")
        self._statistics.count("claimed", len(rows))
        if rows:
            rows.sort(key=lambda row: row.id)
            self._holdings.take(rows, asked_at=asked_at)
            await self._hand_on(rows)
            self._reckon(self._holdings.answers - answers)
        return len(rows), limit

    def _reckon(self, answered_meanwhile: int) -> None:
        """How many rows to hold unanswered: enough that senders find work while the next claim is made.

        A claim takes longer the busier the process is. What is held beyond need would keep rows that come later waiting
        behind it.
        """
        wanted = 2 * self._concurrency + 4 * answered_meanwhile
        self._most = max(LEAST_AHEAD * self._concurrency, min(wanted, MOST_AHEAD * self._concurrency))

    def _note(self, asked: Sequence[UUID], gave: set[UUID]) -> None:
        """Those that gave rows are asked again after the others; those that did not wait for the next scan."""
        self._lanes.nothing_came(m for m in asked if m not in gave)
        for merchant_id in gave:
            self._lanes.something_changed(merchant_id)
        just_asked = set(asked)
        self._due = [m for m in self._due if m not in just_asked] + [m for m in asked if m in gave]

    async def _merchants(self, limit: int) -> list[UUID]:
        """Merchants worth asking for now, the longest-waiting first; scans when the last scan is old enough."""
        now = time.monotonic()
        if now >= self._scan_again_at:
            self._due = await self._store.due_merchants()
            took = time.monotonic() - now
            self._scan_again_at = now + took / SCAN_SHARE
        return [m for m in self._due if self._askable(m)][: min(limit, MERCHANTS_PER_CLAIM)]

    def _askable(self, merchant_id: UUID) -> bool:
        return not (
            self._lanes.is_cooling(merchant_id)
            or self._lanes.is_held(merchant_id)
            or self._holdings.unanswered[merchant_id] >= self._most_of_one
        )
