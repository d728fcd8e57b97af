"""From claimed rows to attempts under way: the senders' queue, the rows that are sent alone, and the way back for what was not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import structlog

from soldt_outbox.rows import Kind, OutboxRow
from soldt_outbox.store import MAX_RESCUES
from worker import outcomes
from worker.fair_queue import FairQueue
from worker.holdings import Holdings
from worker.sending import SUSPECT_RESCUES, Sender, UnderWay
from worker.settling import Settler
from worker.surroundings import Surroundings
from worker.telemetry import Statistics
from worker.waiting import wait_at_most

log = structlog.get_logger()

_LOOK_AGAIN_S: Final = 0.2
BATCH_SENDERS: Final = 4  # batches under way at once: each is up to 1 MB, several times while it is made


class Dispatcher:
    """Hands rows to senders. Every row it takes comes out as an outcome at the settler, whatever happens.

    ``alone`` is true while a row is sent with no other in hand: nothing may be claimed meanwhile.
    """

    def __init__(self, sender: Sender, holdings: Holdings, settler: Settler, statistics: Statistics) -> None:
        self._sender = sender
        self._holdings = holdings
        self._settler = settler
        self._statistics = statistics
        self._queue: FairQueue[tuple[OutboxRow, Surroundings]] = FairQueue()
        self._batches: FairQueue[tuple[OutboxRow, Surroundings]] = FairQueue()
        self._suspects: FairQueue[tuple[OutboxRow, Surroundings]] = FairQueue()
        self._under_way: set[UnderWay] = set()
        self._quiet = asyncio.Event()  # nothing under way; looked at while stopping
        self.alone = False

    @property
    def under_way(self) -> int:
        """Attempts that have begun and not ended."""
        return len(self._under_way)

    def take(self, rows: Sequence[OutboxRow], surroundings: Surroundings) -> None:
        """Queue what was claimed."""
        for row in rows:
            if self.alone:  # a claim that was under way when a row went out alone
                self._settler.add(outcomes.handed_back(row))
            elif SUSPECT_RESCUES <= row.rescues < MAX_RESCUES:
                self._suspects.put(row.merchant_id, (row, surroundings))
            elif row.kind is Kind.BATCH:
                self._batches.put(row.merchant_id, (row, surroundings))
            else:
                self._queue.put(row.merchant_id, (row, surroundings))

    def hand_back(self) -> int:
        """Hand back what waits and was not begun; how many rows."""
        waiting = self._queue.clear() + self._batches.clear() + self._suspects.clear()
        for row, _ in waiting:
            self._settler.add(outcomes.handed_back(row))
        return len(waiting)

    async def until_quiet(self, hurry: asyncio.Event, *, timeout_s: float) -> None:
        """Wait for what is under way, but not past the time or ``hurry``."""
        if not self._under_way:
            return
        await wait_at_most(timeout_s, self._quiet, hurry)
        if self._under_way:
            log.warning("still under way, cut off", rows=len(self._under_way))

    def senders(self, concurrency: int) -> list[Coroutine[Any, Any, None]]:
        """What to run side by side until cancelled; an attempt that is cancelled is settled as cut off."""
        return [
            *(self._send_for_ever(self._queue) for _ in range(concurrency)),
            *(self._send_for_ever(self._batches) for _ in range(BATCH_SENDERS)),
            self._send_suspects_for_ever(),
        ]

    async def _send_for_ever(self, queue: FairQueue[tuple[OutboxRow, Surroundings]]) -> None:
        while True:
            await self._send(*await queue.get())

    async def _send_suspects_for_ever(self) -> None:
        """Rows in whose hands workers died before, one at a time and with no other row in hand.

        It may be that none of them, or one, is to blame: the others were merely there. If a worker dies of this one, it
        alone counts another rescue.
        """
        while True:
            row, surroundings = await self._suspects.get()
            log.warning("sent alone: workers ended with it in hand", outbox_id=row.id, rescues=row.rescues)
            self.alone = True
            begun = False
            try:
                await self._until_alone_with(row)
                begun = True
                await self._send(row, surroundings)
                await self._holdings.wait_for_fewer(1, 1)  # until it is settled
            except asyncio.CancelledError:
                if not begun:
                    self._settler.add(outcomes.handed_back(row))
                raise
            finally:
                self.alone = False

    async def _until_alone_with(self, row: OutboxRow) -> None:
        """Hand back what waits, and let what is under way end and be settled, as long as the lease leaves time."""
        while len(self._holdings) > 1 and self._holdings.may_send(row):
            self.hand_back()
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._holdings.wait_for_fewer(2, 2)
            except TimeoutError:
                pass

    async def _send(self, row: OutboxRow, surroundings: Surroundings) -> None:
        if not self._holdings.may_send(row):
            self._statistics.count("too_late_to_send")
            self._settler.add(outcomes.handed_back(row))
            return
        attempt = UnderWay(row)
        self._under_way.add(attempt)
        self._quiet.clear()
        try:
            outcome = await self._sender.deliver(attempt, surroundings)
        except asyncio.CancelledError:
            self._settler.add(outcomes.of_cut_off(attempt.ended()))
            raise
        finally:
            self._under_way.discard(attempt)
            if not self._under_way:
                self._quiet.set()
        self._settler.add(outcome)
