"""Everything the API offers, once for all versions: a module for each resource, with its endpoints in `ROUTES`."""

from __future__ import annotations

from typing import Final

from sandbox.omnisend.resources import batches, brand, categories, contacts, events, products
from sandbox.omnisend.routing import Routes

ROUTES: Final = Routes(
    {
        **events.ROUTES,
        **contacts.ROUTES,
        **products.ROUTES,
        **categories.ROUTES,
        **batches.ROUTES,
        **brand.ROUTES,
    }
)

__all__ = ["ROUTES"]
