"""The outbox as the worker sees it: find, claim, renew, settle, and what surrounds them. SQL is in ``sql/``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import RowMaker
from psycopg.types.json import Jsonb

from soldt_outbox import settlement
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import SchemaError
from soldt_outbox.omnisend.mapping import recipient_hash
from soldt_outbox.omnisend.mapping.catalogue import options_title
from soldt_outbox.omnisend.mapping.contacts import ConsentState, read_consents
from soldt_outbox.omnisend.mapping.urls import images
from soldt_outbox.rows import (
    CatalogueProduct,
    CatalogueVariant,
    Due,
    Kind,
    OutboxRow,
    Outcome,
    Unreadable,
)

# The columns and functions that check_schema looks for.
_SCHEMA_PARTS: Final = 14
# How many rows that wait behind an earlier one of their customer a claim looks at in all, beyond those it takes: some
# 10 ms, and a customer with 10,000 rows is out of the others' way after twenty claims.
PATIENCE: Final = 500
MAX_RESCUES: Final = 5  # leases that ran out before a row is dead: it is what workers die of
MAX_CLAIMED_BYTES: Final = (
    2 << 20
)  # of JSON, of one row: `enqueue` takes half of it, an order has no bound of its own
# How long a kind of row waits after a 403. Permissions added to a key take up to five minutes to apply (Omnisend, "API keys").
FORBIDDEN_FOR: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A merchant's share of Omnisend's limit per brand.

    The steady rate is ``requests_per_minute``, and ``burst`` requests may run ahead of it; in any sliding minute at
    most their sum is granted. Both together stay below the limit, since claims granted over a minute and a bit may
    reach Omnisend within one.
    """

    requests_per_minute: float
    burst: int

    @classmethod
    def below(cls, limit: int) -> Budget:
        """90 % of ``limit`` as the steady rate and 4 % as the burst; 6 % is left for jitter."""
        return cls(requests_per_minute=limit * 0.9, burst=max(1, limit // 25))

    @property
    def interval(self) -> timedelta:
        """What one request costs."""
        return timedelta(minutes=1) / self.requests_per_minute

    @property
    def burst_interval(self) -> timedelta:
        return self.interval * self.burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """After ``failures`` in a row a lane pauses for ``pause``, then twice as long each time, up to 32 times."""

    failures: int = 10
    pause: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantRecord:
    """A connection as stored, and the shop's address."""

    merchant_id: UUID
    status: str
    auth_type: str
    api_key_enc: str | None
    access_token_enc: str | None
    token_expires_at: datetime | None
    scopes: list[str] | None
    currency: str
    country_code: str
    api_version: str | None
    sync_contacts: bool
    ordered_products: bool
    locale: str
    brand_id: str | None
    slug: str | None
    custom_domain: str | None


class Store:
    """The outbox protocol over one database. Every method is one round trip and one transaction, but ``expire_waiting``."""

    def __init__(
        self,
        database: AsyncDatabase,
        *,
        budget: Budget,
        breaker: Breaker | None = None,
        patience: int = PATIENCE,
    ) -> None:
        self._database = database
        self._patience = patience
        self._budget = budget
        self._breaker = breaker or Breaker()

    async def due_merchants(self) -> list[Due]:
        """Merchants with due rows that nobody holds, the longest-waiting first; one for each kind of row."""
        return await self._database.run_as(_due, "due_merchants")

    async def claim(
        self, asked: Sequence[Due], *, limit: int, worker_id: str, lease: timedelta
    ) -> list[OutboxRow]:
        """Lease at most ``limit`` due rows of those ``asked``, each merchant within its budget and its share."""
        return await self._database.run_as(
            _outbox_row,
            "claim",
            {
                "merchants": [due.merchant_id for due in asked],
                "kinds": [due.kind for due in asked],
                "since": [due.since for due in asked],
                "limit": limit,
                "worker_id": worker_id,
                "lease": lease,
                "interval": self._budget.interval,
                "burst": self._budget.burst_interval,
                "patience": self._patience,
                "most_rescues": MAX_RESCUES,
                "most_bytes": MAX_CLAIMED_BYTES,
            },
        )

    async def renew(self, rows: Iterable[OutboxRow], *, lease: timedelta) -> set[int]:
        """Push the leases back; the ids of the rows that are still ours."""
        held = list(rows)
        renewed = await self._database.run("renew", _held(held) | {"lease": lease})
        return {row["id"] for row in renewed}

    async def settle(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Write outcomes; the ids settled. A row that is missing among them had been taken over: its result is dropped."""
        parameters = settlement.parameters(outcomes) | {
            "interval": self._budget.interval,
            "breaker_failures": self._breaker.failures,
            "breaker_pause": self._breaker.pause,
            "forbidden_for": FORBIDDEN_FOR,
        }
        before = settlement.statements_before(outcomes)
        return {row["id"] for row in await self._database.run("settle", parameters, before=before)}

    async def merchants(self, merchant_ids: Iterable[UUID]) -> dict[UUID, MerchantRecord]:
        """Connections and shop addresses."""
        rows = await self._database.run("merchants", {"merchants": list(merchant_ids)})
        return {
            row["merchant_id"]: MerchantRecord(**{name: row[name] for name in MerchantRecord.__slots__})
            for row in rows
        }

    async def catalogue(self, wanted: Iterable[tuple[UUID, int]]) -> dict[UUID, dict[str, CatalogueProduct]]:
        """Products with their variants and collections, by merchant and id."""
        pairs = list(wanted)
        rows = await self._database.run(
            "catalogue",
            {"merchants": [merchant for merchant, _ in pairs], "products": [product for _, product in pairs]},
        )
        found: dict[UUID, dict[str, CatalogueProduct]] = defaultdict(dict)
        for row in rows:
            found[row["merchant_id"]][str(row["product_id"])] = _product(row)
        return found

    async def consents(
        self, wanted: Iterable[tuple[UUID, str, str]]
    ) -> dict[UUID, dict[tuple[str, str], ConsentState]]:
        """What holds of (merchant, channel, identifier), by merchant and then channel and identifier."""
        asked = list(wanted)
        rows = await self._database.run(
            "consent_states",
            {
                "merchants": [merchant for merchant, _, _ in asked],
                "channels": [channel for _, channel, _ in asked],
                "identifiers": [identifier for _, _, identifier in asked],
            },
        )
        return read_consents(rows)

    async def catalogue_granted(self) -> bool:
        """Whether the worker may look products up."""
        return bool((await self._database.run("catalogue_granted"))[0]["granted"])

    async def expire_waiting(self, *, limit: int) -> int:
        """Expire rows that wait too long behind a paused lane; how many.

        In two statements: whom a row is about, which its log row is found by, is read here and not in SQL.
        """
        found = await self._database.run("expirable", {"limit": limit})
        rows = [
            {
                "id": row["id"],
                "contact_hash": recipient_hash(Kind(row["kind"]), row["payload"], row["country_code"]),
            }
            for row in found
        ]
        if not rows:
            return 0
        return len(await self._database.run("expire_waiting", {"rows": Jsonb(rows)}))

    async def beat(self, worker_id: str, *, version: str, statistics: dict[str, Any]) -> None:
        """Say that this worker is alive."""
        await self._database.run(
            "beat", {"worker_id": worker_id, "version": version, "statistics": Jsonb(statistics)}
        )

    async def sign_off(self, worker_id: str) -> None:
        """Say that this worker stopped in an orderly way."""
        await self._database.run("sign_off", {"worker_id": worker_id})

    async def health(self) -> dict[str, Any]:
        """What slows a claim down.

        The oldest snapshot held, in seconds; the outbox's dead and live tuples, its updates and how many of them were in
        place (HOT); the names of indexes that are missing, invalid or not used.
        """
        rows = await self._database.run("health")
        return dict(rows[0]) if rows else {}

    async def notify(self, channel: str, word: str) -> None:
        """Notify whoever listens on ``channel``."""
        await self._database.run("notify", {"channel": channel, "word": word})

    async def resume_retired(self) -> None:
        """Let merchants go on whose version of the API was answered 410: another may be spoken now."""
        await self._database.run("resume_retired")

    async def any_credential(self) -> tuple[UUID, str, str] | None:
        """One stored ciphertext with its merchant and the column it is in."""
        rows = await self._database.run("any_credential")
        return (rows[0]["merchant_id"], rows[0]["stored_in"], rows[0]["sealed"]) if rows else None

    async def plaintext_keys(self) -> bool:
        """Whether the earlier plaintext column is still there."""
        return bool((await self._database.run("plaintext_keys"))[0]["present"])

    async def check_schema(self) -> None:
        """Raises ``SchemaError`` where this project's tables are missing or older than this code."""
        present = (await self._database.run("check_schema"))[0]["present"]
        if present == 0:
            raise SchemaError(
                "the outbox's tables are missing: run `soldt-outbox migrate` (or `supabase db push`)"
            )
        if present < _SCHEMA_PARTS:
            raise SchemaError(
                "the outbox's tables are older than this code: run `soldt-outbox migrate` (or `supabase db push`)"
            )


def _due(_: AsyncCursor[Any]) -> RowMaker[Due]:
    """Psycopg's row factory for merchants with due rows."""
    return lambda values: Due(merchant_id=values[0], kind=Kind(values[1]), since=values[2])


def _outbox_row(cursor: AsyncCursor[Any]) -> RowMaker[OutboxRow]:
    """Psycopg's row factory for claimed rows."""
    names = [column.name for column in cursor.description or ()]

    def make(values: Sequence[Any]) -> OutboxRow:
        fields = dict(zip(names, values, strict=True))
        fields["kind"] = Kind(fields["kind"])
        if (most_of_it := fields.pop("most_of_it")) is not None:
            fields["payload"] = Unreadable(
                f"has more than {MAX_CLAIMED_BYTES:,} bytes, most of them in {most_of_it}"
            )
        return OutboxRow(**fields)

    return make


def _held(rows: Sequence[OutboxRow]) -> dict[str, Any]:
    return {"ids": [row.id for row in rows], "tokens": [row.lease_token for row in rows]}


def _product(row: dict[str, Any]) -> CatalogueProduct:
    return CatalogueProduct(
        id=str(row["product_id"]),
        title=row["title"],
        description=row["description"],
        image_url=next(images(row["images"]), None),
        categories=tuple((str(c["id"]), c["title"]) for c in _listed(row["collections"])),
        variants={str(v["id"]): _variant(v) for v in _listed(row["variants"])},
    )


def _variant(variant: dict[str, Any]) -> CatalogueVariant:
    return CatalogueVariant(
        id=str(variant["id"]),
        sku=variant["sku"],
        image_url=variant["image_url"],
        title=options_title(variant["option_values"]),
    )


def _listed(value: Any) -> list[dict[str, Any]]:
    """The objects of a list that PostgreSQL made; none where there were none, or they cannot be read."""
    return value if isinstance(value, list) else []
