"""Addresses of pages and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from soldt_outbox.omnisend.mapping.reading import structure, text
from soldt_outbox.rows import MerchantProfile

MAX_URL = 1_000  # Omnisend's bound; a longer one is left out, since half a URL leads nowhere

_WEB_URL = re.compile(r"https?://[^\s/?#\"<>\\^`{|}]+[^\s\"<>\\^`{|}]*", re.IGNORECASE)


def url(value: Any) -> str | None:
    """An absolute web address, or ``None`` for anything else."""
    if type(value) is not str:
        return None
    cleaned = text(value, MAX_URL + 1)
    if cleaned is None or len(cleaned) > MAX_URL or _WEB_URL.fullmatch(cleaned) is None:
        return None
    return cleaned


def images(value: Any) -> Iterator[str]:
    """The web addresses among a product's images: a list of them, such a list as JSON text, or one alone."""
    given = structure(value)
    listed = given if isinstance(given, list) else [given]
    return (address for item in listed if (address := url(item)) is not None)


def page(merchant: MerchantProfile, path: str, ident: str | None = None) -> str | None:
    """A page of the merchant's storefront, ``/product/12``; ``None`` where it has no address."""
    if not merchant.storefront_url:
        return None
    if ident is None:
        return merchant.storefront_url + path
    return f"{merchant.storefront_url}{path}/{ident if ident.isalnum() and ident.isascii() else quote(ident, safe='')}"
