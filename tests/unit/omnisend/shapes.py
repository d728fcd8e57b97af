"""Payloads as SOLDT really writes them, and the row around them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from soldt_outbox.omnisend.mapping import map_event
from soldt_outbox.rows import (
    CatalogueProduct,
    CatalogueVariant,
    Kind,
    MerchantProfile,
    OmnisendRequest,
    OutboxRow,
)

MERCHANT_ID = UUID("11111111-1111-4111-8111-111111111111")
MERCHANT = MerchantProfile(merchant_id=MERCHANT_ID, storefront_url="https://tea.example.co.za")
WHEN = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)

CATALOGUE = {
    "17": CatalogueProduct(
        id="17",
        title="Rooibos tea",
        description="Organic, loose leaf",
        image_url="https://cdn.soldt.co.za/17.jpg",
        categories=(("3", "Tea"), ("9", "Gifts")),
        variants={
            "42": CatalogueVariant(
                id="42", sku="RT-500", image_url="https://cdn.soldt.co.za/42.jpg", title="500 g"
            )
        },
    )
}

ORDER = """
{"id": 4711, "merchant_id": "11111111-1111-4111-8111-111111111111",
 "customer_email": "thandi@example.co.za", "customer_name": "Thandi van der Merwe", "customer_phone": "082 123 4567",
 "shipping_address": {"address": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001"},
 "items": [{"product_id": 17, "variant_id": 42, "title": "Rooibos tea", "variant_title": "500 g", "quantity": 2,
            "price": 89.90, "subtotal": 179.80},
           {"id": 19, "title": "Mug", "quantity": 3, "price": 50, "image": "https://cdn.soldt.co.za/mug.jpg"}],
 "subtotal": 329.80, "shipping": 60.00, "tax": 0.00, "total": 389.80,
 "status": "pending", "payment_status": "awaiting_payment", "payment_reference": null, "payment_method": "eft",
 "tracking_number": null, "tracking_carrier": null, "tracking_url": null, "notes": "Leave it at the gate",
 "created_at": "2026-11-21T10:00:00.123456+00:00", "updated_at": "2026-11-21T10:00:00.123456+00:00"}
"""

CART = """
{"contact": {"email": " Thandi@Example.co.za ", "firstName": "Thandi"},
 "properties": {"currency": "ZAR", "value": 229.80, "cartID": "cart:sess_5f2c", "checkoutURL": "https://tea.example.co.za/checkout?c=1",
  "lineItems": [{"productID": 17, "productTitle": "Rooibos tea", "productPrice": 89.90, "quantity": 2, "variantID": 42,
                 "variantTitle": "500 g"},
                {"productID": 19, "productTitle": "Mug", "productPrice": 50.00, "quantity": 1,
                 "productImageURL": "https://cdn.soldt.co.za/mug.jpg"}]}}
"""

VIEW = """
{"contact": {"phone": "27821234567"},
 "properties": {"productID": 17, "productTitle": "Rooibos tea", "productPrice": 89.90, "category": "Tea",
  "productURL": "https://tea.example.co.za/product/17", "sessionID": "s1"}}
"""


LINE = """
{"customer_email": "thandi@example.co.za", "customer_name": "Thandi van der Merwe", "customer_phone": "082 123 4567",
 "order_id": "4711", "currency": "ZAR",
 "item": {"product_id": 17, "variant_id": 42, "title": "Rooibos tea", "variant_title": "500 g", "quantity": 2,
          "price": 89.90, "subtotal": 179.80}}
"""

CUSTOM = """
{"contact": {"email": " Thandi@Example.co.za ", "firstName": "Thandi"},
 "properties": {"paper": "kraft", "gifts": 3, "price": 12.50, "express": false, "note": "", "ribbon": null,
  "wrapped": [{"sku": "RT-500", "weight": 0.5}, {"sku": null}, null], "card": {"text": "For you", "from": null}, "empty": {"a": {"b": null}}, "none": [null, {}, []]}}
"""


def parse(text: str):
    """As the store parses a payload: numbers with a fraction are ``Decimal``."""
    return json.loads(text, parse_float=Decimal)


def order(**changes):
    return parse(ORDER) | changes


def row(name: str, payload, dedup_key: str = "4711", **changes) -> OutboxRow:
    fields = {
        "id": 1,
        "merchant_id": MERCHANT_ID,
        "kind": Kind.EVENT,
        "name": name,
        "dedup_key": dedup_key,
        "payload": payload,
        "occurred_at": WHEN,
        "expires_at": None,
        "expired": False,
        "attempts": 1,
        "rescues": 0,
        "lease_token": UUID(int=1),
        "created_at": WHEN,
    }
    return OutboxRow(**(fields | changes))


def sent(name: str, payload, *, merchant=MERCHANT, catalogue=None, dedup_key="4711"):
    """The body of the request that a payload becomes, read back with exact numbers."""
    request = map_event(row(name, payload, dedup_key), merchant, catalogue or {})
    assert isinstance(request, OmnisendRequest)
    assert (request.method, request.path) == ("POST", "/events")
    return parse(request.body)
