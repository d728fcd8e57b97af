"""The properties of order events: SOLDT's order row, or ``{contact, properties}``, to Omnisend's."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import EventName
from soldt_outbox.omnisend.mapping.addresses import address
from soldt_outbox.omnisend.mapping.line_items import (
    ITEMS,
    REFUNDED_ITEMS,
    JsonObject,
    Shape,
    Shop,
    line_items,
    total_of,
)
from soldt_outbox.omnisend.mapping.people import Customer
from soldt_outbox.omnisend.mapping.reading import (
    Names,
    NotANumber,
    Source,
    amount,
    currency,
    event_source,
    ident,
    instant,
    optional_amount,
    optional_instant,
    structure,
    text,
    texts,
)
from soldt_outbox.omnisend.mapping.statuses import PaymentStatus, fulfillment_status, payment_status
from soldt_outbox.omnisend.mapping.urls import page, url

_FIELDS = {
    "order_id": ("id", "orderID", "orderId", "order_id"),
    "order_number": ("orderNumber", "order_number"),
    "items": ITEMS,
    "created_at": ("created_at", "createdAt"),
    "currency": ("currency",),
    "total": ("total", "totalPrice", "total_price"),
    "subtotal": ("subtotal", "subTotalPrice", "subtotalPrice", "subtotal_price"),
    "tax": ("tax", "totalTax", "taxPrice", "tax_price"),
    "shipping": ("shipping", "shippingPrice", "shipping_price"),
    "discount": ("totalDiscount", "discount", "discountTotal", "discountPrice"),
    "discounts": ("discounts",),
    "tax_included": ("subTotalTaxIncluded", "subtotalTaxIncluded"),
    "shipping_address": ("shipping_address", "shippingAddress"),
    "billing_address": ("billing_address", "billingAddress"),
    "shipping_method": ("shipping_method", "shippingMethod"),
    "payment_method": ("payment_method", "paymentMethod"),
    "payment_status": ("payment_status", "paymentStatus"),
    "fulfillment_status": ("fulfillmentStatus", "fulfillment_status", "status"),
    "note": ("notes", "note"),
    "tags": ("tags",),
    "status_url": ("orderStatusURL", "orderStatusUrl"),
    "tracking": ("tracking",),
    "tracking_code": ("tracking_number", "trackingNumber"),
    "tracking_carrier": ("tracking_carrier", "trackingCarrier"),
    "tracking_url": ("tracking_url", "trackingURL", "trackingUrl"),
    "cancel_reason": ("cancel_reason", "cancelReason", "cancellation_reason"),
    "refunded_items": REFUNDED_ITEMS,
    "refunded_amount": ("totalRefundedAmount", "refunded_amount", "refund_amount"),
    "refunded_tax": ("totalRefundedTaxAmount",),
}
ORDER_ROW = Names(**_FIELDS)
"""SOLDT's order row, whose ``id`` is the order's."""
ORDER_PROPERTIES = Names(**(_FIELDS | {"order_id": ("orderID", "orderId", "order_id", "id")}))
"""An event's ``properties``, in SOLDT's words or Omnisend's."""

_TRACKING = Names(
    code=("code",),
    courier_title=("courierTitle",),
    courier_url=("courierURL", "courierUrl"),
    status=("status",),
)

_NO_MONEY = Decimal("0.00")


def order_in(payload: JsonObject) -> Source:
    """The order in a payload: SOLDT's row itself, or ``properties``."""
    given = structure(payload.get("properties"))
    return event_source(payload, given, ORDER_PROPERTIES if isinstance(given, dict) else ORDER_ROW)


