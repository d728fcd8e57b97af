"""What sending needs to know of the merchants of a batch: key, profile, catalogue. Looked up once per batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
import structlog

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import CredentialError
from soldt_outbox.omnisend.dialects import DIALECTS, Dialect
from soldt_outbox.omnisend.mapping import product_ids
from soldt_outbox.rows import CatalogueProduct, MerchantProfile, OutboxRow
from soldt_outbox.store import MerchantRecord, Store
from worker.settling import PASSING

log = structlog.get_logger()

KEPT_S: Final = (
    5.0  # a key replaced or revoked by `connect` or `disconnect` is noticed this soon, or when it is refused
)
MAX_KEPT: Final = 10_000  # merchants; each some 500 bytes
MAX_PRODUCTS: Final = 5_000  # looked up per batch; line items beyond go out with what their payload holds
_MAX_BIGINT_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A merchant ready to send for, in ``dialect``.

    Either ``api_key`` or ``problem`` is set; ``sealed`` is the key as it is stored. ``sync_contacts`` and
    ``ordered_products``: what else follows from an order.
    """

    profile: MerchantProfile
    dialect: Dialect
    api_key: str | None
    sealed: str | None
    problem: str | None = None
    disabled: bool = False
    sync_contacts: bool = False
    ordered_products: bool = False

    def __repr__(self) -> str:
        return f"Shop({self.profile.merchant_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the rows of one batch are sent with."""

    shops: Mapping[UUID, Shop]
    catalogue: Mapping[UUID, Mapping[str, CatalogueProduct]]


class Shops:
    """Looks up merchants and catalogue, and keeps merchants for some seconds."""

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        *,
        dialect: Dialect,
        storefront_url: str,
        with_catalogue: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keys = keys
        self._dialect = dialect
        self._storefront_url = storefront_url
        self._with_catalogue = with_catalogue
        self._clock = clock
        self._kept: dict[UUID, tuple[float, Shop]] = {}

    async def around(self, rows: Sequence[OutboxRow]) -> Surroundings:
        """Everything that sending ``rows`` takes, in at most two queries."""
        shops = await self._shops({row.merchant_id for row in rows})
        catalogue = await self._catalogue(rows) if self._with_catalogue else {}
        return Surroundings(shops=shops, catalogue=catalogue)

    async def key_was_replaced(self, shop: Shop) -> bool:
        """Whether another key is stored by now than the one ``shop`` was sent for with."""
        merchant_id = shop.profile.merchant_id
        self._kept.pop(merchant_id, None)
        record = (await self._store.merchants([merchant_id])).get(merchant_id)
        return record is not None and record.api_key_enc not in (None, shop.sealed)

    async def _shops(self, merchants: set[UUID]) -> dict[UUID, Shop]:
        now = self._clock()
        found = {m: kept[1] for m in merchants if (kept := self._kept.get(m)) is not None and kept[0] > now}
        missing = merchants - found.keys()
        if missing:
            if len(self._kept) > MAX_KEPT:
                self._kept.clear()
            for merchant_id, record in (await self._store.merchants(missing)).items():
                shop = found[merchant_id] = self._shop(record)
                if shop.problem is None and not shop.disabled:  # what a `connect` puts right counts at once
                    self._kept[merchant_id] = (now + KEPT_S, shop)
        return found

    def _shop(self, record: MerchantRecord) -> Shop:
        profile = MerchantProfile(
            merchant_id=record.merchant_id,
            storefront_url=self._storefront(record),
            country_code=record.country_code,
            currency=record.currency,
            locale=record.locale,
        )
        key, problem = None, None
        if record.api_key_enc is None:
            problem = "none is stored"
        else:
            try:
                key = self._keys.decrypt(
                    record.api_key_enc, merchant_id=record.merchant_id, column="api_key_enc"
                )
            except CredentialError as error:
                problem = str(error)
        return Shop(
            profile=profile,
            dialect=DIALECTS[record.api_version] if record.api_version else self._dialect,
            api_key=key,
            sealed=record.api_key_enc,
            problem=problem,
            disabled=record.status == "disabled",
            sync_contacts=record.sync_contacts,
            ordered_products=record.ordered_products,
        )

    def _storefront(self, record: MerchantRecord) -> str | None:
        if record.custom_domain:
            return f"https://{record.custom_domain.strip().lower()}"
        return self._storefront_url.replace("{slug}", record.slug) if record.slug else None

    async def _catalogue(self, rows: Iterable[OutboxRow]) -> Mapping[UUID, Mapping[str, CatalogueProduct]]:
        wanted = {
            (row.merchant_id, int(product))
            for row in rows
            for product in product_ids(row)
            if product.isascii() and product.isdigit() and len(product) <= _MAX_BIGINT_DIGITS
        }
        if not wanted:
            return {}
        try:
            return await self._store.catalogue(sorted(wanted, key=str)[:MAX_PRODUCTS])
        except PASSING:
            raise
        except psycopg.Error as error:
            log.warning(
                "products cannot be looked up; line items go out with what their payload holds",
                error=type(error).__name__,
            )
            return {}
