"""`/brands/current`: the brand a caller acts for, and the store connected to it."""

from __future__ import annotations

from typing import Final

from sandbox.omnisend.answers import Answer, ok
from sandbox.omnisend.dialect import Dialect
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.model import Finding
from sandbox.omnisend.routing import Call, Endpoint, Methods
from sandbox.omnisend.strict import currency, members, text, url
from sandbox.omnisend.validation import Reading, decoded


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


_CONNECTION: Final = members(
    {
        "website": url(1000),
        "platform": text(100, shortest=1),
        "version": text(10, shortest=1),
        "currency": currency,
        # In no page, but sent by Omnisend's own plugin (wp-omnisend).
        "phpVersion": text(100),
        "platformVersion": text(100),
    },
    required=("website", "platform", "version"),
)


def read_connection(body: bytes, _dialect: Dialect) -> Reading:
    out = Findings()
    content = decoded(body, out)
    if content is not None:
        _CONNECTION(content, "", "", out)
    return Reading(content=content, findings=tuple(out.items))


def connect_store(call: Call) -> Answer:
    """Connect a store to the brand; "only possible to connect store with oAuth flow" (OpenAPI file of the Brands API).

    A platform must have been enabled by Omnisend before; with which status another is refused, no page says.
    """
    if call.reading.is_rejected():
        return call.invalid()
    told, brand, enabled = call.reading.content, call.brand, call.world.settings.platforms
    if enabled is not None and told["platform"] not in enabled:
        finding = Finding(
            "rejected", "platform_unknown", "platform", "is not enabled; ask integrations@omnisend.com"
        )
        return call.invalid((*call.reading.findings, finding))
    brand.website, brand.platform, brand.version = told["website"], told["platform"], told["version"]
    brand.currency = told.get("currency") or brand.currency
    brand.connected = True
    return ok({"brandID": brand.brand_id})


ROUTES: Final[dict[str, Methods]] = {
    "/brands/current": {
        "GET": Endpoint(permission="brands.read", act=show_brand),
        "POST": Endpoint(
            permission="brands.write",
            read=read_connection,
            act=connect_store,
            takes_body=True,
            dialects=frozenset({"2026-03-15"}),
            tokens_only=True,
        ),
    },
}
