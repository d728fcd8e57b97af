"""The rows this process holds under a lease, and until when it may believe so."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from soldt_outbox.rows import Kind, OutboxRow


class Holdings:
    """Rows in hand by id, how many of each merchant, and a signal whenever there are fewer.

    Deadlines are reckoned on this machine's monotonic clock from before the claim was asked for, so that they are
    never later than the database's. ``margin`` is the last stretch of a lease, in which no request begins: one that
    is under way must end before another worker may begin.
    """

    def __init__(
        self, lease: timedelta, *, margin: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease = lease.total_seconds()
        self._margin = margin.total_seconds()
        self._clock = clock
        self._rows: dict[int, OutboxRow] = {}
        self._claimed_at: dict[int, float] = {}
        self._deadlines: dict[int, float] = {}
        self.unanswered: Counter[UUID] = Counter()  # of each merchant: waiting to be sent, or under way
        self.unanswered_in_all = 0
        self.batches = 0  # unanswered too, and counted apart: few of them are under way at once
        self.answers = 0  # since the start
        self._fewer = asyncio.Event()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: OutboxRow) -> bool:
        return self._rows.get(row.id) is row

    def take(self, rows: Sequence[OutboxRow], *, asked_at: float) -> None:
        """Rows of a claim that was asked for at ``asked_at`` (of this clock)."""
        for row in rows:
            self._rows[row.id] = row
            self._claimed_at[row.id] = asked_at
            self._deadlines[row.id] = asked_at + self._lease
            if row.kind is Kind.BATCH:
                self.batches += 1
            else:
                self.unanswered[row.merchant_id] += 1
                self.unanswered_in_all += 1

    def let_go(self, row: OutboxRow) -> None:
        """Settled, handed back, or lost."""
        if row in self:
            del self._rows[row.id], self._deadlines[row.id], self._claimed_at[row.id]
            self._fewer.set()  # for a claimer that waits because too many are being settled

    def answered(self, row: OutboxRow) -> None:
        """Its attempt is over; what remains is to settle it."""
        self.answers += 1
        self._fewer.set()
        if row.kind is Kind.BATCH:
            self.batches -= 1
            return
        self.unanswered_in_all -= 1
        self.unanswered[row.merchant_id] -= 1
        if self.unanswered[row.merchant_id] <= 0:
            del self.unanswered[row.merchant_id]

    def claimed_at(self, row: OutboxRow) -> float:
        """When its claim was asked for; for a row that is not in hand, long ago."""
        return self._claimed_at[row.id] if row in self else -math.inf

    def may_send(self, row: OutboxRow) -> bool:
        """Whether the lease lasts long enough for a request.

        Asked before each one: a process that was stopped and woken up finds here that it is too late.
        """
        deadline = self._deadlines.get(row.id)
        return row in self and deadline is not None and self._clock() < deadline - self._margin

    def ageing(self, *, older_than: float) -> list[OutboxRow]:
        """Rows whose lease has run for ``older_than`` seconds."""
        latest = self._clock() + self._lease - older_than
        return [row for row_id, row in self._rows.items() if self._deadlines[row_id] <= latest]

    def renewed(self, rows: Iterable[OutboxRow], *, asked_at: float) -> None:
        """The database pushed these leases back."""
        for row in rows:
            if row.id in self._deadlines:
                self._deadlines[row.id] = asked_at + self._lease

    def lose(self, row: OutboxRow) -> bool:
        """The database says the lease is not ours any more: the row must not be sent. Whether it was still in hand."""
        if row not in self:
            return False
        self._deadlines[row.id] = 0.0
        return True

    async def wait_for_fewer(self, unanswered: int, in_hand: int) -> None:
        """Return when fewer than ``unanswered`` rows have no answer yet, and fewer than ``in_hand`` are in hand at all."""
        while self.unanswered_in_all >= unanswered or len(self._rows) >= in_hand:
            self._fewer.clear()
            await self._fewer.wait()
