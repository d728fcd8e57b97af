"""Full refreshes, imports of history and reconciliation, from the operator's side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from soldt_outbox.administration.merchants import Merchant
from soldt_outbox.errors import UnknownMerchant
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.syncs import Sync, SyncMode, Syncs

LOOK_AGAIN_S: Final = 0.5
_SMOOTHING: Final = (
    0.05  # how much one look weighs in the pace: batches end in bursts, and ten seconds even them out
)

Report = Callable[[Sync, float], None]
"""Told how a sync stands, and how many items a second are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What was missing of a merchant's last orders, and was written or, in a dry run, would be."""

    merchant_id: UUID
    orders: int
    events: dict[str, int]


async def begin(
    syncs: Syncs,
    merchant: Merchant,
    resource: Resource,
    mode: SyncMode,
    *,
    api_version: str,
    since: datetime | None = None,
) -> tuple[Sync, bool]:
    """Start a sync, or find the one that is not finished; whether it is new. Raises ``UnknownMerchant``.

    ``api_version`` says how much one batch holds; a worker that speaks another version to the merchant sends what fits.
    """
    sending = await syncs.sending(merchant.merchant_id)
    if sending.status is None or sending.status == "disabled":
        raise UnknownMerchant(f"{merchant} is not connected to Omnisend: `soldt-outbox connect` first")
    size = DIALECTS[sending.api_version or api_version].max_batch_items
    return await syncs.start(merchant.merchant_id, resource, mode, chunk_size=size, since=since)


async def write_all(syncs: Syncs, sync: Sync, report: Report) -> None:
    """Write the rows that are still to be written, some chunks at a time: memory does not grow with the shop."""
    while await syncs.write(sync.id):
        written = await syncs.get(sync.id)
        if written is not None:
            report(written, 0.0)


async def watch(syncs: Syncs, sync: Sync, report: Report) -> Sync:
    """Follow a sync to its end. Its pace is told from the first item on that is done: before it, workers may not have begun."""
    looked, done = time.monotonic(), sync.done
    pace = 0.0
    while not sync.over:
        await asyncio.sleep(LOOK_AGAIN_S)
        await syncs.finish()
        sync = await syncs.get(sync.id) or sync
        now = time.monotonic()
        latest = (sync.done - done) / (now - looked)
        pace = latest if pace == 0.0 else pace + (latest - pace) * _SMOOTHING
        looked, done = now, sync.done
        report(sync, pace)
    return sync


async def reconcile(
    syncs: Syncs, merchant_id: UUID | None, since: timedelta, *, write: bool
) -> list[Reconciled]:
    """Look at the last orders of one merchant or of all that are connected; those of whom something is missing."""
    found = []
    for one in await syncs.reconcilable(merchant_id):
        orders, events, after = 0, dict[str, int](), -1
        while missing := await syncs.reconcile(one, since, after=after, write=write):
            after = missing[-1].order_id
            orders += len(missing)
            for order in missing:
                for name in order.names:
                    events[name] = events.get(name, 0) + 1
        if orders:
            found.append(Reconciled(merchant_id=one, orders=orders, events=events))
    return found
