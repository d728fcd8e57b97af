"""Connecting merchants to Omnisend, and disconnecting them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import ConnectionRefused, CredentialError, TransportError, UnknownMerchant
from soldt_outbox.omnisend.answers import (
    AnswerClass,
    Blocked,
    Delivered,
    Later,
    Rejected,
    Retired,
    SwitchCall,
    Throttled,
)
from soldt_outbox.omnisend.client import Brand, BrandRefused, OmnisendClient
from soldt_outbox.redaction import scrub
from soldt_outbox.rows import DEFAULT_COUNTRY, PauseReason
from soldt_outbox.sql import queries

API_KEY_COLUMN = "api_key_enc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant of SOLDT's, and what people call it."""

    merchant_id: UUID
    slug: str | None

    def __str__(self) -> str:
        return self.slug or str(self.merchant_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A stored connection. ``created`` is false where the merchant had one before and its key was replaced."""

    merchant: Merchant
    brand_id: str
    brand_name: str | None
    created: bool
    shared_with: tuple[Merchant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """A connection whose credentials are gone. ``skipped`` events waited and will not be sent.

    ``revoked``: whether Omnisend was told to end the tokens of a connection by OAuth; ``None`` where there were none.
    ``problem`` says why it could not be told.
    """

    merchant: Merchant
    skipped: int
    revoked: bool | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiped:
    """A disconnected merchant, and the ciphertexts of the tokens it had, which are stored nowhere any more."""

    disconnected: Disconnected
    access_token_enc: str | None
    refresh_token_enc: str | None


async def find_merchant(database: AsyncDatabase, named: str) -> Merchant:
    """The merchant with this id or slug. Raises ``UnknownMerchant``."""
    named = named.strip()
    try:
        merchant_id = UUID(named)
    except ValueError:
        merchant_id = None
    rows = await database.run("find_merchant", {"merchant_id": merchant_id, "slug": named})
    if not rows:
        raise UnknownMerchant(f"no merchant has the id or slug {scrub(named, limit=80)!r}")
    return Merchant(**rows[0])


async def slugs(database: AsyncDatabase, merchant_ids: Iterable[UUID]) -> dict[UUID, str]:
    """What merchants are called, as far as they have a slug."""
    wanted = list(set(merchant_ids))
    rows = await database.run("slugs", {"merchants": wanted}) if wanted else []
    return {row["merchant_id"]: row["slug"] for row in rows if row["slug"]}


async def country_of(database: AsyncDatabase, merchant: Merchant | None) -> str:
    """Where a merchant's phone numbers without ``+`` belong."""
    rows = await database.run("merchants", {"merchants": [merchant.merchant_id]}) if merchant else []
    return str(rows[0]["country_code"]) if rows else DEFAULT_COUNTRY


async def connect(
    database: AsyncDatabase,
    omnisend: OmnisendClient,
    keys: KeyRing,
    merchant: Merchant,
    api_key: str,
    *,
    currency: str | None = None,
    country_code: str | None = None,
) -> Connected:
    """Check the key at Omnisend and store it encrypted; events that waited for a new key go out.

    ``currency`` and ``country_code`` that are not given stay as they are (ZAR and ZA at first). Of another brand than before,
    nothing counts as told.
    Raises ``ConnectionRefused`` where Omnisend does not confirm the key; nothing is stored then.
    """
    brand = await _confirmed_brand(omnisend, api_key)
    sealed = keys.encrypt(api_key, merchant_id=merchant.merchant_id, column=API_KEY_COLUMN)
    connection = {
        "merchant_id": merchant.merchant_id,
        "api_key_enc": sealed,
        "brand_id": brand.brand_id,
        "currency": currency,
        "country_code": country_code,
    }
    stored = await database.run("connect", connection, before=[("leave_brand", connection)])
    return Connected(
        merchant=merchant,
        brand_id=brand.brand_id,
        brand_name=brand.name,
        created=bool(stored[0]["created"]),
        shared_with=await sharers(database, merchant, brand.brand_id),
    )


async def sharers(database: AsyncDatabase, merchant: Merchant, brand_id: str) -> tuple[Merchant, ...]:
    """Other merchants that send to this brand."""
    rows = await database.run("brand_users", {"brand_id": brand_id, "merchant_id": merchant.merchant_id})
    return tuple(Merchant(**row) for row in rows)


async def _confirmed_brand(omnisend: OmnisendClient, api_key: str) -> Brand:
    try:
        return await omnisend.current_brand(api_key)
    except BrandRefused as refused:
        raise ConnectionRefused(f"{_advice(refused.meaning)} (Omnisend: {refused})") from None
    except TransportError as error:
        raise ConnectionRefused(
            f"Omnisend could not be reached to check the key ({error}); nothing was stored, try again"
        ) from None
    except CredentialError:
        raise ConnectionRefused(
            "this is no Omnisend API key: it is empty or holds spaces or characters that no key has; copy it again"
        ) from None


def _advice(meaning: AnswerClass) -> str:  # noqa: PLR0911 - one return per class of answer
    match meaning:
        case Blocked(reason=PauseReason.FORBIDDEN):
            return (
                "the key lacks a permission: give it brands.read and events.write in Omnisend "
                "(Store settings, API keys; it takes up to five minutes to apply), then connect again"
            )
        case Blocked(reason=PauseReason.PAYMENT):
            return "the brand's plan or payment keeps Omnisend from taking requests: settle that, then connect again"
        case Blocked():
            return (
                "Omnisend does not know this key: it is wrong or was revoked; make a new one in Omnisend "
                "(Store settings, API keys) and connect again"
            )
        case Throttled(wait=wait):
            return f"this brand has used up its requests for now: connect again in {wait.total_seconds():.0f} seconds"
        case Retired():
            return "Omnisend has retired this version of its API: set OMNISEND_API_VERSION to a newer one"
        case Later():
            return "Omnisend is having trouble: the key was not checked, connect again in a while"
        case Delivered() | Rejected() | SwitchCall():
            return "Omnisend did not say which brand this key belongs to: is OMNISEND_BASE_URL right?"
        case _:
            assert_never(meaning)


async def wipe(database: AsyncDatabase, merchant: Merchant) -> Wiped:
    """Wipe the credentials and skip what waits, in one transaction. Dead letters and the ledger stay.

    Omnisend is not told: `soldt_outbox.oauth.revoking.disconnect` does that too, for tokens.
    Raises ``UnknownMerchant`` where the merchant was never connected.
    """
    parameters = {"merchant_id": merchant.merchant_id}
    async with database.transaction() as conn:
        wiped = await conn.execute(queries["disconnect"], parameters)
        skipped = await conn.execute(queries["skip_waiting"], parameters)
    tokens = await wiped.fetchone()
    if tokens is None:
        raise UnknownMerchant(f"{merchant} was never connected to Omnisend")
    return Wiped(
        disconnected=Disconnected(merchant=merchant, skipped=len(await skipped.fetchall())), **tokens
    )
