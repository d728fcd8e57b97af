"""What a running worker does beside sending.

Heartbeat, expiry behind paused lanes, forgetting, pruning, syncs whose rows are not all written, rows that have
unsubscribes read back, and a word about the table's health.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

import psycopg
import structlog

from soldt_outbox.administration.retention import forget_kept_orders, prune
from soldt_outbox.database import PASSING, AsyncDatabase, passes
from soldt_outbox.settings import Settings
from soldt_outbox.store import Store
from soldt_outbox.syncs import Syncs
from worker.claiming import Claimer
from worker.holdings import Holdings
from worker.telemetry import Statistics

log = structlog.get_logger()

BEAT_S: Final = 10.0
EXPIRE_S: Final = 30.0
FORGET_S: Final = 30.0
PRUNE_S: Final = 600.0
HEALTH_S: Final = 120.0
SYNCS_S: Final = 30.0
POLLS_S: Final = 300.0  # a third of the quarter of an hour in which each merchant has one
EXPIRE_BATCH: Final = 200  # rows at a time, each with its payload
OLD_SNAPSHOT_S: Final = 300.0  # past this, dead tuples pile up that vacuum may not remove
DEAD_TUPLE_SHARE: Final = 0.5
MANY_DEAD_TUPLES: Final = 10_000


class Maintenance:
    """Small periodic tasks; each statement is bounded, and a failure waits for the next turn."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        statistics: Statistics,
        holdings: Holdings,
        claimer: Claimer,
        *,
        database: AsyncDatabase,
        syncs: Syncs,
        worker_id: str,
        version: str,
    ) -> None:
        self._store = store
        self._database = database
        self._syncs = syncs
        self._settings = settings
        self._statistics = statistics
        self._holdings = holdings
        self._claimer = claimer
        self._worker_id = worker_id
        self._version = version

    def chores(self) -> list[Coroutine[Any, Any, None]]:
        """What to run side by side until cancelled."""
        return [
            _every(BEAT_S, self.beat, at_once=True),
            _every(EXPIRE_S, self.expire),
            _every(FORGET_S, self.forget),
            _every(PRUNE_S, self.prune),
            _every(HEALTH_S, self.look_at_health),
            _every(SYNCS_S, self.carry_on_syncs),
            _every(POLLS_S, self._syncs.write_polls),
        ]

    async def beat(self) -> None:
        """Write the heartbeat, with what this process did so far."""
        statistics = self._statistics.as_dict(
            in_hand=len(self._holdings),
            seconds_since_claim=round(time.monotonic() - self._claimer.last_success, 1),
        )
        await self._store.beat(self._worker_id, version=self._version, statistics=statistics)
        log.info("heartbeat", **statistics)

    async def expire(self) -> None:
        """Expire what waits too long behind lanes that do not run."""
        while (expired := await self._store.expire_waiting(limit=EXPIRE_BATCH)) > 0:
            self._statistics.count("expired_waiting", expired)
            log.info("expired behind paused lanes", rows=expired)

    async def forget(self) -> None:
        """Remove copies of orders that no row is to tell any more."""
        await forget_kept_orders(self._database)

    async def prune(self) -> None:
        """Delete what is past its retention."""
        pruned = await prune(
            self._database,
            retention=timedelta(days=self._settings.retention_days),
            log_retention=timedelta(days=self._settings.log_retention_days),
        )
        self._statistics.count("pruned", pruned.outbox)

    async def carry_on_syncs(self) -> None:
        """Write what a command that was killed, or an admin's page, left to be written; notice what is over."""
        for sync in await self._syncs.unwritten():
            try:
                while await self._syncs.write(sync):
                    pass
            except psycopg.Error as error:  # of one shop's data; the other merchants' syncs go on
                if passes(error):
                    raise
                log.error("a sync's rows cannot be written", sync=sync, error=type(error).__name__)  # noqa: TRY400
        for sync in await self._syncs.finish():
            log.info("a sync is finished", sync=sync)

    async def look_at_health(self) -> None:
        """Log how the outbox and its indexes are, with a warning for what an operator should see to."""
        health = await self._store.health()
        snapshot = health.get("oldest_snapshot_seconds") or 0.0
        dead, live = health.get("dead_tuples") or 0, health.get("live_tuples") or 0
        claim_ms = round(self._claimer.mean_claim_ms, 1)
        log.info("table health", **health, claim_ms=claim_ms)
        if snapshot > OLD_SNAPSHOT_S:
            log.warning(
                "somebody holds an old snapshot: vacuum cannot clean up behind us and claims slow down; look for it in pg_stat_activity",
                oldest_snapshot_seconds=round(snapshot),
                dead_tuples=dead,
                claim_ms=claim_ms,
            )
        if dead > MANY_DEAD_TUPLES and dead > DEAD_TUPLE_SHARE * (live + dead):
            log.warning(
                "the outbox holds many dead tuples: is autovacuum running?",
                dead_tuples=dead,
                live_tuples=live,
                claim_ms=claim_ms,
            )
        if health.get("idle_indexes"):
            log.warning(
                "indexes of the outbox are missing, invalid or not used: compare with supabase/migrations",
                indexes=health["idle_indexes"],
            )


async def _every(seconds: float, task: Callable[[], Awaitable[None]], *, at_once: bool = False) -> None:
    """Run ``task`` again and again, with a jitter that keeps a fleet of workers apart."""
    if not at_once:
        await asyncio.sleep(seconds * random.uniform(0.1, 1.0))  # noqa: S311 - jitter needs no secrecy
    while True:
        try:
            await task()
        except PASSING as error:
            log.warning("maintenance failed", task=task.__name__, error=type(error).__name__)
        except psycopg.Error as error:  # a missing right, say: no reason to stop sending
            log.error("maintenance failed", task=task.__name__, error=type(error).__name__)  # noqa: TRY400
        await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311
