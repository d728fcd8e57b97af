"""Full refreshes and imports of history: starting one, writing its rows, seeing how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from soldt_outbox.database import AsyncDatabase
from soldt_outbox.omnisend.batches import Resource

CHUNKS_AT_ONCE: Final = 20  # written in one transaction: some tens of milliseconds
_ORDERS_AT_ONCE: Final = 500


class SyncMode(StrEnum):
    """``DELTA`` leaves out what Omnisend has as it is; ``FULL`` sends everything, and deletes what the shop no longer has."""

    DELTA = "delta"
    FULL = "full"


class SyncState(StrEnum):
    """``WRITING``: rows for more items are to be written. ``RUNNING``: all are written, and some wait."""

    WRITING = "writing"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """A sync as it stands. Of orders an item is an event.

    ``items``: those for which rows were written. ``items_put_back`` counts sendings, and each of the others items that are done.
    """

    id: int
    merchant_id: UUID
    resource: Resource
    mode: SyncMode
    since: datetime | None
    state: SyncState
    items: int
    items_sent: int
    items_unchanged: int
    items_skipped: int
    items_rejected: int
    items_put_back: int
    created_at: datetime
    finished_at: datetime | None

    @property
    def done(self) -> int:
        """Items of which nothing waits any more."""
        return self.items_sent + self.items_unchanged + self.items_skipped + self.items_rejected

    @property
    def over(self) -> bool:
        return self.state in (SyncState.FINISHED, SyncState.CANCELED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Whether anything is sent for a merchant, and in which version where that is its own.

    ``status`` is None where it was never connected. ``forbidden``: the key may not do what batches need.
    """

    status: str | None
    api_version: str | None = None
    paused: bool | None = None
    pause_reason: str | None = None
    forbidden: bool = False
    worker_alive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An order that lacks events in the ledger, and which."""

    order_id: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Syncs:
    """Syncs in the database. Every method is one transaction."""

    database: AsyncDatabase

    async def start(
        self,
        merchant_id: UUID,
        resource: Resource,
        mode: SyncMode,
        *,
        chunk_size: int,
        since: datetime | None = None,
    ) -> tuple[Sync, bool]:
        """A new sync, and True; or the one of this merchant and resource that is not finished, and False."""
        parameters = {
            "merchant_id": merchant_id,
            "resource": resource,
            "mode": mode,
            "since": since,
            "chunk_size": chunk_size,
        }
        rows: list[dict[str, object]] = []
        while not rows:  # none: another ended between the statement's two halves
            rows = await self.database.run("start_sync", parameters)
        return _sync(rows[0]), bool(rows[0]["fresh"])

    async def get(self, sync: int) -> Sync | None:
        """A sync by its id."""
        rows = await self.database.run("sync_by_id", {"sync": sync})
        return _sync(rows[0]) if rows else None

    async def last(self, merchant_id: UUID, resource: Resource) -> Sync | None:
        """The merchant's latest sync of this resource, finished or not."""
        rows = await self.database.run("last_sync", {"merchant_id": merchant_id, "resource": resource})
        return _sync(rows[0]) if rows else None

    async def write(self, sync: int) -> bool:
        """Write rows for a sync's next items; whether more remains. Others may do so at the same time."""
        rows = await self.database.run("write_sync", {"sync": sync, "chunks": CHUNKS_AT_ONCE})
        return bool(rows[0]["more"])

    async def unwritten(self) -> list[int]:
        """Syncs whose rows are not all written."""
        return [row["id"] for row in await self.database.run("unwritten_syncs")]

    async def finish(self) -> list[int]:
        """Note which syncs are over; their ids."""
        return [row["id"] for row in await self.database.run("finish_syncs")]

    async def cancel(self, sync: int) -> int:
        """Send nothing more of a sync; how many rows are not sent."""
        return len(await self.database.run("cancel_sync", {"sync": sync}))

    async def sending(self, merchant_id: UUID) -> Sending:
        """Whether anything is sent for a merchant."""
        rows = await self.database.run("sending_state", {"merchant_id": merchant_id})
        return Sending(**rows[0]) if rows else Sending(status=None)

    async def write_polls(self) -> None:
        """Write rows by which unsubscribes are read back, where their time has come, and remove those that are over."""
        await self.database.run("write_polls", before=[("forget_polls", {})])

    async def reconcilable(self, merchant_id: UUID | None) -> list[UUID]:
        """Merchants whose orders can be looked at: the one given, or all that are connected."""
        rows = await self.database.run("reconcilable", {"merchant_id": merchant_id})
        return [row["merchant_id"] for row in rows]

    async def reconcile(
        self, merchant_id: UUID, since: timedelta, *, after: int = -1, write: bool
    ) -> list[Missing]:
        """Orders after ``after`` that lack events, oldest first, a bounded number; with ``write`` the events are written."""
        rows = await self.database.run(
            "reconcile",
            {
                "merchant_id": merchant_id,
                "since": since,
                "after": after,
                "limit": _ORDERS_AT_ONCE,
                "write": write,
            },
        )
        return [Missing(order_id=row["order_id"], names=tuple(row["names"])) for row in rows]


def _sync(row: dict[str, object]) -> Sync:
    fields = {name: row[name] for name in Sync.__slots__}
    fields |= {
        "resource": Resource(str(row["resource"])),
        "mode": SyncMode(str(row["mode"])),
        "state": SyncState(str(row["state"])),
    }
    return Sync(**fields)  # type: ignore[arg-type]  # the statement's columns are the class's fields
