"""SOLDT's catalogue as it stands at this moment, looked up for rows that say that something in it changed.

A look-up returns or raises. What it does not hold after it returned no longer exists, and is deleted at Omnisend; what a
look-up that failed would have held is not known, and nothing may be deleted for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from soldt_outbox.database import AsyncDatabase
from soldt_outbox.omnisend.mapping.catalogue import ShopCollection, ShopProduct, ShopVariant
from soldt_outbox.omnisend.mapping.reading import Names
from soldt_outbox.rows import Unreadable

_STRIKE_THROUGH: Final = ("compare_at_price", "compareAtPrice", "old_price")
_PRODUCT: Final = Names(
    title=("title",),
    description=("description",),
    price=("price",),
    strike_through=_STRIKE_THROUGH,
    category=("category",),
    vendor=("vendor",),
    tags=("tags",),
    images=("images",),
    created_at=("created_at",),
    updated_at=("updated_at",),
)
_VARIANT: Final = Names(
    price=("price",),
    strike_through=_STRIKE_THROUGH,
    sku=("sku",),
    image_url=("image_url",),
    option_values=("option_values",),
)
_HIDDEN: Final = frozenset({"hidden", "private", "unlisted", "draft", "archived", "none", "false"})
"""Words of a column ``visibility``, which SOLDT documents nowhere; any other one shows the product."""


@dataclass(frozen=True, slots=True)
class ShopCatalogue:
    """Looks up by (merchant, id) pairs, many merchants in one round trip.

    Raises ``psycopg.Error`` where the look-up was revoked, a table is missing, or the database cannot be reached.
    """

    database: AsyncDatabase

    async def products(self, wanted: Iterable[tuple[UUID, int]]) -> dict[UUID, dict[str, ShopProduct]]:
        """Products by merchant and id, with an entry for each merchant that was asked for."""
        pairs = list(wanted)
        if not pairs:
            return {}
        rows = await self.database.run(
            "shop_products",
            {"merchants": [merchant for merchant, _ in pairs], "products": [product for _, product in pairs]},
        )
        found: dict[UUID, dict[str, ShopProduct]] = {merchant: {} for merchant, _ in pairs}
        for row in rows:
            found[row["merchant_id"]][str(row["product_id"])] = shop_product(row)
        return found

    async def collections(self, wanted: Iterable[tuple[UUID, int]]) -> dict[UUID, dict[str, ShopCollection]]:
        """Collections by merchant and id, with an entry for each merchant that was asked for."""
        pairs = list(wanted)
        if not pairs:
            return {}
        rows = await self.database.run(
            "shop_collections",
            {
                "merchants": [merchant for merchant, _ in pairs],
                "collections": [collection for _, collection in pairs],
            },
        )
        found: dict[UUID, dict[str, ShopCollection]] = {merchant: {} for merchant, _ in pairs}
        for row in rows:
            collection_id = str(row["collection_id"])
            found[row["merchant_id"]][collection_id] = ShopCollection(id=collection_id, name=row["name"])
        return found


def shop_product(row: Mapping[str, Any]) -> ShopProduct:
    """A row of the look-up, read."""
    product_id = str(row["product_id"])
    facts, variants = row["product"], row["variants"]
    for part in (facts, variants):
        if isinstance(part, Unreadable):
            return ShopProduct(id=product_id, problem=part.problem)
    return ShopProduct(
        id=product_id,
        visible=_visible(facts),
        sold_out=facts["sold_out"] is True,
        variants=tuple(_variant(variant) for variant in variants or ()),
        collections=tuple(str(collection) for collection in row["collections"] or ()),
        **_PRODUCT.read(facts),
    )


def _variant(facts: dict[str, Any]) -> ShopVariant:
    if not facts["is_active"]:
        return ShopVariant(id=str(facts["id"]), active=False)
    return ShopVariant(id=str(facts["id"]), sold_out=facts["sold_out"] is True, **_VARIANT.read(facts))


def _visible(facts: dict[str, Any]) -> bool:
    status, visibility = facts["status"], facts["visibility"]
    if not isinstance(status, str) or status.strip().lower() != "active" or facts["is_visible"] is False:
        return False
    return str(visibility).strip().lower() not in _HIDDEN if visibility is not None else True
