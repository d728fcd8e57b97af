"""One example of every request, from what the shop wrote: by the project's own code, from the event or row to the request.

The values are those of the examples in Omnisend's documentation, as far as SOLDT's shops have the fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from soldt_outbox.events import (
    CheckoutStarted,
    CustomEvent,
    Event,
    OrderCanceled,
    OrderFulfilled,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    ProductAddedToCart,
    ProductViewed,
)
from soldt_outbox.following import ordered_products
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping.catalogue import ShopCollection, ShopProduct, ShopVariant
from soldt_outbox.omnisend.mapping.contacts import ConsentState, ContactRow, Status
from soldt_outbox.rows import (
    CatalogueProduct,
    CatalogueVariant,
    Kind,
    MerchantProfile,
    OmnisendRequest,
    OutboxRow,
)
from worker.requests import request_for
from worker.shops import Shop
from worker.surroundings import Surroundings

MERCHANT_ID = UUID("11111111-1111-4111-8111-111111111111")
MERCHANT = MerchantProfile(
    merchant_id=MERCHANT_ID, storefront_url="https://example.com", country_code="US", currency="EUR"
)
WHEN = datetime(2023, 11, 10, 7, 0, 0, tzinfo=UTC)
EMAIL, PHONE = "john@example.com", "+443031237300"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row and what is known around it. ``request`` is the row's request, or the one to make where that fails.

    ``after``: the example that has to be told first, since Omnisend changes and deletes only what it has.
    """

    row: OutboxRow
    otherwise: bool = False
    after: str | None = None
    known: dict[str, Any] = field(default_factory=dict)

    def request(self, dialect: Dialect) -> OmnisendRequest:
        shop = Shop(profile=MERCHANT, dialect=dialect, api_key=None, sealed=None)
        around = Surroundings(
            shops={MERCHANT_ID: shop}, **{name: {MERCHANT_ID: what} for name, what in self.known.items()}
        )
        made = request_for(self.row, shop, around)
        assert isinstance(made, OmnisendRequest)
        if not self.otherwise:
            return made
        assert made.otherwise is not None
        return made.otherwise


def _row(kind: Kind, name: str, payload: Any, dedup_key: str, occurred_at: datetime = WHEN) -> OutboxRow:
    """As the store reads it: numbers with a fraction are ``Decimal``."""
    return OutboxRow(
        id=1,
        merchant_id=MERCHANT_ID,
        kind=kind,
        name=name,
        dedup_key=dedup_key,
        payload=json.loads(json.dumps(payload, default=float), parse_float=Decimal),
        occurred_at=occurred_at,
        expires_at=None,
        expired=False,
        attempts=1,
        rescues=0,
        lease_token=UUID(int=1),
        created_at=occurred_at,
    )


def _event(event: Event, **known: Any) -> Example:
    assert event.dedup_key is not None
    row = _row(Kind.EVENT, event.name, json.loads(event.payload_json()), event.dedup_key, event.occurred_at)
    return Example(row=row, known={"line_items": CATALOGUE} | known)


# -- events --------------------------------------------------------------------------------------------------------

