"""What was sent and what could not be: the log, the dead letters, and putting these back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import ConfigurationError
from soldt_outbox.events import ALIASES
from soldt_outbox.omnisend.mapping import people
from soldt_outbox.redaction import contact_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which attempts; what is ``None`` is not asked about."""

    merchant_id: UUID | None = None
    contact_hash: str | None = None
    outcome: str | None = None
    name: str | None = None
    outbox_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A row of ``integrations_omnisend_logs``: one attempt, personal data masked when it was written."""

    id: int
    created_at: datetime
    merchant_id: UUID
    kind: str
    name: str | None
    outcome: str | None
    status_code: int | None
    attempt: int | None
    error: str | None
    outbox_id: int | None
    event_id: UUID | None
    request: Any
    response: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A row that will not be tried again by itself. Without its payload."""

    id: int
    merchant_id: UUID
    kind: str
    name: str
    dedup_key: str
    attempts: int
    rescues: int
    last_error: str | None
    last_status_code: int | None
    occurred_at: datetime
    settled_at: datetime | None
    expires_at: datetime
    past_expiry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """Ids put back, and how many dead rows of the selection stayed and why."""

    ids: list[int]
    past_expiry: int
    disconnected: int


def customer_hash(customer: str, country: str) -> str:
    """What the log knows a customer by: of an e-mail, else of a phone made E.164 with ``country``.

    Raises ``ConfigurationError`` for what is neither.
    """
    address = people.email(customer) or people.consent_phone(customer, country)
    if address is None:
        raise ConfigurationError("--customer is neither an e-mail address nor a phone number")
    return contact_hash(address)


async def logs(
    database: AsyncDatabase, wanted: LogFilter, *, limit: int, after: int | None = None
) -> list[LogRecord]:
    """The newest attempts that match, newest first; with ``after`` only those with a larger id."""
    rows = await database.run(
        "logs",
        {
            "merchant_id": wanted.merchant_id,
            "contact_hash": wanted.contact_hash,
            "outcome": wanted.outcome,
            "name": _canonical(wanted.name),
            "outbox_id": wanted.outbox_id,
            "after": after,
            "limit": limit,
        },
    )
    return [LogRecord(**row) for row in rows]


def _canonical(name: str | None) -> str | None:
    """The event's own name for an alias; anything else as it is, for older rows have other names."""
    event = ALIASES.get(name) if name is not None else None
    return name if event is None else event.value


async def dead_letters(database: AsyncDatabase, merchant_id: UUID | None, *, limit: int) -> list[DeadLetter]:
    """Dead rows, newest first."""
    return [
        DeadLetter(**row) for row in await database.run("dead", {"merchant_id": merchant_id, "limit": limit})
    ]


async def retry(
    database: AsyncDatabase,
    *,
    ids: Sequence[int] | None = None,
    merchant_id: UUID | None = None,
    extend: timedelta = timedelta(),
) -> Retried:
    """Put dead rows back with fresh attempts: these ``ids``, or all, of one merchant or of every one.

    A row past its expiry stays unless ``extend`` gives it so long from now; one of a disconnected merchant stays.
    """
    selection = {"ids": list(ids) if ids is not None else None, "merchant_id": merchant_id}
    rows = await database.run("retry_dead", selection | {"extend": extend})
    stayed = (await database.run("still_dead", selection))[0]
    return Retried(
        ids=sorted(row["id"] for row in rows),
        past_expiry=stayed["past_expiry"],
        disconnected=stayed["disconnected"],
    )
