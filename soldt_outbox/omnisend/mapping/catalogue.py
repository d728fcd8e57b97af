"""Products and categories: from what a shop's tables hold to the requests that make Omnisend hold the same.

Omnisend's bounds are those of its OpenAPI file of 2026-03-15 ("omnisend-products-api") and, for ids, prices and
instants, of its WordPress plugin ("align mappings and limits with /api source"). Both versions of the API speak of
products alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import msgspec

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.json_objects import encode
from soldt_outbox.omnisend.mapping.events import MAX_BODY_BYTES
from soldt_outbox.omnisend.mapping.ids import clean_id, row_number
from soldt_outbox.omnisend.mapping.line_items import MAX_DESCRIPTION, MAX_TITLE, JsonObject
from soldt_outbox.omnisend.mapping.locales import localised
from soldt_outbox.omnisend.mapping.reading import (
    NotANumber,
    amount,
    ident,
    is_absent,
    optional_amount,
    optional_instant,
    structure,
    text,
    texts,
)
from soldt_outbox.omnisend.mapping.urls import images, page, url
from soldt_outbox.rows import MerchantProfile, OmnisendRequest, OutboxRow

PRODUCTS_PATH: Final = "/products"
CATEGORIES_PATH: Final = "/product-categories"

MAX_VARIANTS: Final = 500  # more are not sent: of such a product the first by id can be recommended
MAX_IMAGES: Final = 300
MAX_CATEGORIES: Final = 100
MAX_TAGS: Final = 100
MAX_LABEL: Final = 100  # of type, vendor, a tag, an option's value


class ProductStatus(StrEnum):
    """Omnisend's status of a product or variant. It recommends only what is in stock."""

    IN_STOCK = "inStock"
    OUT_OF_STOCK = "outOfStock"
    NOT_AVAILABLE = "notAvailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopVariant:
    """A row of ``product_variants``. What is ``Any`` is JSON as stored; ``price`` None means the product's."""

    id: str
    active: bool = True
    sold_out: bool = False
    price: Any = None
    strike_through: Any = None
    sku: Any = None
    image_url: Any = None
    option_values: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopProduct:
    """A row of ``products`` with all its variants, by id, and the ids of the collections it is in.

    What is ``Any`` is JSON as stored. ``problem`` says why the row could not be read, where it could not.
    """

    id: str
    title: Any = None
    description: Any = None
    price: Any = None
    strike_through: Any = None
    category: Any = None
    vendor: Any = None
    tags: Any = None
    images: Any = None
    visible: bool = True
    sold_out: bool = False
    created_at: Any = None
    updated_at: Any = None
    variants: tuple[ShopVariant, ...] = ()
    collections: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopCollection:
    """A row of ``collections``; ``name`` is JSON as stored."""

    id: str
    name: Any = None


# -- rows ------------------------------------------------------------------------------------------------------


def changed_product(row: OutboxRow) -> int:
    """The product that a row of kind ``product`` is about. Raises ``PayloadRejected`` where it names none."""
    return _changed(row, "product_id")


def changed_collection(row: OutboxRow) -> int:
    """The collection that a row of kind ``category`` is about. Raises ``PayloadRejected`` where it names none."""
    return _changed(row, "collection_id")


def _changed(row: OutboxRow, field: str) -> int:
    payload = structure(row.payload)
    found = ident(payload.get(field)) if isinstance(payload, dict) else None
    number = None if found is None else row_number(found)
    if number is None:
        raise PayloadRejected(field, "is missing or is no id of the shop's")
    return number


# -- requests --------------------------------------------------------------------------------------------------


def map_product(
    row: OutboxRow,
    merchant: MerchantProfile,
    products: Mapping[str, ShopProduct],
) -> OmnisendRequest:
    """The request for a row of kind ``product``.

    ``products`` is by id, from a look-up that succeeded after the row was leased: a product that is not in it no longer
    exists, and is deleted. Raises ``PayloadRejected``, which names the field of the product, for one that cannot be sent.
    """
    product_id = str(changed_product(row))
    path = f"{PRODUCTS_PATH}/{clean_id(product_id)}"
    product = products.get(product_id)
    if product is None:
        return OmnisendRequest(method="DELETE", path=path, body=b"")
    if product.problem is not None:
        raise PayloadRejected("product", product.problem)
    body = encode(_product(product, merchant))
    if len(body) > MAX_BODY_BYTES:
        raise PayloadRejected(
            "variants", f"make a request of {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are sent"
        )
    return _either(
        OmnisendRequest(method="PUT", path=path, body=body),
        OmnisendRequest(method="POST", path=PRODUCTS_PATH, body=body),
    )


def map_category(
    row: OutboxRow,
    merchant: MerchantProfile,
    collections: Mapping[str, ShopCollection],
) -> OmnisendRequest:
    """The request for a row of kind ``category``; ``collections`` as ``products`` of ``map_product``."""
    collection_id = str(changed_collection(row))
    category_id = clean_id(collection_id)
    path = f"{CATEGORIES_PATH}/{category_id}"
    collection = collections.get(collection_id)
    if collection is None:
        return OmnisendRequest(method="DELETE", path=path, body=b"")
    title = localised(collection.name, merchant.locale, MAX_TITLE)
    if title is None:
        raise PayloadRejected("name", "is missing: a category needs a title")
    return _either(
        OmnisendRequest(method="PATCH", path=path, body=encode({"title": title})),
        OmnisendRequest(
            method="POST",
            path=CATEGORIES_PATH,
            body=encode({"categoryID": category_id, "title": title}),
        ),
    )


