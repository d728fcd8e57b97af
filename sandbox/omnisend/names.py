"""Event names that are almost, but not quite, a recommended one.

A name is matched letter by letter: `order cancelled` or `Placed Order` becomes a custom event, and none of the
prepared automations fire. Any other name is a custom event that somebody meant.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from sandbox.omnisend.documented import RECOMMENDED

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FILLERS: Final = frozenset({"a", "an", "for", "of", "the", "to", "was", "has", "been", "is"})
_FORMS: Final = {
    "add": "added",
    "cancel": "canceled",
    "cancelled": "canceled",
    "cancellation": "canceled",
    "fulfil": "fulfilled",
    "fulfill": "fulfilled",
    "fulfiled": "fulfilled",
    "orders": "order",
    "pay": "paid",
    "place": "placed",
    "products": "product",
    "refund": "refunded",
    "start": "started",
    "view": "viewed",
}


def _core(name: str) -> frozenset[str]:
    """The words that carry the meaning, in one form, in no order."""
    words = (word.lower() for word in _WORD.findall(name))
    return frozenset(_FORMS.get(word, word) for word in words if word not in _FILLERS)


_CORES: Final = {_core(name): name for name in RECOMMENDED}
# What shops call it without "product" (Shopify, WooCommerce and GA4 all have an "add to cart").
_CORES[frozenset({"added", "cart"})] = "added product to cart"


@lru_cache(maxsize=4096)
def near_miss(name: str) -> str | None:
    """The recommended name that `name` resembles without being it, or None for a custom event's own name."""
    if name in RECOMMENDED:
        return None
    by_words = _CORES.get(_core(name))
    if by_words is not None:
        return by_words
    close = get_close_matches(" ".join(name.lower().split()), RECOMMENDED, n=1, cutoff=0.88)
    return close[0] if close else None
