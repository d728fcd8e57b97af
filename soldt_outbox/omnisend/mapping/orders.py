"""The properties of order events: SOLDT's order row, or ``{contact, properties}``, to Omnisend's."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import EventName
from soldt_outbox.omnisend.mapping.addresses import address
from soldt_outbox.omnisend.mapping.line_items import ITEMS, JsonObject, Shape, Shop, line_items, total_of
from soldt_outbox.omnisend.mapping.people import Customer
from soldt_outbox.omnisend.mapping.reading import (
    NotANumber,
    Source,
    amount,
    currency,
    ident,
    instant,
    optional_amount,
    optional_instant,
    structure,
    text,
    texts,
)
from soldt_outbox.omnisend.mapping.statuses import fulfillment_status, payment_status
from soldt_outbox.omnisend.mapping.urls import page, url

ORDER_ID = ("id", "orderID", "orderId", "order_id")
ORDER_ID_OF_PROPERTIES = ("orderID", "orderId", "order_id", "id")
ORDER_NUMBER = ("orderNumber", "order_number")
CREATED_AT = ("created_at", "createdAt")
CURRENCY = ("currency",)
TOTAL = ("total", "totalPrice", "total_price")
SUBTOTAL = ("subtotal", "subTotalPrice", "subtotalPrice", "subtotal_price")
TAX = ("tax", "totalTax", "taxPrice", "tax_price")
SHIPPING = ("shipping", "shippingPrice", "shipping_price")
DISCOUNT = ("totalDiscount", "discount", "discountTotal", "discountPrice")
DISCOUNTS = ("discounts",)
TAX_INCLUDED = ("subTotalTaxIncluded", "subtotalTaxIncluded")
SHIPPING_ADDRESS = ("shipping_address", "shippingAddress")
BILLING_ADDRESS = ("billing_address", "billingAddress")
SHIPPING_METHOD = ("shipping_method", "shippingMethod")
PAYMENT_METHOD = ("payment_method", "paymentMethod")
PAYMENT_STATUS = ("payment_status", "paymentStatus")
FULFILLMENT_STATUS = ("fulfillmentStatus", "fulfillment_status", "status")
NOTE = ("notes", "note")
TAGS = ("tags",)
STATUS_URL = ("orderStatusURL", "orderStatusUrl")
TRACKING = ("tracking",)
TRACKING_CODE = ("tracking_number", "trackingNumber")
TRACKING_CARRIER = ("tracking_carrier", "trackingCarrier")
TRACKING_URL = ("tracking_url", "trackingURL", "trackingUrl")
CANCEL_REASON = ("cancel_reason", "cancelReason", "cancellation_reason")
REFUNDED_ITEMS = ("refundedLineItems", "refunded_items")
REFUNDED_AMOUNT = ("totalRefundedAmount", "refunded_amount", "refund_amount")
REFUNDED_TAX = ("totalRefundedTaxAmount",)

_NO_MONEY = Decimal("0.00")


def order_properties(
    event: EventName, order: Source, customer: Customer, shop: Shop, occurred_at: datetime
) -> JsonObject:
    """Omnisend's order properties (reference of ``placed order`` and of the four events after it).

    Rejected are orders without id, total or line items: revenue, attribution and every template depend on them.
    """
    order_id = ident(order.get(ORDER_ID if order.outer is None else ORDER_ID_OF_PROPERTIES))
    if order_id is None:
        raise order.reject(ORDER_ID, "is missing or is no id")
    items = line_items(order.get(ITEMS), order.where(ITEMS), shop, Shape.ORDER)
    tracking = _tracking(order)
    properties: JsonObject = {
        "orderID": order_id,
        "orderNumber": text(order.get(ORDER_NUMBER), 100) or order_id,
        "currency": currency(order.get(CURRENCY), shop.merchant.currency),
        **_amounts(order, items),
        "lineItems": items,
    }
    created_at = optional_instant(order.get(CREATED_AT))
    if created_at is None and event is EventName.ORDER_PLACED:
        created_at = instant(occurred_at)
    for key, found in (
        ("createdAt", created_at),
        ("paymentStatus", payment_status(event, order.get(PAYMENT_STATUS))),
        (
            "fulfillmentStatus",
            fulfillment_status(event, order.get(FULFILLMENT_STATUS), has_tracking=bool(tracking)),
        ),
        (
            "orderStatusURL",
            url(order.get(STATUS_URL)) or page(shop.merchant, "/order-confirmation", order_id),
        ),
        ("tracking", tracking),
        *_addresses(order, customer, shop),
        *_words(order),
    ):
        if found:
            properties[key] = found
    if event is EventName.ORDER_CANCELED and (reason := text(order.get(CANCEL_REASON), 1_000)):
        properties["cancelReason"] = reason
    if event is EventName.ORDER_REFUNDED:
        properties |= _refund(order, properties, shop)
    return properties


def _amounts(order: Source, items: list[JsonObject]) -> dict[str, Decimal | bool]:
    """Money, all to the cent. The total must be there; a subtotal that is not is that of the line items."""
    try:
        total = amount(order.get(TOTAL))
    except NotANumber as error:
        raise order.reject(TOTAL, str(error) if order.get(TOTAL) is not None else "is missing") from None
    subtotal = optional_amount(order.get(SUBTOTAL))
    if subtotal is None:
        subtotal = total_of(items)
    shipping, tax = optional_amount(order.get(SHIPPING)), optional_amount(order.get(TAX))
    discount = optional_amount(order.get(DISCOUNT))
    included = order.get(TAX_INCLUDED)
    before_tax = subtotal + (shipping or _NO_MONEY)
    if not isinstance(included, bool):
        # SOLDT does not say. South African prices are shown with VAT; a total above the sum of the parts has it added
        included = not tax or total <= before_tax
    if discount is None:  # SOLDT has no column for it: what was not asked for is the discount
        discount = max(before_tax + (_NO_MONEY if included else tax or _NO_MONEY) - total, _NO_MONEY)
    amounts: dict[str, Decimal | bool] = {
        "totalPrice": total,
        "subTotalPrice": subtotal,
        "subTotalTaxIncluded": included,
        "totalDiscount": discount,
    }
    optional = (("shippingPrice", shipping), ("totalTax", tax))
    amounts.update((key, found) for key, found in optional if found is not None)
    return amounts


def _addresses(order: Source, customer: Customer, shop: Shop) -> tuple[tuple[str, JsonObject | None], ...]:
    """SOLDT's checkout asks for one address; where there is no other, it is the billing address too."""
    country = shop.merchant.country_code
    shipping = address(order.get(SHIPPING_ADDRESS), customer, country)
    billing = order.get(BILLING_ADDRESS)
    return (
        ("shippingAddress", shipping),
        (
            "billingAddress",
            (address(billing, customer, country) if billing is not None else None) or shipping,
        ),
    )