def _either(replace: OmnisendRequest, create: OmnisendRequest) -> OmnisendRequest:
    """Replace; where that finds nothing, create; where somebody else just did, replace."""
    again = msgspec.structs.replace(create, otherwise=replace)
    return msgspec.structs.replace(replace, otherwise=again)


# -- a product's body ------------------------------------------------------------------------------------------


def _product(product: ShopProduct, merchant: MerchantProfile) -> JsonObject:
    title = localised(product.title, merchant.locale, MAX_TITLE)
    if title is None:
        raise PayloadRejected("title", "is missing")
    address = url(page(merchant, "/product", product.id))
    if address is None:
        raise PayloadRejected("url", "cannot be made: the merchant has no slug and no custom domain")
    pictures = list(islice(images(product.images), MAX_IMAGES))
    body: JsonObject = {
        "id": clean_id(product.id),
        "title": title,
        "status": _status(product),
        "currency": merchant.currency,
        "url": address,
        "variants": _variants(product, title, address),
    }
    for key, part in (
        ("description", localised(product.description, merchant.locale, MAX_DESCRIPTION)),
        ("type", localised(product.category, merchant.locale, MAX_LABEL)),
        ("vendor", text(product.vendor, MAX_LABEL)),
        ("defaultImageUrl", pictures[0] if pictures else None),
        ("images", pictures),
        ("tags", texts(product.tags, limit=MAX_LABEL, count=MAX_TAGS)),
        ("categoryIDs", [clean_id(category) for category in product.collections[:MAX_CATEGORIES]]),
        ("createdAt", _second(product.created_at)),
        ("updatedAt", _second(product.updated_at)),
    ):
        if part:
            body[key] = part
    return body


def _active(product: ShopProduct) -> list[ShopVariant]:
    return [variant for variant in product.variants if variant.active]


def _status(product: ShopProduct) -> ProductStatus:
    """Variants, where there are any, tell whether a product is in stock: SOLDT keeps no stock of the product beside theirs."""
    if not product.visible:
        return ProductStatus.NOT_AVAILABLE
    stocks = _active(product) if product.variants else [product]
    in_stock = any(not stock.sold_out for stock in stocks)
    return ProductStatus.IN_STOCK if in_stock else ProductStatus.OUT_OF_STOCK


def _variants(product: ShopProduct, title: str, address: str) -> list[JsonObject]:
    """At least one, as Omnisend requires: a product without variants has one with its own id."""
    variants = _active(product)[:MAX_VARIANTS]
    if not variants:
        return [
            {
                "id": clean_id(product.id),
                "title": title,
                "url": address,
                "status": _status(product),
                **_prices(product.price, product.strike_through, "price"),
            }
        ]
    return [_variant(variant, product, title, address) for variant in variants]


def _variant(variant: ShopVariant, product: ShopProduct, title: str, address: str) -> JsonObject:
    own_price = not is_absent(variant.price)
    body: JsonObject = {
        "id": clean_id(variant.id),
        "title": _variant_title(title, variant.option_values),
        "url": address,
        "status": _variant_status(variant, product),
        **_prices(
            variant.price if own_price else product.price,
            product.strike_through if is_absent(variant.strike_through) else variant.strike_through,
            f"variants[{variant.id}].price" if own_price else "price",
        ),
    }
    for key, part in (
        ("sku", text(variant.sku, MAX_TITLE)),
        ("defaultImageUrl", url(variant.image_url)),
    ):
        if part:
            body[key] = part
    return body


def _variant_status(variant: ShopVariant, product: ShopProduct) -> ProductStatus:
    if not product.visible:
        return ProductStatus.NOT_AVAILABLE
    return ProductStatus.OUT_OF_STOCK if variant.sold_out else ProductStatus.IN_STOCK


def options_title(option_values: Any) -> str | None:
    """What tells a variant from the others, ``L / Red``; ``None`` where nothing does."""
    given = structure(option_values)
    values = given.values() if isinstance(given, dict) else ()
    return " / ".join(named for value in values if (named := text(value, MAX_LABEL)) is not None) or None


def _variant_title(title: str, option_values: Any) -> str:
    """``T-shirt - L / Red``. Of a title that is too long the product's part is cut: the options tell variants apart."""
    named = options_title(option_values)
    if named is None:
        return title
    options = f" - {named}"[: MAX_TITLE // 2]
    return f"{title[: MAX_TITLE - len(options)]}{options}"


def _prices(price: Any, strike_through: Any, field: str) -> JsonObject:
    """A price, which must be right, and the one that is struck through, where it is higher."""
    if is_absent(price):
        raise PayloadRejected(field, "is missing")
    try:
        now = amount(price)
    except NotANumber as error:
        raise PayloadRejected(field, str(error)) from None
    prices: dict[str, Decimal] = {"price": now}
    before = optional_amount(strike_through)
    if before is not None and before > now:
        prices["strikeThroughPrice"] = before
    return prices


def _second(value: Any) -> str | None:
    """An instant as Omnisend takes it here, in UTC and to the second: ``2026-11-21T10:00:00Z``."""
    found = optional_instant(value)
    return f"{found[:19]}Z" if found is not None else None
