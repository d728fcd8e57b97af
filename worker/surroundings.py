"""What the rows of one batch are sent with, looked up once for all of them, after they were leased.

Rows of contacts and of the catalogue say what changed; what it is now is read here. Whatever changes after this look writes
a row of its own, since these are leased.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID

import psycopg
import structlog

from soldt_outbox.catalogue import ShopCatalogue
from soldt_outbox.database import passes
from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping import (
    changed_collection,
    changed_product,
    contact_identifiers,
    line_item_products,
)
from soldt_outbox.omnisend.mapping.catalogue import ShopCollection, ShopProduct
from soldt_outbox.omnisend.mapping.contacts import Consents
from soldt_outbox.rows import CatalogueProduct, Kind, OutboxRow
from soldt_outbox.store import Store
from worker.shops import Shop, Shops

log = structlog.get_logger()

MAX_PRODUCTS: Final = 5_000  # of line items, per batch; those beyond go out with what their payload holds
LINE_ITEMS_AGAIN_S: Final = (
    60.0  # after a look-up that failed, which may have taken the whole of a statement's time
)
_Found = TypeVar("_Found")
_Wanted = TypeVar("_Wanted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """By merchant: the shop, products of line items, consents, and the state of what changed in the catalogue.

    None: it could not be looked up, so nothing is known of it; what is not in a look-up that succeeded is not there.
    """

    shops: Mapping[UUID, Shop]
    line_items: Mapping[UUID, Mapping[str, CatalogueProduct]] = field(default_factory=dict)
    consents: Mapping[UUID, Consents] | None = field(default_factory=dict)
    products: Mapping[UUID, Mapping[str, ShopProduct]] | None = field(default_factory=dict)
    collections: Mapping[UUID, Mapping[str, ShopCollection]] | None = field(default_factory=dict)


class Lookups:
    """Looks up what a batch of rows takes: one query for the shops, and one for each thing that some row needs."""

    def __init__(
        self, store: Store, shops: Shops, catalogue: ShopCatalogue, *, with_line_items: bool
    ) -> None:
        self._store = store
        self._shops = shops
        self._catalogue = catalogue
        self._with_line_items = with_line_items
        self._line_items_again_at = -math.inf

    async def around(self, rows: Sequence[OutboxRow]) -> Surroundings:
        """Everything that sending ``rows`` takes. Raises what passes by itself, such as a database out of reach."""
        shops = await self._shops.get({row.merchant_id for row in rows})
        by_kind: dict[Kind, list[OutboxRow]] = {}
        for row in rows:
            by_kind.setdefault(row.kind, []).append(row)
        events = by_kind.get(Kind.EVENT, ())
        return Surroundings(
            shops=shops,
            line_items=await self._line_items(events),
            consents=await self._consents(by_kind.get(Kind.CONTACT, ()), shops),
            products=await _known(
                self._catalogue.products, _changed(by_kind.get(Kind.PRODUCT, ()), changed_product)
            ),
            collections=await _known(
                self._catalogue.collections, _changed(by_kind.get(Kind.CATEGORY, ()), changed_collection)
            ),
        )

    async def _line_items(self, rows: Iterable[OutboxRow]) -> Mapping[UUID, Mapping[str, CatalogueProduct]]:
        """What line items are filled up with; events go out without it where it cannot be had, or takes too long."""
        if not self._with_line_items or time.monotonic() < self._line_items_again_at:
            return {}
        found = await _known(self._store.catalogue, line_item_products(rows)[:MAX_PRODUCTS])
        if found is None:
            self._line_items_again_at = time.monotonic() + LINE_ITEMS_AGAIN_S
        return found or {}

    async def _consents(
        self, rows: Iterable[OutboxRow], shops: Mapping[UUID, Shop]
    ) -> Mapping[UUID, Consents] | None:
        wanted = {
            (row.merchant_id, *identifier)
            for row in rows
            if row.merchant_id in shops
            for identifier in contact_identifiers(row, shops[row.merchant_id].profile)
        }
        return await _known(self._store.consents, sorted(wanted, key=str))


def _changed(rows: Iterable[OutboxRow], what: Callable[[OutboxRow], int]) -> list[tuple[UUID, int]]:
    """The things that rows are about; a row that names none is rejected when its turn comes."""
    wanted = set()
    for row in rows:
        try:
            wanted.add((row.merchant_id, what(row)))
        except PayloadRejected:
            continue
    return sorted(wanted, key=str)


async def _known(
    look_up: Callable[[list[_Wanted]], Awaitable[Mapping[UUID, _Found]]], wanted: list[_Wanted]
) -> Mapping[UUID, _Found] | None:
    """What a look-up finds; ``None`` where it may not be made, takes too long, or a table is missing."""
    if not wanted:
        return {}
    try:
        return await look_up(wanted)
    except psycopg.Error as error:
        if passes(error):
            raise
        log.warning(
            "a look-up of the shop's data failed",
            look_up=getattr(look_up, "__name__", ""),
            error=type(error).__name__,
        )
        return None
