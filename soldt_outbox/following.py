"""Rows that follow from an order that Omnisend was told of: its lines one by one, and its customer's details.

Pure, and of any payload: an order that was delivered is not undone because something in it cannot be told a second
time, so what is broken gives no row.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from soldt_outbox.events import WorkerEventName
from soldt_outbox.json_objects import encode, json_object
from soldt_outbox.omnisend.mapping.line_items import MAX_ITEMS
from soldt_outbox.omnisend.mapping.orders import order_in
from soldt_outbox.omnisend.mapping.people import customer_fields, stated_details
from soldt_outbox.omnisend.mapping.reading import ident, structure
from soldt_outbox.rows import FollowUp, Kind, OutboxRow

MAX_LINES: Final = 500  # of one order: each is a request, of the 400 a minute that a brand has
MAX_REPEATED_BYTES: Final = (
    8_192  # of an order in each of its lines: a stranger's name of a megabyte must not become 500
)
LINE_TIME_TO_LIVE: Final = timedelta(days=14)  # an order event's
CONTACT_TIME_TO_LIVE: Final = timedelta(days=30)  # that of every kind but events

_MAX_DIGITS: Final = 1_000  # of a number that stands for a customer; nobody's phone has more
_NO_DIGIT = re.compile(r"[^0-9]")


def ordered_products(row: OutboxRow) -> tuple[FollowUp, ...]:
    """An event ``ordered_product`` for each line item of the order in ``row``, the first 500 of them.

    Each holds its own line and whom the order is about, and no more of the order. Its key has the line's position,
    from 1, so that writing the same order's lines again changes nothing.
    """
    payload = structure(row.payload)
    if not isinstance(payload, dict):
        return ()
    order = order_in(payload)
    order_id, items = ident(order.get("order_id")), structure(order.get("items"))
    if order_id is None or not isinstance(items, list) or len(items) > MAX_ITEMS:
        return ()
    shared = customer_fields(payload) | {"order_id": order_id}
    if order.get("currency") is not None:
        shared["currency"] = order.get("currency")
    ordered_by = customer_of(payload)
    repeated = _storable(shared | {"ordered_by": ordered_by})
    if repeated is None or len(encode(repeated)) > MAX_REPEATED_BYTES:
        return ()
    lines = []
    for position, item in enumerate(map(structure, items[:MAX_LINES]), 1):
        line = _storable(shared | {"item": item}) if isinstance(item, dict) else None
        if line is not None:
            lines.append(
                FollowUp(
                    kind=Kind.EVENT,
                    name=WorkerEventName.ORDERED_PRODUCT.value,
                    dedup_key=f"{order_id}:{position}",
                    payload=line,
                    occurred_at=row.occurred_at,
                    time_to_live=LINE_TIME_TO_LIVE,
                    ordered_by=ordered_by,
                )
            )
    return tuple(lines)


def contact_of_order(row: OutboxRow) -> FollowUp | None:
    """A ``contact_changed`` with what the order in ``row`` says of its customer; ``None`` where that is nobody.

    Its key is the order's, so that details that return to what they were are told again: one request an order.
    """
    payload = structure(row.payload)
    if not isinstance(payload, dict):
        return None
    details = stated_details(payload)
    address = structure(order_in(payload).get("shipping_address"))
    told = {
        "customer_email": details.email,
        "customer_name": details.name,
        "customer_phone": details.phone,
        "shipping_address": address if isinstance(address, dict | str) else None,
    }
    contact = _storable({name: value for name, value in told.items() if value})
    if contact is None or not (details.email or details.phone):
        return None
    return FollowUp(
        kind=Kind.CONTACT,
        name="contact_changed",
        # A hash, since an order's own key may be as long as a key may be.
        dedup_key=hashlib.sha256(f"order {row.dedup_key}".encode()).hexdigest(),
        payload=contact,
        occurred_at=row.occurred_at,
        time_to_live=CONTACT_TIME_TO_LIVE,
        ordered_by=f"contact:{details.email or details.phone}",
    )


def customer_of(payload: dict[str, Any]) -> str | None:
    """The customer from whom the database makes an order's ordering key: ``omnisend_private.customer_of``.

    A test compares the two. The trigger on ``orders`` takes ``customer_email`` alone, which no order of SOLDT lacks.
    """
    contact, properties = (
        part if isinstance(part, dict) else {} for part in (payload.get("contact"), payload.get("properties"))
    )
    phone = _text(payload.get("customer_phone"))
    digits = _NO_DIGIT.sub("", (_text(contact.get("phone")) if phone is None else phone) or "")
    candidates = (
        _text(payload.get("customer_email")),
        _text(contact.get("email")),
        digits[-9:],
        _text(contact.get("id")),
        _text(properties.get("cartID")),
    )
    return next((found for one in candidates if (found := (one or "").strip(" "))), None)


def _text(value: Any) -> str | None:
    """A scalar as PostgreSQL's ``->>`` reads it; ``None`` for anything else, which names no customer."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if abs(value) < 10**_MAX_DIGITS:
            return str(value)
        case Decimal() if value.is_finite() and abs(value.adjusted()) < _MAX_DIGITS:
            return f"{value or abs(value):f}"  # no exponent, no negative zero
        case _:
            return None


def _storable(payload: dict[str, Any]) -> dict[str, Any] | None:
    """``payload`` as the outbox will hold it, or ``None``: a row that cannot be written would keep its order from settling."""
    try:
        return json_object(payload)
    except ValueError:
        return None
