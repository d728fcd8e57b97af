"""Line items: the three shapes SOLDT has them in, and what the catalogue adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping.ids import clean_id
from soldt_outbox.omnisend.mapping.locales import localised
from soldt_outbox.omnisend.mapping.reading import (
    Names,
    NotANumber,
    Source,
    amount,
    ident,
    kind_of,
    optional_amount,
    quantity,
    structure,
    text,
    texts,
)
from soldt_outbox.omnisend.mapping.urls import page, url
from soldt_outbox.rows import CatalogueProduct, CatalogueVariant, MerchantProfile

MAX_ITEMS: Final = 1_000
MAX_DESCRIBED_ITEMS: Final = 100  # beyond, descriptions from the catalogue would push a body over 1 MB

MAX_TITLE: Final = 255  # Omnisend's bounds for products, which it publishes for no line item
MAX_DESCRIPTION: Final = 1_000
MAX_CATEGORY_TITLE: Final = 100

# Names that other objects share.
ITEMS = ("items", "lineItems", "line_items")
REFUNDED_ITEMS = ("refundedLineItems", "refunded_items")
FLAT_PRODUCT_ID = (
    "product_id",
    "productID",
    "productId",
)  # beside an event's own fields ``id`` is the event's
FLAT_TITLE = ("title", "productTitle")  # and ``name`` too
PRODUCT_ID = (*FLAT_PRODUCT_ID, "id")
PRODUCT = {
    "product_id": PRODUCT_ID,
    "title": (*FLAT_TITLE, "name"),
    "price": ("price", "productPrice"),
    "description": ("productDescription", "description"),
    "page_url": ("productURL", "productUrl", "url"),
    "image_url": ("productImageURL", "productImageUrl", "imageUrl", "image_url", "image"),
    "categories": ("productCategories", "categories", "category"),
    "vendor": ("productVendor", "vendor"),
}
_ITEM = Names(
    **PRODUCT,
    variant_id=("variant_id", "productVariantID", "variantID", "variantId"),
    quantity=("quantity", "productQuantity", "qty"),
    strike_through=("productStrikeThroughPrice", "strikeThroughPrice", "compare_at_price", "oldPrice"),
    discount=("productDiscount", "discount"),
    sku=("productSKU", "sku"),
    variant_image_url=("productVariantImageURL", "variantImageURL", "variant_image"),
    variant_title=("productVariantTitle", "variantTitle", "variant_title"),
    tags=("productTags", "tags"),
    weight=("productWeight", "weight"),
)
_CATEGORY = Names(id=("id", "categoryID"), title=("title", "name"))

NO_PRODUCT: Final = CatalogueProduct(id="")
_NO_VARIANT: Final = CatalogueVariant(id="")

JsonObject = dict[str, Any]


class Shape(StrEnum):
    """Omnisend's line items of carts lack variant title, vendor, tags and weight; those of orders the old price."""

    CART = "cart"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Shop:
    """Whose events these are, and what is known of what it sells (by product id)."""

    merchant: MerchantProfile
    catalogue: Mapping[str, CatalogueProduct]

    def text(self, *values: Any, limit: int) -> str | None:
        """The first of ``values`` that says something, in the merchant's language, at most ``limit`` characters."""
        for value in values:
            found = localised(value, self.merchant.locale, limit)
            if found is not None:
                return found
        return None


def line_items(value: Any, path: str, shop: Shop, shape: Shape) -> list[JsonObject]:
    """Every line item of a list that must have one. Raises ``PayloadRejected`` for the first that cannot be sent.

    An item that is left out would tell the customer of another order than the one they placed.
    """
    items = structure(value)
    if items is None:
        raise PayloadRejected(path, "is missing: there is nothing to tell without line items")
    if not isinstance(items, list):
        raise PayloadRejected(path, f"is {kind_of(items)}, not a list of line items")
    if not items:
        raise PayloadRejected(path, "is empty: there is nothing to tell without line items")
    if len(items) > MAX_ITEMS:
        raise PayloadRejected(path, f"has {len(items):,} line items; at most {MAX_ITEMS:,} are sent")
    describe = len(items) <= MAX_DESCRIBED_ITEMS
    return [line_item(item, f"{path}[{i}]", shop, shape, describe=describe) for i, item in enumerate(items)]


