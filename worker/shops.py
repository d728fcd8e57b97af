"""What sending needs to know of the merchants of a batch: key, profile, catalogue. Looked up once per batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import CredentialError
from soldt_outbox.omnisend.mapping import product_ids
from soldt_outbox.rows import CatalogueProduct, MerchantProfile, OutboxRow
from soldt_outbox.store import MerchantRecord, Store

KEPT_S: Final = 5.0  # a key replaced or revoked by `connect` or `disconnect` is noticed this soon
MAX_KEPT: Final = 10_000  # merchants; each some 500 bytes
MAX_PRODUCTS: Final = 5_000  # looked up per batch; line items beyond go out with what their payload holds
_MAX_BIGINT_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A merchant ready to send for. Either ``api_key`` or ``problem`` is set."""

    profile: MerchantProfile
    api_key: str | None
    problem: str | None = None
    disabled: bool = False

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
        storefront_url: str,
        with_catalogue: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keys = keys
        self._storefront_url = storefront_url
        self._with_catalogue = with_catalogue
        self._clock = clock
        self._kept: dict[UUID, tuple[float, Shop]] = {}

    async def around(self, rows: Sequence[OutboxRow]) -> Surroundings:
        """Everything that sending ``rows`` takes, in at most two queries."""
        shops = await self._shops({row.merchant_id for row in rows})
        catalogue = await self._catalogue(rows) if self._with_catalogue else {}
        return Surroundings(shops=shops, catalogue=catalogue)

    async def _shops(self, merchants: set[UUID]) -> dict[UUID, Shop]:
        now = self._clock()
        missing = [m for m in merchants if m not in self._kept or self._kept[m][0] <= now]
        if missing:
            if len(self._kept) > MAX_KEPT:
                self._kept.clear()
            for merchant_id, record in (await self._store.merchants(missing)).items():
                self._kept[merchant_id] = (now + KEPT_S, self._shop(record))
        return {m: self._kept[m][1] for m in merchants if m in self._kept}

    def _shop(self, record: MerchantRecord) -> Shop:
        profile = MerchantProfile(
            merchant_id=record.merchant_id,
            storefront_url=self._storefront(record),
            country_code=record.country_code,
            currency=record.currency,
        )
        disabled = record.status == "disabled"
        if record.api_key_enc is None:
            return Shop(profile=profile, api_key=None, problem="none is stored", disabled=disabled)
        try:
            key = self._keys.decrypt(record.api_key_enc, merchant_id=record.merchant_id, column="api_key_enc")
        except CredentialError as error:
            return Shop(profile=profile, api_key=None, problem=str(error), disabled=disabled)
        return Shop(profile=profile, api_key=key, disabled=disabled)

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
        return await self._store.catalogue(sorted(wanted, key=str)[:MAX_PRODUCTS])
