"""From a claim to the senders: what rows are sent with is looked up, and no row keeps the others from being sent."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import psycopg
import structlog

from soldt_outbox.backoff import RetryPolicy
from soldt_outbox.database import PASSING
from soldt_outbox.rows import OutboxRow
from worker import outcomes
from worker.dispatching import Dispatcher
from worker.holdings import Holdings
from worker.settling import Settler
from worker.surroundings import Lookups, Surroundings

log = structlog.get_logger()

AGAIN_AFTER_S: Final = 1.0


class Preparer:
    """Hands claimed rows on to the dispatcher, or to the settler where looking up what they take fails for good."""

    def __init__(
        self,
        lookups: Lookups,
        dispatcher: Dispatcher,
        holdings: Holdings,
        settler: Settler,
        *,
        stopping: asyncio.Event,
        patience: timedelta,
        policy: RetryPolicy,
    ) -> None:
        self._lookups = lookups
        self._dispatcher = dispatcher
        self._holdings = holdings
        self._settler = settler
        self._stopping = stopping
        self._patience = patience.total_seconds()
        self._policy = policy
        self._rng = random.Random()  # noqa: S311 - jitter needs no secrecy

    async def hand_on(self, rows: Sequence[OutboxRow]) -> None:
        """Look up what ``rows`` take and hand them on. Where that meets a defect, halve until it is one row's own.

        Raises what no row is to blame for: a database that refuses to say who the merchants are.
        """
        try:
            around = await self._patiently(rows)
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - one row's defect must not stop the others
            if len(rows) > 1:
                middle = len(rows) // 2
                await self.hand_on(rows[:middle])
                await self.hand_on(rows[middle:])
                return
            # Without the message, which might repeat the payload.
            log.error("defect while looking up", outbox_id=rows[0].id, error=type(error).__name__)  # noqa: TRY400
            self._settler.add(outcomes.of_defect(rows[0], error, policy=self._policy, rng=self._rng))
            return
        self._dispatcher.take(rows, around)

    async def _patiently(self, rows: Sequence[OutboxRow]) -> Surroundings:
        """What sending takes; a database out of reach is waited for, but not for ever: leases are renewed meanwhile."""
        give_up_at = time.monotonic() + self._patience
        while True:
            try:
                return await self._lookups.around(rows)
            except PASSING as error:
                log.warning("looking up merchants failed, trying again", error=type(error).__name__)
                out_of_time = time.monotonic() >= give_up_at or not any(map(self._holdings.may_send, rows))
                if self._stopping.is_set() or out_of_time:
                    return Surroundings(shops={})  # each row is then handed back
                await asyncio.sleep(AGAIN_AFTER_S)
