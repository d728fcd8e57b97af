"""Outcomes on their way into the database: collected for a moment, written in one statement, never dropped silently."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, assert_never

import msgspec
import psycopg
import structlog

from soldt_outbox.database import PASSING, statement_failed
from soldt_outbox.rows import Kind, Outcome, Verdict
from soldt_outbox.store import Store
from worker.holdings import Holdings
from worker.telemetry import Statistics
from worker.waiting import wait_at_most

log = structlog.get_logger()

# A settle has its fixed cost: 150 µs a row in batches of 50, 45 in batches of 250.
MAX_BATCH: Final = 500
LINGER_S: Final = 0.04  # how long an outcome waits for company; unnoticeable beside an HTTP answer
MAX_RETRY_S: Final = 5.0
TRIES_WHOLE: Final = 3  # of a statement that takes too long or too much, before less of it is tried


_Lessen = Callable[[Outcome, str], Outcome]


def _without_words(outcome: Outcome, error: str) -> Outcome:
    words = f"{outcome.verdict}; its details could not be stored ({error})"
    pause = outcome.pause and replace(outcome.pause, message=words)
    return msgspec.structs.replace(outcome, error=words, pause=pause, request_log=None, response_log=None)


def _by_itself(outcome: Outcome, error: str) -> Outcome:
    """Without what else is to be written with it. A batch whose items are not accounted for is dead, so that somebody looks."""
    words = f"{outcome.verdict}; what is to be written with it could not be stored ({error})"
    verdict = Verdict.DEAD if outcome.row.kind is Kind.BATCH else outcome.verdict
    return msgspec.structs.replace(outcome, verdict=verdict, error=words, records=(), follow_ups=())


#: What an outcome that the database will not take is stored without, one after the other.
_LESS: Final[tuple[_Lessen, ...]] = (_without_words, _by_itself)


class Settler:
    """Collects outcomes and settles them in batches; a batch that fails stays and is tried again.

    The number of outcomes waiting is bounded by the number of rows in hand: nothing leaves the holdings before it
    is settled.
    """

    def __init__(
        self,
        store: Store,
        holdings: Holdings,
        statistics: Statistics,
        *,
        on_settled: Callable[[Outcome], None],
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._statistics = statistics
        self._on_settled = on_settled
        self._waiting: list[Outcome] = []
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False

    def add(self, outcome: Outcome) -> None:
        """Take an outcome over. Never waits."""
        self._holdings.answered(outcome.row)
        self._waiting.append(outcome)
        self._arrived.set()
        if len(self._waiting) >= MAX_BATCH:
            self._full.set()

    async def run(self) -> None:
        """Settle until closed and empty."""
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            if len(self._waiting) < MAX_BATCH and not self._closing:
                await self._linger()
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            await self._settle(batch)

    def close(self) -> None:
        """Settle what is there and end."""
        self._closing = True
        self._arrived.set()
        self._full.set()

    async def _linger(self) -> None:
        self._full.clear()
        await wait_at_most(LINGER_S, self._full)

    async def _settle(self, batch: Sequence[Outcome], less: Sequence[_Lessen] = _LESS) -> None:
        try:
            done, tries = await self._write(batch)
        except Exception as error:  # what the driver cannot even write down is not always an error of its own
            if len(batch) == 1 and not less:
                raise
            await self._settle_apart(batch, error, less)
            return
        for outcome in batch:
            self._holdings.let_go(outcome.row)
            if outcome.row.id in done:
                self._statistics.count(outcome.verdict.value)
                _report(outcome)
            elif tries > 1:  # the connection may have broken after the commit
                self._statistics.count("settled_or_lost")
                log.info("stored by an earlier try, or the lease was lost", outbox_id=outcome.row.id)
            else:
                self._statistics.count("lost_leases")
                log.warning(
                    "result dropped: the lease was lost", outbox_id=outcome.row.id, verdict=outcome.verdict
                )
            self._on_settled(outcome)

    async def _write(self, batch: Sequence[Outcome]) -> tuple[set[int], int]:
        """Settle, waiting for a database that is out of reach: the ids settled, and how many tries it took.

        Raises what waiting cannot mend.
        """
        wait = 0.1
        for tries in itertools.count(1):
            try:
                return await self._store.settle(batch), tries
            except PASSING as error:
                # One outcome alone is no large statement: if that is cancelled, it is the database that is slow.
                slow = len(batch) == 1 and isinstance(error, psycopg.errors.QueryCanceled)
                if statement_failed(error) and not slow and tries >= TRIES_WHOLE:
                    raise
                log.warning(
                    "settling failed, trying again", rows=len(batch), error=type(error).__name__, wait_s=wait
                )
                await asyncio.sleep(wait)
                wait = min(MAX_RETRY_S, wait * 2)
        raise AssertionError("unreachable")

    async def _settle_apart(
        self, batch: Sequence[Outcome], error: Exception, less: Sequence[_Lessen]
    ) -> None:
        """Store what can be stored: halve until one outcome stands alone, then store less and less of it.

        One outcome that the database will not take must not hold up the others. Raises where not even the bare
        verdict can be stored: then it is not the outcome's fault.
        """
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
            return
        outcome = batch[0]
        log.error(
            "an outcome could not be stored as it was", outbox_id=outcome.row.id, error=type(error).__name__
        )
        await self._settle([less[0](outcome, type(error).__name__)], less[1:])


def _report(outcome: Outcome) -> None:
    level = _level(outcome)
    if not log.is_enabled_for(level):  # most rows are delivered, and of those nobody wants a line
        return
    row = outcome.row
    log.log(
        level,
        outcome.verdict.value,
        outbox_id=row.id,
        merchant_id=str(row.merchant_id),
        name=row.name,
        correlation_id=str(outcome.event_id) if outcome.event_id else f"row-{row.id}",
        attempt=row.attempts,
        status=outcome.status_code,
        error=outcome.error,
    )


def _level(outcome: Outcome) -> int:
    match outcome.verdict:
        case Verdict.DELIVERED:
            return logging.DEBUG
        case Verdict.RELEASE if outcome.requests_made == 0:
            return logging.DEBUG
        case Verdict.DEAD:
            return logging.ERROR
        case Verdict.SKIPPED | Verdict.EXPIRED | Verdict.RETRY | Verdict.RELEASE:
            return logging.INFO
        case _:
            assert_never(outcome.verdict)
