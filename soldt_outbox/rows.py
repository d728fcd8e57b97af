"""The types a row passes through: ``OutboxRow`` → ``OmnisendRequest`` → ``Outcome`` → settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

DEFAULT_COUNTRY: Final = "ZA"  # of a merchant that says no other; as the column's default


class Kind(StrEnum):
    """What sort of Omnisend resource a row is about, in the order in which a merchant's due rows are taken.

    ``BATCH``: many of one of the others in one request, for history and full refreshes.
    """

    EVENT = "event"
    CONTACT = "contact"
    PRODUCT = "product"
    CATEGORY = "category"
    BATCH = "batch"


class State(StrEnum):
    """Where a row is in its life. A leased row is still ``PENDING``: the lease says it is being sent."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    DEAD = "dead"


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant with due rows of a kind.

    None was due before ``since``, by the database's clock; None where that is not known.
    """

    merchant_id: UUID
    kind: Kind
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for JSON that PostgreSQL stores and Python cannot read: thousands of levels or of digits."""

    problem: str


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed row. Whoever holds ``lease_token`` may settle it, and nobody else.

    ``payload`` is JSON as stored, numbers with a fraction as ``Decimal``, or ``Unreadable``; it is parsed once, by
    the mapping. ``expired`` is judged by the database's clock at the claim. ``probe``: it is the one row that goes
    out to see whether a lane that was paused works again.
    """

    id: int
    merchant_id: UUID
    kind: Kind
    name: str
    dedup_key: str
    payload: Any
    occurred_at: datetime
    expires_at: datetime | None
    expired: bool
    attempts: int
    rescues: int
    lease_token: UUID
    created_at: datetime
    probe: bool = False


class OmnisendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, complete but for host and credential. ``path`` is beneath the dialect's base path.

    ``recipient`` is whom it is about, e-mail else phone, in the form in which it is sent: logs hold its hash.
    ``otherwise`` is the call to make where Omnisend says that what is to be replaced does not exist, or that what is to be
    created does. A DELETE needs none: gone is gone.
    """

    method: str
    path: str
    body: bytes
    event_id: UUID | None = None
    recipient: str | None = None
    otherwise: OmnisendRequest | None = None


class FollowUp(msgspec.Struct, frozen=True, kw_only=True):
    """A row to write when another is settled, in the same transaction; what is there already stays.

    ``ordered_by`` names whose rows must stay in order, as text that the database hashes. ``wait``: not claimed before.
    """

    kind: Kind
    name: str
    dedup_key: str
    payload: dict[str, Any]
    occurred_at: datetime
    time_to_live: timedelta
    ordered_by: str | None = None
    wait: timedelta | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Something else to write when a row is settled, in the same transaction, by the statement of this name.

    Each of these statements takes what is written by all outcomes of a settle at once; see ``sql/batches.sql``.
    """

    by: Literal["count_sync", "log_items", "keep_told", "enter_events", "note_unsubscribed", "move_watermark"]
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Nothing to send, and that is not an error. ``reason`` is a stable code such as ``missing_identity``."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantProfile:
    """What the mapping needs to know of a merchant.

    ``storefront_url`` has no trailing slash. ``country_code`` is ISO 3166-1 alpha-2 and is the default for
    phones and addresses; ``currency`` is ISO 4217. ``locale`` is which of several texts a product is told with.
    """

    merchant_id: UUID
    storefront_url: str | None
    country_code: str = DEFAULT_COUNTRY
    currency: str = "ZAR"
    locale: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueVariant:
    """A row of ``product_variants``. What is ``Any`` is JSON as stored."""

    id: str
    sku: Any = None
    image_url: Any = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueProduct:
    """A row of ``products`` with its variants and the collections it is in, as ``(id, title)`` pairs.

    A title or a description may be one text, or an object of texts by language, or such an object as JSON text.
    """

    id: str
    title: Any = None
    description: Any = None
    image_url: str | None = None
    categories: tuple[tuple[str, Any], ...] = ()
    variants: dict[str, CatalogueVariant] = field(default_factory=dict)


class Verdict(StrEnum):
    """What becomes of a row after an attempt.

    ``RETRY`` keeps it pending and waits ``Outcome.retry_in``; ``RELEASE`` hands it back as if it had not been
    claimed, with the attempt uncounted. The other four are the final states of the same name.
    """

    DELIVERED = "delivered"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    DEAD = "dead"
    RETRY = "retry"
    RELEASE = "release"


class PauseReason(StrEnum):
    """Why a merchant's lane is paused; the same word stands in ``pause_reason`` and in the logs."""

    AUTH = "AUTH"  # 401: the key is wrong or was revoked
    FORBIDDEN = "FORBIDDEN"  # 403: the key lacks a permission
    PAYMENT = "PAYMENT"  # 402: plan or payment
    THROTTLED = "THROTTLED"  # 429
    CREDENTIAL = "CREDENTIAL"  # no key stored, or it cannot be opened
    FAILING = "FAILING"  # unbroken failures: the breaker is open
    RETIRED = (
        "RETIRED"  # 410: Omnisend no longer speaks the version of its API that this merchant is spoken to in
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing of this merchant is claimed for ``duration``.

    ``breaks_integration`` turns the integration to ``error`` with ``message``, which an admin reads. ``credential`` is
    the ciphertext of the key that was refused: where another one is stored by the time this is settled, it says nothing.
    """

    reason: PauseReason
    duration: timedelta
    message: str
    breaks_integration: bool = False
    credential: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, ready to be settled.

    ``requests_made`` is how many HTTP requests the attempt cost the merchant's budget; one was charged at the claim.
    ``request_log`` and ``response_log`` are what the log row holds: redacted, never a credential.
    ``counted`` is false where the row is not to blame (a wrong key, a 429): its attempt is given back.
    ``forbidden``: the key may not do what rows of this kind need, as a sentence; the merchant's other kinds go on.
    ``follow_ups`` and ``records`` are written if this outcome is.
    ``quiet``: it gets no log row; somebody waits, and nothing happened.
    """

    row: OutboxRow
    verdict: Verdict
    error: str | None = None
    status_code: int | None = None
    retry_in: timedelta | None = None
    counted: bool = True
    pause: Pause | None = None
    healthy: bool | None = (
        None  # did Omnisend answer as it should: True, False, or None where it was not asked
    )
    requests_made: int = 0
    event_id: UUID | None = None
    contact_hash: str | None = None
    request_log: dict[str, Any] | None = None
    response_log: dict[str, Any] | None = None
    forbidden: str | None = None
    follow_ups: tuple[FollowUp, ...] = ()
    records: tuple[Record, ...] = ()
    quiet: bool = False
