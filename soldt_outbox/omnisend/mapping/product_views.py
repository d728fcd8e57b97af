"""The properties of ``viewed product``."""

from __future__ import annotations

from typing import Any

from soldt_outbox.omnisend.mapping import line_items as items
from soldt_outbox.omnisend.mapping.line_items import JsonObject, Shop
from soldt_outbox.omnisend.mapping.reading import Source, currency, ident, optional_amount, structure, text
from soldt_outbox.omnisend.mapping.urls import page, url

PRODUCT = ("product",)
OLD_PRICE = ("oldPrice", "productStrikeThroughPrice", "strikeThroughPrice", "compare_at_price")
CURRENCY = ("currency",)
STATUS = ("status", "productStatus", "availability")

_STATUSES = {
    "instock": "inStock",
    "outofstock": "outOfStock",
    "soldout": "outOfStock",
    "notavailable": "notAvailable",
}


def view_properties(view: Source, shop: Shop) -> JsonObject:
    """Omnisend's ``product``, from ``properties.product`` or from SOLDT's flat fields. Needed are id and title."""
    given = structure(view.get(PRODUCT))
    flat = not isinstance(given, dict)
    source = view if flat else Source(given, f"{view.where(PRODUCT)}.")
    titles = items.FLAT_TITLE if flat else items.TITLE
    product_id = ident(source.get(items.PRODUCT_ID))
    if product_id is None:
        raise source.reject(items.PRODUCT_ID, "is missing or is no id")
    known = shop.catalogue.get(product_id)
    title = text(source.get(titles), items.MAX_TITLE) or text(known and known.title, items.MAX_TITLE)
    if title is None:
        raise source.reject(titles, "is missing, and the catalogue does not know the product")
    product: JsonObject = {"id": product_id, "title": title}
    for key, money in (("price", items.PRICE), ("oldPrice", OLD_PRICE)):
        if (found := optional_amount(source.get(money))) is not None:
            product[key] = found
    product["currency"] = currency(source.get(CURRENCY), shop.merchant.currency)
    description = source.get(items.DESCRIPTION) or (known and known.description)
    categories = items.categories(source.get(items.CATEGORIES)) or (
        items.of_catalogue(known) if known else []
    )
    for key, part in (
        ("imageUrl", url(source.get(items.IMAGE_URL)) or url(known and known.image_url)),
        ("url", url(source.get(items.PAGE_URL)) or page(shop.merchant, "/product", product_id)),
        ("status", _status(source.get(STATUS))),
        ("description", text(description, items.MAX_DESCRIPTION)),
        ("vendor", text(source.get(items.VENDOR), 100)),
        ("categories", categories),
    ):
        if part:
            product[key] = part
    return {"product": product}


def _status(word: Any) -> str | None:
    if not isinstance(word, str):
        return None
    return _STATUSES.get(word.strip().replace("_", "").replace(" ", "").replace("-", "").lower())