def order_properties(
    event: EventName, order: Source, customer: Customer, shop: Shop, occurred_at: datetime
) -> JsonObject:
    """Omnisend's order properties (reference of ``placed order`` and of the four events after it).

    Rejected are orders without id, total or line items: revenue, attribution and every template depend on them.
    """
    order_id = ident(order.get("order_id"))
    if order_id is None:
        raise order.reject("order_id", "is missing or is no id")
    items = line_items(order.get("items"), order.where("items"), shop, Shape.ORDER)
    tracking = _tracking(order)
    properties: JsonObject = {
        "orderID": order_id,
        "orderNumber": text(order.get("order_number"), 100) or order_id,
        "currency": currency(order.get("currency"), shop.merchant.currency),
        **_amounts(order, items),
        "lineItems": items,
    }
    created_at = optional_instant(order.get("created_at"))
    if created_at is None and event is EventName.ORDER_PLACED:
        created_at = instant(occurred_at)
    for key, found in (
        ("createdAt", created_at),
        ("paymentStatus", payment_status(event, order.get("payment_status"))),
        (
            "fulfillmentStatus",
            fulfillment_status(event, order.get("fulfillment_status"), has_tracking=bool(tracking)),
        ),
        (
            "orderStatusURL",
            url(order.get("status_url")) or page(shop.merchant, "/order-confirmation", order_id),
        ),
        ("tracking", tracking),
        *_addresses(order, customer, shop),
        *_words(order),
    ):
        if found:
            properties[key] = found
    if event is EventName.ORDER_CANCELED and (reason := text(order.get("cancel_reason"), 1_000)):
        properties["cancelReason"] = reason
    if event is EventName.ORDER_REFUNDED:
        properties |= _refund(order, properties, shop)
    return properties


def _amounts(order: Source, items: list[JsonObject]) -> dict[str, Decimal | bool]:
    """Money, all to the cent. The total must be there; a subtotal that is not is that of the line items."""
    try:
        total = amount(order.get("total"))
    except NotANumber as error:
        raise order.reject("total", str(error) if order.get("total") is not None else "is missing") from None
    subtotal = optional_amount(order.get("subtotal"))
    if subtotal is None:
        subtotal = total_of(items)
    shipping, tax = optional_amount(order.get("shipping")), optional_amount(order.get("tax"))
    discount = optional_amount(order.get("discount"))
    included = order.get("tax_included")
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
    shipping = address(order.get("shipping_address"), customer, country)
    billing = order.get("billing_address")
    return (
        ("shippingAddress", shipping),
        (
            "billingAddress",
            (address(billing, customer, country) if billing is not None else None) or shipping,
        ),
    )


def _words(order: Source) -> tuple[tuple[str, Any], ...]:
    return (
        ("paymentMethod", text(order.get("payment_method"), 100)),
        ("shippingMethod", text(order.get("shipping_method"), 100)),
        ("discounts", _discounts(order.get("discounts"))),
        (
            "note",
            text(order.get("note"), 10_000_000),
        ),  # whole or not at all: a body over 1 MB is rejected by name
        ("tags", texts(order.get("tags"), limit=100) if order.get("tags") is not None else None),
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
    given = structure(order.get("tracking"))
    told = _TRACKING.read(given) if isinstance(given, dict) else {}
    parts = (
        ("code", text(told.get("code") or order.get("tracking_code"), 100)),
        ("courierTitle", text(told.get("courier_title") or order.get("tracking_carrier"), 100)),
        ("courierURL", url(told.get("courier_url") or order.get("tracking_url"))),
        ("status", text(told.get("status"), 100)),
    )
    return {key: part for key, part in parts if part}


def _refund(order: Source, properties: JsonObject, shop: Shop) -> JsonObject:
    """What was refunded: as told, else the whole order, which is all that SOLDT's ``refunded`` can mean.

    Less than the total is part of the order, and only what was told of it is known.
    """
    total = properties["totalPrice"]
    items = _refunded_items(order, shop)
    refunded = optional_amount(order.get("refunded_amount"))
    if refunded is None and items is not None:
        refunded = min(total_of(items), total)
    if refunded is None and properties["paymentStatus"] is not PaymentStatus.PARTIALLY_REFUNDED:
        refunded = total
    whole = refunded is not None and refunded >= total
    tax = optional_amount(order.get("refunded_tax"))
    refund: JsonObject = {
        "paymentStatus": properties["paymentStatus"] if whole else PaymentStatus.PARTIALLY_REFUNDED,
        "refundedLineItems": properties["lineItems"] if whole and items is None else items,
        "totalRefundedAmount": refunded,
        "totalRefundedTaxAmount": properties.get("totalTax") if whole and tax is None else tax,
    }
    return {key: found for key, found in refund.items() if found is not None}


def _refunded_items(order: Source, shop: Shop) -> list[JsonObject] | None:
    """The line items told as refunded; ``None`` where none are, or one is broken."""
    told = order.get("refunded_items")
    if told is None:
        return None
    try:
        return line_items(told, order.where("refunded_items"), shop, Shape.ORDER)
    except PayloadRejected:
        return None
