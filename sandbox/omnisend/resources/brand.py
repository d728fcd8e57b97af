"""`/brands/current`: the brand a caller acts for."""

from __future__ import annotations

from typing import Final

from sandbox.omnisend.answers import Answer, ok
from sandbox.omnisend.routing import Call, Endpoint, Methods


def show_brand(call: Call) -> Answer:
    """The brand a key belongs to; the cheapest way to see whether a key is good."""
    brand = call.brand
    return ok(
        {
            "brandID": brand.brand_id,
            "name": brand.name,
            "platform": brand.platform,
            "website": brand.website,
            "version": brand.version,
            "currency": brand.currency,
            "timezone": brand.timezone,
            "connected": brand.connected,
        }
    )


ROUTES: Final[dict[str, Methods]] = {
    "/brands/current": {"GET": Endpoint(permission="brands.read", act=show_brand)},
}
