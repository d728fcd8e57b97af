"""Renewing the leases of rows in hand, well before they run out."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import structlog

from soldt_outbox.database import PASSING
from soldt_outbox.store import Store
from worker.holdings import Holdings
from worker.telemetry import Statistics

log = structlog.get_logger()


async def keep_leases(store: Store, holdings: Holdings, statistics: Statistics, *, lease: timedelta) -> None:
    """Every sixth of a lease, push back those that have run for a third of it. One statement, whatever their number.

    A row that is no longer ours is let go: if it still waits it is not sent, and if it is under way its result will
    be refused by the fence.
    """
    third = lease.total_seconds() / 3
    while True:
        await asyncio.sleep(third / 2)
        ageing = holdings.ageing(older_than=third)
        if not ageing:
            continue
        asked_at = time.monotonic()
        try:
            ours = await store.renew(ageing, lease=lease)
        except PASSING as error:
            log.warning("renewing leases failed", rows=len(ageing), error=type(error).__name__)
            continue
        holdings.renewed((row for row in ageing if row.id in ours), asked_at=asked_at)
        lost = [row for row in ageing if row.id not in ours and holdings.lose(row)]
        if lost:
            statistics.count("leases_not_renewed", len(lost))
            log.warning("leases lost", rows=len(lost), outbox_ids=[row.id for row in lost[:10]])
