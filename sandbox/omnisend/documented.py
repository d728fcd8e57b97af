"""Omnisend's recommended events as documented: names, versions, properties, types.

Sources, per event: DOCS/docs/added-product-to-cart, DOCS/docs/placed-order, DOCS/reference/paid-for-order,
DOCS/reference/order-cancelled, DOCS/v5/reference/order-refunded, DOCS/reference/ordered-product and
DOCS/docs/viewed-product, where DOCS is https://api-docs.omnisend.com. Which properties are required stands in no table
there; that follows the validators of Omnisend's own WordPress SDK (github.com/omnisend/wp-omnisend,
SDK/V1/Events). The table is kept apart from the sender's on purpose: two readings of one documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sandbox.omnisend.values import (
    Check,
    anything,
    boolean,
    currency,
    date,
    digits,
    list_of,
    members,
    money,
    number,
    one_of,
    quantity,
    text,
    url,
)

ORIGIN: Final = "api"
"""For a shop without a platform of its own at Omnisend (DOCS/reference/events-overview)."""

PAYMENT_STATUSES: Final = (
    "awaitingPayment",
    "partiallyPaid",
    "paid",
    "partiallyRefunded",
    "refunded",
    "voided",
)
FULFILLMENT_STATUSES: Final = ("unfulfilled", "inProgress", "fulfilled", "delivered", "restocked")
PRODUCT_STATUSES: Final = ("inStock", "outOfStock", "notAvailable")


@dataclass(frozen=True, kw_only=True)
class RecommendedEvent:
    """One documented event; `family` says which sums its amounts must agree with."""

    name: str
    version: str
    properties: Check
    family: Literal["product", "cart", "order", "other"]
    statuses: Mapping[str, tuple[str, ...]]
    """Status properties whose word follows from the event itself."""


_CATEGORY = members({"id": text, "title": text}, required=("id", "title"))

_LINE_ITEM_OF_CART: Final[dict[str, Check]] = {
    "productID": text,
    "productVariantID": text,
    "productTitle": text,
    "productPrice": money,
    "productQuantity": quantity,
    "productStrikeThroughPrice": money,
    "productDiscount": money,
    "productSKU": text,  # one example has the number 200; every table says string
    "productDescription": text,
    "productURL": url,
    "productImageURL": url,
    "productVariantImageURL": url,
    "productCategories": list_of(_CATEGORY),
}
_LINE_ITEM_OF_ORDER: Final[dict[str, Check]] = {
    **_LINE_ITEM_OF_CART,
    "productVariantTitle": text,
    "productVendor": text,
    "productTags": list_of(text),
    "productWeight": number,
}
_LINE_ITEM_REQUIRED: Final = (
    "productID",
    "productVariantID",
    "productTitle",
    "productPrice",
    "productQuantity",
)
_CART_ITEM = members(_LINE_ITEM_OF_CART, required=_LINE_ITEM_REQUIRED)
_ORDER_ITEM = members(_LINE_ITEM_OF_ORDER, required=_LINE_ITEM_REQUIRED)
# "!! This field was removed !!" in the property table of `order canceled`, and only there.
_CANCELED_ITEM = members(
    _LINE_ITEM_OF_ORDER, required=_LINE_ITEM_REQUIRED, removed=("productStrikeThroughPrice",)
)

_ADDRESS = members(
    dict.fromkeys(
        (
            "address1",
            "address2",
            "city",
            "company",
            "country",
            "countryCode",  # in one vendor's plugin (nopCommerce), in no table of Omnisend's; taken either way
            "firstName",
            "lastName",
            "phone",
            "state",
            "stateCode",
            "zip",
        ),
        text,
    )
)

_CART: Final[dict[str, Check]] = {
    "abandonedCheckoutURL": url,
    "cartID": text,
    "currency": currency,
    "value": money,
    "lineItems": list_of(_CART_ITEM, never_empty=True),
}
_CART_REQUIRED: Final = ("abandonedCheckoutURL", "cartID", "currency", "value", "lineItems")

_ORDER: Final[dict[str, Check]] = {
    "orderID": text,
    "orderNumber": digits,
    "createdAt": date,
    "currency": currency,
    "totalPrice": money,
    "subTotalPrice": money,
    "subTotalTaxIncluded": boolean,
    "subtotalTaxIncluded": boolean,  # the SDK's spelling; which of the two is read is not settled
    "totalDiscount": money,
    "totalTax": money,
    "shippingPrice": money,
    "shippingMethod": text,
    "paymentMethod": text,
    "note": text,
    "orderStatusURL": url,
    "paymentStatus": one_of(PAYMENT_STATUSES),
    "fulfillmentStatus": one_of(FULFILLMENT_STATUSES),
    "billingAddress": _ADDRESS,
    "shippingAddress": _ADDRESS,
    "discounts": list_of(members({"amount": money, "code": text, "type": text}, required=("amount",))),
    "lineItems": list_of(_ORDER_ITEM, never_empty=True),
    "tags": list_of(text),
    "tracking": members({"code": text, "courierTitle": text, "courierURL": url, "status": text}),
}
_ORDER_REQUIRED: Final = (
    "orderID",
    "orderNumber",
    "createdAt",
    "currency",
    "totalPrice",
    "subTotalPrice",
    "subTotalTaxIncluded",
    "totalDiscount",
    "totalTax",
    "paymentMethod",
    "paymentStatus",
    "fulfillmentStatus",
    "billingAddress",
    "shippingAddress",
    "lineItems",
)

_VIEWED_PRODUCT = members(
    {
        "id": text,
        "title": text,
        "price": money,
        "oldPrice": money,
        "currency": currency,
        "imageUrl": url,
        "url": url,
        "status": one_of(PRODUCT_STATUSES),
        "description": text,
        "vendor": text,
        "categories": list_of(_CATEGORY),
    },
    required=("id", "title", "price", "currency", "url"),
)


def _order_event(
    name: str, extra: Mapping[str, Check] | None = None, **statuses: tuple[str, ...]
) -> RecommendedEvent:
    fields = {**_ORDER, **(extra or {})}
    return RecommendedEvent(
        name=name,
        version="v2",
        properties=members(fields, required=_ORDER_REQUIRED),
        family="order",
        statuses=statuses,
    )


_EVENTS: Final = (
    RecommendedEvent(
        name="viewed product",
        version="v4",
        properties=members(
            {
                "product": _VIEWED_PRODUCT,
                "page": members({"title": text, "url": url}),
                "utm": members({"campaign": text, "medium": text, "source": text}),
                "userInfo": anything,
            },
            required=("product",),
        ),
        family="product",
        statuses={},
    ),
    RecommendedEvent(
        name="added product to cart",
        version="",
        properties=members({**_CART, "addedItem": _CART_ITEM}, required=(*_CART_REQUIRED, "addedItem")),
        family="cart",
        statuses={},
    ),
    RecommendedEvent(
        name="started checkout",
        version="",
        properties=members(_CART, required=_CART_REQUIRED),
        family="cart",
        statuses={},
    ),
    _order_event("placed order"),
    _order_event("paid for order", paymentStatus=("paid",)),
    _order_event("order fulfilled", fulfillmentStatus=("fulfilled", "delivered")),
    _order_event(
        "order canceled", {"cancelReason": text, "lineItems": list_of(_CANCELED_ITEM, never_empty=True)}
    ),
    _order_event(
        "order refunded",
        {
            "refundedLineItems": list_of(_ORDER_ITEM, never_empty=True),
            "totalRefundedAmount": money,
            "totalRefundedTaxAmount": money,
        },
    ),
    RecommendedEvent(
        name="ordered product",
        version="v2",
        properties=members({"orderID": text, "product": _ORDER_ITEM}, required=("orderID", "product")),
        family="other",
        statuses={},
    ),
)

RECOMMENDED: Final[Mapping[str, RecommendedEvent]] = {event.name: event for event in _EVENTS}

NOT_FOR_SENDING: Final = frozenset(
    {
        "$pageViewed",
        "$productViewed",
        "viewed page",
        "subscribed to marketing",
        "entered segment",
    }
)
"""Names of Omnisend's own: its page snippet and its system events; what arrives under them from outside is lost."""