CATALOGUE = {
    "1": CatalogueProduct(
        id="1",
        title="The best product",
        description="The best product with many various features",
        image_url="https://example.com/product/232423-image.jpg",
        categories=(("123", "Shoes"),),
        variants={
            "123": CatalogueVariant(
                id="123",
                sku="200",
                image_url="https://example.com/product/232423-variant-image.jpg",
                title="Full product title - Green",
            )
        },
    )
}
ORDER = {
    "id": 4122111,
    "customer_email": EMAIL,
    "customer_name": "John Smith",
    "customer_phone": PHONE,
    "billing_address": {
        "address1": "123 Main Street",
        "address2": "123 A Main Street",
        "city": "AnyTown",
        "company": "SuperCompany",
        "country": "USA",
        "firstName": "John",
        "lastName": "Smith",
        "phone": PHONE,
        "state": "California",
        "stateCode": "CA",
        "zip": "90210",
    },
    "shipping_address": {
        "address": "my street1",
        "city": "My town",
        "province": "my other state",
        "postalCode": "12345",
        "country": "My country",
        "stateCode": "CA",
    },
    "items": [
        {
            "product_id": 1,
            "variant_id": 123,
            "title": "The best product",
            "quantity": 2,
            "price": 19.99,
            "productDiscount": 10.19,
            "productURL": "https://example.com/product/232423",
            "productVendor": "BestCompany",
            "productTags": ["new", "sale"],
            "productWeight": 20.4,
        }
    ],
    "subtotal": 39.98,
    "shipping": 2.99,
    "tax": 4.19,
    "total": 37.16,
    "totalDiscount": 10,
    "subTotalTaxIncluded": False,
    "discounts": [{"amount": 10, "code": "SUMMER20", "type": "fixedAmount"}],
    "currency": "EUR",
    "status": "pending",
    "payment_status": "awaiting_payment",
    "payment_method": "card",
    "shipping_method": "courier",
    "orderStatusURL": "https://example.com/orders",
    "notes": "Please send it ASAP",
    "tags": ["vip"],
    "created_at": "2023-11-10T07:00:00+00:00",
}
PARCEL = {
    "tracking_number": "9598684",
    "tracking_carrier": "my courier",
    "tracking_url": "https://carrier.example/track/9598684",
}
CART = {
    "cartID": "a342-dsfv12",
    "checkoutURL": "https://example.com/checkout",
    "currency": "EUR",
    "value": 19.99,
    "lineItems": [
        {
            "productID": 373,
            "variantID": 123,
            "productTitle": "Super duper product",
            "productPrice": 19.99,
            "quantity": 1,
            "productURL": "https://example.com/abc",
            "productImageURL": "https://example.com/i.jpg",
        }
    ],
}
ADDED = {
    "productID": 373,
    "variantID": 123,
    "productTitle": "Super duper product",
    "productDescription": "Super duper product description",
    "productPrice": 19.99,
    "productStrikeThroughPrice": 29.99,
    "quantity": 1,
    "productSKU": "200",
    "productURL": "https://example.com/abc",
    "productImageURL": "https://example.com/i.jpg",
    "productVariantImageURL": "https://example.com/v.jpg",
    "productCategories": [{"id": "123", "title": "Shoes"}],
}
VIEWED = {
    "sessionID": "o9KSwgfgjPDhih",
    "productID": 232423,
    "productTitle": "The best product",
    "productPrice": 20.99,
    "oldPrice": 40.99,
    "currency": "EUR",
    "productURL": "https://example.com/product/232423",
    "productImageURL": "https://example.com/product/232423-image.jpg",
    "status": "inStock",
    "categories": [{"id": "2131", "title": "The best product"}],
}
GIFT = {
    "paper": "kraft",
    "gifts": 3,
    "price": 12.5,
    "express": False,
    "card": {"text": "For you"},
    "wrapped": [{"sku": "200"}],
}
VISITOR = {"email": "a@example.com"}
_AT = {"merchant_id": MERCHANT_ID, "occurred_at": WHEN}


def _order(event: Callable[..., Event], **changes: Any) -> Example:
    return _event(event(**_AT, order=ORDER | changes))


def _ordered_product() -> Example:
    """The first line of the placed order, as it follows once Omnisend has taken that."""
    line, *_ = ordered_products(_order(OrderPlaced).row)
    row = _row(line.kind, line.name, line.payload, line.dedup_key, line.occurred_at)
    return Example(row=row, known={"line_items": CATALOGUE})


# -- contacts ------------------------------------------------------------------------------------------------------

PERSON = {"firstName": "Ann", "lastName": "Lee"}
ANN, ANNS_PHONE = "ann@example.com", "+37060000000"
GIVEN = ConsentState(
    status=Status.SUBSCRIBED,
    since=WHEN,
    source="checkout",
    ip="203.0.113.7",
    user_agent="Mozilla/5.0",
    recent=True,
    consent_id=7,
)
WITHDRAWN = ConsentState(status=Status.UNSUBSCRIBED, since=WHEN, source="account page", consent_id=8)
CONTACT = PERSON | {
    "email": ANN,
    "phone": ANNS_PHONE,
    "address": "Gedimino pr. 1",
    "city": "Vilnius",
    "state": "Vilniaus apskritis",
    "postalCode": "01103",
    "country": "Lithuania",
    "countryCode": "LT",
    "gender": "f",
    "birthdate": "1990-01-31",
    "customProperties": {"locale": "lt"},
    "createdAt": "2023-01-01T00:00:00Z",
}


