"""Merchants as sending needs them: key, profile, dialect, what they want told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import CredentialError
from soldt_outbox.oauth.tokens import SealedToken
from soldt_outbox.omnisend.dialects import BEARER, DIALECTS, Dialect
from soldt_outbox.rows import MerchantProfile
from soldt_outbox.store import MerchantRecord, Store

KEPT_S: Final = (
    5.0  # a key replaced or revoked by `connect` or `disconnect` is noticed this soon, or when it is refused
)
OAUTH: Final = "oauth"  # in the column auth_type
MAX_KEPT: Final = 10_000  # merchants; each some 500 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A merchant ready to send for, in ``dialect``.

    One of ``api_key``, ``token`` and ``problem`` is set; ``sealed`` is the key or token as it is stored, and ``brand_id``
    whose it is. ``scopes`` are what a token was granted; of a key they are not known. ``sync_contacts`` and
    ``ordered_products``: what else follows from an order.
    """

    profile: MerchantProfile
    dialect: Dialect
    api_key: str | None
    sealed: str | None
    brand_id: str | None = None
    token: SealedToken | None = None
    scopes: tuple[str, ...] | None = None
    problem: str | None = None
    disabled: bool = False
    sync_contacts: bool = False
    ordered_products: bool = False

    def __repr__(self) -> str:
        return f"Shop({self.profile.merchant_id})"


class Shops:
    """Looks up merchants, and keeps them for some seconds."""

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        *,
        dialect: Dialect,
        storefront_url: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keys = keys
        self._dialect = dialect
        self._storefront_url = storefront_url
        self._clock = clock
        self._kept: dict[UUID, tuple[float, Shop]] = {}

    async def was_replaced(self, merchant_id: UUID, sealed: str | None) -> bool:
        """Whether another key or token is stored by now than ``sealed``, with which a request was refused."""
        self._kept.pop(merchant_id, None)
        record = (await self._store.merchants([merchant_id])).get(merchant_id)
        stored = None if record is None else _sealed(record)
        return stored not in (None, sealed)

    async def get(self, merchants: set[UUID]) -> dict[UUID, Shop]:
        """The shops of ``merchants``; one whose connection is gone is not among them."""
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
        key, token, problem = None, None, None
        dialect = DIALECTS[record.api_version] if record.api_version else self._dialect
        if _sealed(record) is None:
            problem = "none is stored"
        elif record.access_token_enc is not None and record.auth_type == OAUTH:
            dialect = BEARER  # whatever is set: tokens are of that version alone
            token = SealedToken(access_token_enc=record.access_token_enc, expires_at=record.token_expires_at)
        else:
            try:
                key = self._keys.decrypt(
                    record.api_key_enc or "", merchant_id=record.merchant_id, column="api_key_enc"
                )
            except CredentialError as error:
                problem = str(error)
        return Shop(
            profile=profile,
            dialect=dialect,
            api_key=key,
            token=token,
            sealed=_sealed(record),
            brand_id=record.brand_id,
            scopes=tuple(record.scopes) if token is not None and record.scopes is not None else None,
            problem=problem,
            disabled=record.status == "disabled",
            sync_contacts=record.sync_contacts,
            ordered_products=record.ordered_products,
        )

    def _storefront(self, record: MerchantRecord) -> str | None:
        if record.custom_domain:
            return f"https://{record.custom_domain.strip().lower()}"
        return self._storefront_url.replace("{slug}", record.slug) if record.slug else None


def _sealed(record: MerchantRecord) -> str | None:
    return record.access_token_enc if record.auth_type == OAUTH else record.api_key_enc