def _words(order: Source) -> tuple[tuple[str, Any], ...]:
    return (
        ("paymentMethod", text(order.get(PAYMENT_METHOD), 100)),
        ("shippingMethod", text(order.get(SHIPPING_METHOD), 100)),
        ("discounts", _discounts(order.get(DISCOUNTS))),
        (
            "note",
            text(order.get(NOTE), 10_000_000),
        ),  # whole or not at all: a body over 1 MB is rejected by name
        ("tags", texts(order.get(TAGS), limit=100) if order.get(TAGS) is not None else None),
    )


def _discounts(value: Any) -> list[JsonObject]:
    given = structure(value)
    found = []
    for entry in given[:100] if isinstance(given, list) else ():
        if not isinstance(entry, dict):
            continue
        money = optional_amount(entry.get("amount"))
        if money is not None:
            parts = (("code", text(entry.get("code"), 100)), ("type", text(entry.get("type"), 100)))
            found.append({"amount": money, **{key: part for key, part in parts if part}})
    return found


def _tracking(order: Source) -> dict[str, str]:
    given = structure(order.get(TRACKING))
    source = Source(given) if isinstance(given, dict) else Source({})
    parts = (
        ("code", text(source.get(("code",)) or order.get(TRACKING_CODE), 100)),
        ("courierTitle", text(source.get(("courierTitle",)) or order.get(TRACKING_CARRIER), 100)),
        ("courierURL", url(source.get(("courierURL", "courierUrl")) or order.get(TRACKING_URL))),
        ("status", text(source.get(("status",)), 100)),
    )
    return {key: part for key, part in parts if part}


def _refund(order: Source, properties: JsonObject, shop: Shop) -> JsonObject:
    """What was refunded: as told, else the whole order, which is all that SOLDT's ``refunded`` can mean."""
    items = properties["lineItems"]
    told = order.get(REFUNDED_ITEMS)
    if told is not None:
        try:
            items = line_items(told, order.where(REFUNDED_ITEMS), shop, Shape.ORDER)
        except PayloadRejected:
            told = None
    refunded = optional_amount(order.get(REFUNDED_AMOUNT))
    if refunded is None:
        refunded = (
            properties["totalPrice"] if told is None else min(total_of(items), properties["totalPrice"])
        )
    refund: JsonObject = {"refundedLineItems": items, "totalRefundedAmount": refunded}
    tax = optional_amount(order.get(REFUNDED_TAX))
    if tax is None and refunded == properties["totalPrice"]:
        tax = properties.get("totalTax")
    if tax is not None:
        refund["totalRefundedTaxAmount"] = tax
    return refund