def _contact(
    name: ContactRow,
    payload: Any,
    dedup_key: str,
    consents: dict[tuple[str, str], ConsentState] | None = None,
) -> Example:
    return Example(row=_row(Kind.CONTACT, name, payload, dedup_key), known={"consents": consents or {}})


# -- catalogue -----------------------------------------------------------------------------------------------------

SHIRT = ShopProduct(
    id="123",
    title="T-shirt",
    description="Washed linen",
    price=Decimal("19.99"),
    strike_through=Decimal("29.99"),
    category="apparel",
    vendor="ACME",
    tags=["summer"],
    images=["https://cdn.example/1.jpg", "https://cdn.example/2.jpg"],
    created_at="2023-01-01T00:00:00.123456+00:00",
    updated_at="2023-02-01T02:00:00+02:00",
    variants=(
        ShopVariant(id="1", sku="TS-S", image_url="https://cdn.example/s.jpg", option_values={"Size": "S"}),
        ShopVariant(id="2", sold_out=True, price=Decimal("24.50"), option_values={"Size": "M"}),
    ),
    collections=("12",),
)
SHOES = ShopCollection(id="12", name="Beauty products")


def _product(*, there: bool, **how: Any) -> Example:
    row = _row(Kind.PRODUCT, "product_changed", {"product_id": "123"}, "123:9")
    return Example(row=row, known={"products": {"123": SHIRT} if there else {}}, **how)


def _category(*, there: bool, **how: Any) -> Example:
    row = _row(Kind.CATEGORY, "category_changed", {"collection_id": "12"}, "12:9")
    return Example(row=row, known={"collections": {"12": SHOES} if there else {}}, **how)


EXAMPLES: dict[str, Example] = {
    "product_viewed": _event(ProductViewed(**_AT, contact=VISITOR, properties=VIEWED)),
    "product_added_to_cart": _event(
        ProductAddedToCart(**_AT, contact=VISITOR, properties=CART | {"addedItem": ADDED})
    ),
    "checkout_started": _event(CheckoutStarted(**_AT, contact=VISITOR, properties=CART)),
    "order_placed": _order(OrderPlaced),
    "order_paid": _order(OrderPaid, payment_status="paid"),
    "order_fulfilled": _order(OrderFulfilled, payment_status="paid", status="shipped", **PARCEL),
    "order_canceled": _order(OrderCanceled, status="cancelled", cancel_reason="Not needed"),
    "order_refunded": _order(OrderRefunded, payment_status="refunded", status="refunded", **PARCEL),
    "ordered_product": _ordered_product(),
    "custom_event": _event(
        CustomEvent(**_AT, event="gift_wrapped", contact=VISITOR, properties=GIFT, dedup_key="order 4122111")
    ),
    "contact_changed": _contact(ContactRow.CONTACT_CHANGED, CONTACT, "a hash of the order's key"),
    "consent_given_email": _contact(
        ContactRow.CONSENT_GIVEN,
        PERSON | {"channel": "email", "email": ANN},
        "7",
        {("email", ANN): GIVEN},
    ),
    "consent_given_sms": _contact(
        ContactRow.CONSENT_GIVEN,
        PERSON | {"channel": "sms", "phone": ANNS_PHONE},
        "7",
        {("sms", ANNS_PHONE): GIVEN},
    ),
    "consent_withdrawn": _contact(
        ContactRow.CONSENT_WITHDRAWN, {"channel": "email", "email": ANN}, "8", {("email", ANN): WITHDRAWN}
    ),
    "product_created": _product(there=True, otherwise=True),
    "product_replaced": _product(there=True, after="product_created"),
    "product_deleted": _product(there=False, after="product_created"),
    "category_created": _category(there=True, otherwise=True),
    "category_renamed": _category(there=True, after="category_created"),
    "category_deleted": _category(there=False, after="category_created"),
}
"""By name; each has its expectation in the folder of either dialect."""
