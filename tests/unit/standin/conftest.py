"""Events that Omnisend's documentation would call right, one per recommended name, for tests to damage."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sandbox.omnisend.dialect import V5
from sandbox.omnisend.model import Finding
from sandbox.omnisend.validation import read_event

ITEM: dict[str, Any] = {
    "productID": "373",
    "productVariantID": "123",
    "productTitle": "Super duper product",
    "productPrice": 19.99,
    "productQuantity": 2,
    "productSKU": "200",
    "productDescription": "…",
    "productDiscount": 10.19,
    "productURL": "https://example.com/abc",
    "productImageURL": "https://example.com/i.jpg",
    "productVariantImageURL": "https://example.com/v.jpg",
    "productCategories": [{"id": "123", "title": "Shoes"}],
}
ORDER_ITEM: dict[str, Any] = {
    **ITEM,
    "productVariantTitle": "Green",
    "productVendor": "BestCompany",
    "productTags": ["new"],
    "productWeight": 20.4125,
}
ADDRESS: dict[str, Any] = {
    "address1": "123 Main Street",
    "city": "AnyTown",
    "country": "USA",
    "firstName": "John",
    "lastName": "Smith",
    "phone": "+443031237300",
    "state": "California",
    "stateCode": "CA",
    "zip": "90210",
}
CART: dict[str, Any] = {
    "abandonedCheckoutURL": "https://example.com/checkout",
    "cartID": "a342-dsfv12",
    "currency": "EUR",
    "value": 39.98,
    "lineItems": [ITEM],
}
ORDER: dict[str, Any] = {
    "orderID": "4122111",
    "orderNumber": "4122111",
    "createdAt": "2023-11-10T07:00:00Z",
    "currency": "EUR",
    "totalPrice": 42.97,
    "subTotalPrice": 39.98,
    "subTotalTaxIncluded": False,
    "totalDiscount": 0,
    "totalTax": 4.19,
    "shippingPrice": 2.99,
    "shippingMethod": "courier",
    "paymentMethod": "card",
    "note": "Please send it ASAP",
    "orderStatusURL": "https://example.com/orders",
    "paymentStatus": "paid",
    "fulfillmentStatus": "unfulfilled",
    "billingAddress": ADDRESS,
    "shippingAddress": ADDRESS,
    "discounts": [{"amount": 10, "code": "SUMMER20", "type": "fixedAmount"}],
    "lineItems": [ORDER_ITEM],
    "tags": ["vip"],
    "tracking": {
        "code": "9598684",
        "courierTitle": "courier",
        "courierURL": "https://carrier.example/track/1",
    },
}
PRODUCT: dict[str, Any] = {
    "id": "p1",
    "title": "Shoe",
    "price": 66.66,
    "oldPrice": 80,
    "currency": "ZAR",
    "imageUrl": "https://example.com/i.jpg",
    "url": "https://example.com/p1",
    "status": "inStock",
    "description": "A shoe",
    "categories": [{"id": "1", "title": "Shoes"}],
}
PROPERTIES: dict[str, tuple[str, dict[str, Any]]] = {
    "viewed product": ("v4", {"product": PRODUCT}),
    "added product to cart": ("", {**CART, "addedItem": ITEM}),
    "started checkout": ("", CART),
    "placed order": ("v2", ORDER),
    "paid for order": ("v2", ORDER),
    "order fulfilled": ("v2", {**ORDER, "fulfillmentStatus": "fulfilled"}),
    "order canceled": ("v2", {**ORDER, "cancelReason": "Not needed"}),
    "order refunded": (
        "v2",
        {**ORDER, "refundedLineItems": [ORDER_ITEM], "totalRefundedAmount": 20, "totalRefundedTaxAmount": 2},
    ),
    "ordered product": ("v2", {"orderID": "4122111", "product": ORDER_ITEM}),
}


def documented_event(name: str = "placed order") -> dict[str, Any]:
    """A right event of that name, free to be changed."""
    version, properties = PROPERTIES[name]
    return {
        "eventName": name,
        "origin": "api",
        "eventVersion": version,
        "eventID": "f3f61bc6-07b8-4645-92d8-189d882dbcb1",
        "eventTime": "2021-07-01T00:00:00Z",
        "contact": {"email": "ann@example.com", "phone": "+27821234567", "firstName": "Ann"},
        "properties": json.loads(json.dumps(properties)),
    }


Event = Callable[..., dict[str, Any]]
Find = Callable[[Any], list[tuple[str, str, str]]]


@pytest.fixture
def event() -> Event:
    return documented_event


@pytest.fixture
def find() -> Find:
    """Severity, code and path of everything found in an event (or in raw bytes)."""

    def found(request: Any) -> list[tuple[str, str, str]]:
        body = request if isinstance(request, bytes) else msgspec.json.encode(request)
        findings: tuple[Finding, ...] = read_event(body, V5).findings
        return [(one.severity, one.code, one.path) for one in findings]

    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recommended_name" in metafunc.fixturenames:
        metafunc.parametrize("recommended_name", PROPERTIES)
