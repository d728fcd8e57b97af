"""The properties of ``viewed product``."""

from __future__ import annotations

from typing import Any

from soldt_outbox.omnisend.mapping import line_items as items
from soldt_outbox.omnisend.mapping.ids import clean_id
from soldt_outbox.omnisend.mapping.line_items import JsonObject, Shop
from soldt_outbox.omnisend.mapping.reading import (
    Names,
    Source,
    currency,
    ident,
    optional_amount,
    structure,
    text,
)
from soldt_outbox.omnisend.mapping.urls import page, url

_FIELDS = items.PRODUCT | {
    "old_price": ("oldPrice", "productStrikeThroughPrice", "strikeThroughPrice", "compare_at_price"),
    "currency": ("currency",),
    "status": ("status", "productStatus", "availability"),
}
_PRODUCT = Names(**_FIELDS)
VIEW = Names(product=("product",), **(_FIELDS | {"title": items.FLAT_TITLE}))
"""The properties of a product view: an object ``product``, or SOLDT's flat fields, beside which ``name`` is the event's."""

_STATUSES = {
    "instock": "inStock",
    "outofstock": "outOfStock",
    "soldout": "outOfStock",
    "notavailable": "notAvailable",
}


def viewed_product(view: Source) -> Source:
    """The product that was looked at: an object of its own, or the view's flat fields."""
    given = structure(view.get("product"))
    return Source(given, _PRODUCT, f"{view.where('product')}.") if isinstance(given, dict) else view


def view_properties(view: Source, shop: Shop) -> JsonObject:
    """Omnisend's ``product``, from ``properties.product`` or from SOLDT's flat fields. Needed are id and title."""
    source = viewed_product(view)
    product_id = ident(source.get("product_id"))
    if product_id is None:
        raise source.reject("product_id", "is missing or is no id")
    known = shop.catalogue.get(product_id, items.NO_PRODUCT)
    title = shop.text(source.get("title"), known.title, limit=items.MAX_TITLE)
    if title is None:
        raise source.reject("title", "is missing, and the catalogue does not know the product")
    product: JsonObject = {"id": clean_id(product_id), "title": title}
    for key, money in (("price", "price"), ("oldPrice", "old_price")):
        if (found := optional_amount(source.get(money))) is not None:
            product[key] = found
    product["currency"] = currency(source.get("currency"), shop.merchant.currency)
    for key, part in (
        ("imageUrl", url(source.get("image_url")) or url(known.image_url)),
        ("url", url(source.get("page_url")) or page(shop.merchant, "/product", product_id)),
        ("status", _status(source.get("status"))),
        (
            "description",
            shop.text(source.get("description"), known.description, limit=items.MAX_DESCRIPTION),
        ),
        ("vendor", text(source.get("vendor"), 100)),
        ("categories", items.categories(source.get("categories"), known, shop)),
    ):
        if part:
            product[key] = part
    return {"product": product}


def _status(word: Any) -> str | None:
    if not isinstance(word, str):
        return None
    return _STATUSES.get(word.strip().replace("_", "").replace(" ", "").replace("-", "").lower())
