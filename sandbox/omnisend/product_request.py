"""Reading the bodies of products and categories: what Omnisend rejects and what it does not know.

Sources: the OpenAPI files of the Products and Product Categories APIs (version 2026-03-15); the pattern of ids, the
form of dates, the bounds of prices and of the items of lists, and that a product needs a variant and a variant a
status, are those of Omnisend's own plugin (wp-omnisend 7e70994, "align mappings and limits with /api source").
Version 5 publishes no bounds of its own, and the same are taken to hold.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sandbox.omnisend.dialect import Dialect
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.strict import currency, identifier, list_of, members, one_of, price, seconds, text, url
from sandbox.omnisend.validation import Reading, decoded

STATUSES: Final = ("inStock", "outOfStock", "notAvailable")
_LONGEST_ID: Final = 100
_LONGEST_URL: Final = 1000
_IMAGES: Final = list_of(url(_LONGEST_URL), 300)

_VARIANT: Final = members(
    {
        "id": identifier(_LONGEST_ID),
        "title": text(255, shortest=1),
        "url": url(_LONGEST_URL),
        "price": price,
        "strikeThroughPrice": price,
        "status": one_of(STATUSES),
        "sku": text(255),
        "description": text(1000),
        "defaultImageUrl": url(_LONGEST_URL),
        "images": _IMAGES,
    },
    required=("id", "title", "url", "price", "status"),
)
_PRODUCT: Final = members(
    {
        "id": identifier(_LONGEST_ID),
        "title": text(255, shortest=1),
        "currency": currency,
        "status": one_of(STATUSES),
        "url": url(_LONGEST_URL),
        "description": text(1000),
        "type": text(100),
        "vendor": text(100),
        "defaultImageUrl": url(_LONGEST_URL),
        "images": _IMAGES,
        "tags": list_of(text(100), 100),
        "categoryIDs": list_of(identifier(200), 100),
        "createdAt": seconds,
        "updatedAt": seconds,
        "variants": list_of(_VARIANT, 500, shortest=1),
    },
    required=("id", "title", "currency", "status", "url", "variants"),
)
_TITLE: Final = text(255, shortest=1)
_CATEGORY: Final = members(
    {"categoryID": identifier(_LONGEST_ID), "title": _TITLE}, required=("categoryID", "title")
)
_CATEGORY_CHANGE: Final = members({"title": _TITLE}, required=("title",))


class ProductRequest(msgspec.Struct, frozen=True):
    product_id: str
    body: bytes
    """As it came."""


class CategoryRequest(msgspec.Struct, frozen=True):
    category_id: str
    title: str


def read_product(body: bytes, _dialect: Dialect) -> Reading:
    """A whole product, for POST and PUT."""
    out = Findings()
    content = decoded(body, out)
    if content is None:
        return Reading(findings=tuple(out.items))
    _PRODUCT(content, "", "", out)
    _check_variant_ids(content.get("variants"), out)
    product_id = content.get("id")
    request = ProductRequest(product_id if type(product_id) is str else "", body)
    return Reading(content=request, findings=tuple(out.items))


def _check_variant_ids(variants: Any, out: Findings) -> None:
    """Two variants of one id: no page says which of them counts."""
    seen = set()
    for index, variant in enumerate(variants if type(variants) is list else ()):
        variant_id = variant.get("id") if type(variant) is dict else None
        if type(variant_id) is not str:
            continue
        if variant_id in seen:
            out.ignored("variant_id_repeated", f"variants[{index}]", "id", "is another variant's too")
        seen.add(variant_id)


def read_category(body: bytes, _dialect: Dialect) -> Reading:
    """A new category."""
    out = Findings()
    content = decoded(body, out)
    if content is None:
        return Reading(findings=tuple(out.items))
    _CATEGORY(content, "", "", out)
    category_id, title = content.get("categoryID"), content.get("title")
    if type(category_id) is not str or type(title) is not str:
        return Reading(findings=tuple(out.items))
    return Reading(content=CategoryRequest(category_id, title), findings=tuple(out.items))


def read_category_change(body: bytes, _dialect: Dialect) -> Reading:
    """Another title for a category; `content` is the title."""
    out = Findings()
    content = decoded(body, out)
    if content is None:
        return Reading(findings=tuple(out.items))
    _CATEGORY_CHANGE(content, "", "", out)
    return Reading(content=content.get("title"), findings=tuple(out.items))