def line_item(value: Any, path: str, shop: Shop, shape: Shape, *, describe: bool = True) -> JsonObject:
    """One line item as Omnisend has it: id, title, price and quantity, or ``PayloadRejected``; the rest if known."""
    given = structure(value)
    if not isinstance(given, dict):
        raise PayloadRejected(path, f"is {kind_of(given)}, not a line item")
    source = Source(given, _ITEM, f"{path}.")
    product_id = ident(source.get("product_id"))
    if product_id is None:
        raise source.reject("product_id", "is missing or is no id")
    product = shop.catalogue.get(product_id, NO_PRODUCT)
    variant_id = ident(source.get("variant_id"))
    variant = product.variants.get(variant_id, _NO_VARIANT) if variant_id else _NO_VARIANT
    title = shop.text(source.get("title"), product.title, limit=MAX_TITLE)
    if title is None:
        raise source.reject("title", "is missing, and the catalogue does not know the product")
    item: JsonObject = {
        "productID": clean_id(product_id),
        "productVariantID": clean_id(variant_id or product_id),
        "productTitle": title,
        **_figures(source, shape),
    }
    described = product if describe else NO_PRODUCT
    for key, found in (
        ("productSKU", text(source.get("sku"), MAX_TITLE) or text(variant.sku, MAX_TITLE)),
        (
            "productDescription",
            shop.text(source.get("description"), described.description, limit=MAX_DESCRIPTION),
        ),
        ("productURL", url(source.get("page_url")) or page(shop.merchant, "/product", product_id)),
        ("productImageURL", url(source.get("image_url")) or url(product.image_url)),
        ("productVariantImageURL", url(source.get("variant_image_url")) or url(variant.image_url)),
        ("productCategories", categories(source.get("categories"), product, shop)),
    ):
        if found:
            item[key] = found
    if shape is Shape.ORDER:
        _add_order_details(item, source, variant, shop)
    return item


def _figures(source: Source, shape: Shape) -> JsonObject:
    """Price and quantity, which must be right, and the discount, which may be absent."""
    try:
        price = amount(source.get("price"))
    except NotANumber as error:
        raise source.reject(
            "price", str(error) if source.get("price") is not None else "is missing"
        ) from None
    try:
        count = quantity(source.get("quantity"))
    except NotANumber as error:
        raise source.reject(
            "quantity", str(error) if source.get("quantity") is not None else "is missing"
        ) from None
    figures: JsonObject = {"productPrice": price, "productQuantity": count}
    old = optional_amount(source.get("strike_through"))
    was_dearer = old is not None and old > price
    discount = optional_amount(source.get("discount"))
    if discount is None and old is not None and was_dearer:
        discount = old - price  # "if current price is 20 and old price is 30, then discount should be 10"
    if discount is not None:
        figures["productDiscount"] = discount
    if (
        was_dearer and shape is Shape.CART
    ):  # order events: "This field was removed" (order canceled, properties)
        figures["productStrikeThroughPrice"] = old
    return figures


def _add_order_details(item: JsonObject, source: Source, variant: CatalogueVariant, shop: Shop) -> None:
    for key, found in (
        (
            "productVariantTitle",
            shop.text(source.get("variant_title"), variant.title, limit=MAX_TITLE),
        ),
        ("productVendor", text(source.get("vendor"), 100)),
        ("productTags", texts(source.get("tags"), limit=100) if source.get("tags") is not None else None),
    ):
        if found:
            item[key] = found
    weight = optional_amount(source.get("weight"))
    if weight is not None:
        item["productWeight"] = weight


def categories(value: Any, product: CatalogueProduct, shop: Shop) -> list[JsonObject]:
    """A product's categories, ``[{id, title}]``: those of ``value``, the payload's, where each has an id, else its collections.

    The catalogue has the collections at Omnisend under the same ids. SOLDT's ``category`` is a name alone: it is its own
    id where the product is in no collection that is known.
    """
    told = _told_categories(value, shop)
    if not (told and all(category_id for category_id, _ in told)):
        told = _collections(product, shop) or told
    return [{"id": clean_id(category_id or title), "title": title} for category_id, title in told]


def _told_categories(value: Any, shop: Shop) -> list[tuple[str | None, str]]:
    """Ids and titles from Omnisend's list, from a list of names, or from one name."""
    given = structure(value)
    found = []
    for entry in (given if isinstance(given, list) else [given])[:100]:
        category = _CATEGORY.read(entry) if isinstance(entry, dict) else {}
        title = shop.text(category.get("title") if category else entry, limit=MAX_CATEGORY_TITLE)
        if title:
            found.append((ident(category.get("id")), title))
    return found


def _collections(product: CatalogueProduct, shop: Shop) -> list[tuple[str | None, str]]:
    """Ids and titles of the collections a product is in, where they have a title."""
    return [
        (collection_id, title)
        for collection_id, name in product.categories[:100]
        if (title := shop.text(name, limit=MAX_CATEGORY_TITLE)) is not None
    ]


def total_of(items: list[JsonObject]) -> Decimal:
    """Price times quantity over all ``items``."""
    return sum((item["productPrice"] * item["productQuantity"] for item in items), Decimal("0.00"))
