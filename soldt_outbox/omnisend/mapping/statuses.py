"""Status words: SOLDT's, the older ones its callers use, and Omnisend's own, each with what Omnisend understands."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from soldt_outbox.events import EventName


class PaymentStatus(StrEnum):
    """Omnisend's (placed order, property table)."""

    AWAITING_PAYMENT = "awaitingPayment"
    PARTIALLY_PAID = "partiallyPaid"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partiallyRefunded"
    REFUNDED = "refunded"
    VOIDED = "voided"


class FulfillmentStatus(StrEnum):
    """Omnisend's (placed order, property table)."""

    UNFULFILLED = "unfulfilled"
    IN_PROGRESS = "inProgress"
    FULFILLED = "fulfilled"
    DELIVERED = "delivered"
    RESTOCKED = "restocked"


def _plain(word: str) -> str:
    """``awaiting_payment``, ``Awaiting Payment`` and ``awaitingPayment`` are one word."""
    return word.strip().replace("_", "").replace("-", "").replace(" ", "").lower()


PAYMENT_WORDS: Final = MappingProxyType(
    {_plain(status): status for status in PaymentStatus}
    | {
        "pending": PaymentStatus.AWAITING_PAYMENT,
        "unpaid": PaymentStatus.AWAITING_PAYMENT,
        # a failed attempt leaves the money owed: the customer may try again
        "failed": PaymentStatus.AWAITING_PAYMENT,
        "cancelled": PaymentStatus.VOIDED,
        "canceled": PaymentStatus.VOIDED,
    }
)
"""Payment words, folded by ``_plain``. SOLDT's ``orders.payment_status`` is whole in it."""

FULFILLMENT_WORDS: Final = MappingProxyType(
    {_plain(status): status for status in FulfillmentStatus}
    | {
        "pending": FulfillmentStatus.UNFULFILLED,
        "processing": FulfillmentStatus.IN_PROGRESS,
        "shipped": FulfillmentStatus.FULFILLED,
        # SOLDT overwrites how far the order had come with these two; `fulfillment_status` looks for a parcel
        "cancelled": None,
        "canceled": None,
        "refunded": None,
    }
)
"""Fulfilment words, folded by ``_plain``. SOLDT's ``orders.status`` is whole in it."""


def payment_status(event: EventName, word: Any) -> PaymentStatus | None:
    """The payment status of an order at ``event``; unknown words are left out, the event's own meaning wins."""
    known = PAYMENT_WORDS.get(_plain(word)) if isinstance(word, str) else None
    match event:
        case EventName.ORDER_PAID:
            return PaymentStatus.PAID
        case EventName.ORDER_REFUNDED:
            return known if known is PaymentStatus.PARTIALLY_REFUNDED else PaymentStatus.REFUNDED
        case _:
            return known


def fulfillment_status(event: EventName, word: Any, *, has_tracking: bool) -> FulfillmentStatus | None:
    """How far an order has come at ``event``.

    ``has_tracking`` tells a cancelled or refunded order that had left from one that had not.
    """
    folded = _plain(word) if isinstance(word, str) else ""
    known = FULFILLMENT_WORDS.get(folded)
    if event is EventName.ORDER_FULFILLED:
        return (
            FulfillmentStatus.DELIVERED
            if known is FulfillmentStatus.DELIVERED
            else FulfillmentStatus.FULFILLED
        )
    if known is None and folded in FULFILLMENT_WORDS:
        return FulfillmentStatus.FULFILLED if has_tracking else FulfillmentStatus.UNFULFILLED
    return known
