"""How the outbox is doing: one look, and what in it needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from soldt_outbox.administration.merchants import Merchant
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.oauth.scopes import permission_for
from soldt_outbox.rows import Kind

MAX_MERCHANTS: Final = 1_000  # in one look; those in trouble come first
MAX_COUNTED: Final = 10_000  # rows per merchant; above it the count reads "more than"
WORKER_ALIVE: Final = timedelta(minutes=1)  # a worker beats every few seconds
DUE_TOO_LONG: Final = timedelta(minutes=10)  # an event is sent within seconds where nothing holds it back
OTHERS_DUE_TOO_LONG: Final = timedelta(days=1)  # a full refresh or an import may well take hours
SNAPSHOT_TOO_OLD: Final = timedelta(minutes=30)  # keeps vacuum from removing what claims then step over


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker's last heartbeat. One that stopped in an orderly way is not here."""

    worker_id: str
    version: str
    started_at: datetime
    last_seen_at: datetime
    seen_seconds_ago: float
    statistics: dict[str, Any]
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForbiddenKind:
    """A kind of row that the merchant's key or token may not send, and the permission it ``needs``.

    From ``until`` on a row is tried again.
    """

    kind: Kind
    until: datetime
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantStatus:
    """A merchant's connection and lane.

    ``oldest_due_seconds`` is how long the oldest due event has waited, ``oldest_other_due_seconds`` the oldest due row of
    any other kind.

    ``auth_type`` is ``api_key`` or ``oauth``; ``token_expires_at`` is ``None`` of a key, and of a token that does not
    end by itself. Workers refresh a token that ends.
    """

    merchant_id: UUID
    slug: str | None
    status: str
    auth_type: str
    token_expires_at: datetime | None
    last_error: str | None
    last_error_detail: str | None
    last_event_at: datetime | None
    paused_until: datetime | None
    pause_reason: str | None
    failures_in_row: int | None
    forbidden: list[ForbiddenKind]
    waiting: int
    dead: int
    oldest_due_seconds: float | None
    oldest_other_due_seconds: float | None

    def __str__(self) -> str:
        return self.slug or str(self.merchant_id)

    def problems(self) -> list[str]:
        """A sentence for each thing that an operator or the merchant's admin must act on."""
        if self.status == "disabled":
            return []  # somebody wanted it so
        found = []
        if self.status == "error":
            found.append(f"{self}: {self.last_error}: {self.last_error_detail}")
        if self.dead:
            found.append(
                f"{self}: dead letters: {_count(self.dead)}; see `soldt-outbox dead --merchant {self}`"
            )
        found += [
            f"{self}: {one.kind} rows wait for a permission: the key or token needs {one.needs}; "
            f"one is tried again from {one.until.astimezone(UTC):%Y-%m-%d %H:%M}Z on"
            for one in self.forbidden
        ]
        if self.status == "connected":
            found += self._late()
        return found

    def _late(self) -> list[str]:
        why = f", its lane is paused: {self.pause_reason}" if self.pause_reason else ""
        event, other = self.oldest_due_seconds or 0, self.oldest_other_due_seconds or 0
        found = []
        if event > DUE_TOO_LONG.total_seconds():
            found.append(f"{self}: an event has been due for {event / 60:.0f} minutes{why}")
        if other > OTHERS_DUE_TOO_LONG.total_seconds() and not self.forbidden:
            found.append(
                f"{self}: contacts, catalogue or batches have been due for {other / 3600:.0f} hours{why}"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at one instant. ``ok`` is false where ``attention`` holds a sentence."""

    ok: bool
    attention: list[str]
    workers: list[WorkerStatus]
    merchants: list[MerchantStatus]
    truncated: bool
    health: dict[str, Any]


async def look(database: AsyncDatabase, merchant: Merchant | None = None) -> Status:
    """The workers, the merchants (or the one), and what slows the database down."""
    chosen = merchant.merchant_id if merchant else None
    connected = await database.run("connected_merchants", {"merchant_id": chosen, "limit": MAX_MERCHANTS + 1})
    ids = [row["merchant_id"] for row in connected[:MAX_MERCHANTS]]
    merchants = [_merchant(row) for row in await database.run("status", {"merchants": ids})]
    workers = [
        WorkerStatus(**row, alive=row["seen_seconds_ago"] <= WORKER_ALIVE.total_seconds())
        for row in await database.run("workers")
    ]
    health = (await database.run("health") or [{}])[0]
    plaintext = bool((await database.run("plaintext_keys"))[0]["present"])
    attention = _common_problems(workers, health, plaintext=plaintext)
    if merchant is not None and not merchants:
        attention.append(f"{merchant} was never connected; see `soldt-outbox connect --help`")
    attention += [problem for one in merchants for problem in one.problems()]
    return Status(
        ok=not attention,
        attention=attention,
        workers=workers,
        merchants=merchants,
        truncated=len(connected) > MAX_MERCHANTS,
        health=dict(health),
    )


def _merchant(row: dict[str, Any]) -> MerchantStatus:
    kinds, until = map(Kind, row.pop("forbidden_kinds")), row.pop("forbidden_until")
    forbidden = [ForbiddenKind(kind=kind, until=until, needs=permission_for(kind)) for kind in kinds]
    return MerchantStatus(**row, forbidden=forbidden)


def _common_problems(workers: list[WorkerStatus], health: dict[str, Any], *, plaintext: bool) -> list[str]:
    found = []
    if not any(worker.alive for worker in workers):
        found.append("no worker is alive: nothing is being sent; start `python -m worker`")
    if (health.get("oldest_snapshot_seconds") or 0) > SNAPSHOT_TOO_OLD.total_seconds():
        minutes = health["oldest_snapshot_seconds"] / 60
        found.append(
            f"a transaction has been open for {minutes:.0f} minutes: it keeps vacuum from cleaning the outbox"
        )
    if plaintext:
        found.append(
            "the database still has the plaintext column api_key: run `soldt-outbox encrypt-credentials`"
        )
    return found


def _count(number: int) -> str:
    return f"more than {MAX_COUNTED:,}" if number > MAX_COUNTED else f"{number:,}"
