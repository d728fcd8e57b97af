"""The way in: which domain event becomes which of Omnisend's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec

from soldt_outbox.custom_properties import custom_properties
from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import CustomName, EventName, WorkerEventName, stored_name
from soldt_outbox.json_objects import encode
from soldt_outbox.omnisend.identity import event_id
from soldt_outbox.omnisend.mapping.carts import ADDED_ITEM, CART, cart_properties
from soldt_outbox.omnisend.mapping.ids import row_number
from soldt_outbox.omnisend.mapping.line_items import (
    FLAT_PRODUCT_ID,
    ITEMS,
    MAX_ITEMS,
    PRODUCT_ID,
    REFUNDED_ITEMS,
    JsonObject,
    Shop,
)
from soldt_outbox.omnisend.mapping.ordered_products import ORDERED, ORDERED_ITEM, ordered_product_properties
from soldt_outbox.omnisend.mapping.orders import order_in, order_properties
from soldt_outbox.omnisend.mapping.people import Customer, customer
from soldt_outbox.omnisend.mapping.product_views import VIEW, view_properties, viewed_product
from soldt_outbox.omnisend.mapping.reading import (
    Names,
    event_source,
    ident,
    instant,
    kind_of,
    structure,
)
from soldt_outbox.rows import CatalogueProduct, Kind, MerchantProfile, OmnisendRequest, OutboxRow, Skip

EVENTS_PATH: Final = "/events"
ORIGIN: Final = "api"  # custom stores'; another one would have to be agreed with Omnisend
MAX_BODY_BYTES: Final = 1_000_000  # Omnisend advises 1 MB and answers 413 beyond a bound it does not tell

OMNISEND_EVENTS: Final = MappingProxyType(
    {
        EventName.PRODUCT_VIEWED: ("viewed product", "v4"),
        EventName.PRODUCT_ADDED_TO_CART: ("added product to cart", ""),
        EventName.CHECKOUT_STARTED: ("started checkout", ""),
        EventName.ORDER_PLACED: ("placed order", "v2"),
        EventName.ORDER_PAID: ("paid for order", "v2"),
        EventName.ORDER_FULFILLED: ("order fulfilled", "v2"),
        EventName.ORDER_CANCELED: ("order canceled", "v2"),
        EventName.ORDER_REFUNDED: ("order refunded", "v2"),
        WorkerEventName.ORDERED_PRODUCT: ("ordered product", "v2"),
    }
)
"""Omnisend's eventName and eventVersion. A wrong one makes a custom event of it, and no preset automation fires."""

_PRODUCTS = Names(
    items=ITEMS,
    refunded_items=REFUNDED_ITEMS,
    added_item=ADDED_ITEM,
    item=ORDERED_ITEM,
    product_id=FLAT_PRODUCT_ID,
)
_PRODUCT_ID = Names(product_id=PRODUCT_ID)


def map_event(
    row: OutboxRow,
    merchant: MerchantProfile,
    catalogue: Mapping[str, CatalogueProduct],
) -> OmnisendRequest | Skip:
    """The request for a row of kind ``event``, or why there is nothing to send.

    ``catalogue`` is by product id as text, and may lack any product. Raises ``PayloadRejected``, which names the
    field, where something an automation depends on is missing or broken; what is optional and broken is left out.
    """
    event = _event_name(row)
    payload = _payload(row.payload)
    who = customer(payload, merchant.country_code)
    if not who.identified:
        return Skip(
            reason="missing_identity",
            detail="no contact id, no valid e-mail and no possible phone: Omnisend could not tell whom it is about",
        )
    # Omnisend's reference, "Events": eventVersion is not required of custom events
    name, version = (str(event), "") if isinstance(event, CustomName) else OMNISEND_EVENTS[event]
    identity = event_id(row.merchant_id, event, row.dedup_key)
    body = encode(
        {
            "eventName": name,
            "origin": ORIGIN,
            "eventVersion": version,
            "eventID": identity,
            "eventTime": instant(row.occurred_at),
            "contact": who.contact(),
            "properties": _properties(event, payload, who, Shop(merchant, catalogue), row),
        }
    )
    if len(body) > MAX_BODY_BYTES:
        raise _too_large(payload, len(body))
    return OmnisendRequest(
        method="POST",
        path=EVENTS_PATH,
        body=body,
        event_id=identity,
        recipient=_recipient(who),
    )


def event_recipient(stored: Any, country: str) -> str | None:
    """Whom an event's payload is about, as ``map_event`` reads it: e-mail else phone; ``None`` where it names nobody."""
    payload = structure(stored)
    return _recipient(customer(payload, country)) if isinstance(payload, dict) else None


def _recipient(who: Customer) -> str | None:
    return who.email or who.phone


def product_ids(row: OutboxRow) -> set[str]:
    """The products whose catalogue entries ``map_event`` would look up; empty for what it would reject."""
    payload, event = structure(row.payload), _with_products(row)
    if event is None or not isinstance(payload, dict):
        return set()
    given = structure(payload.get("properties"))
    if event is EventName.PRODUCT_VIEWED:
        viewed = ident(viewed_product(event_source(payload, given, VIEW)).get("product_id"))
        return set() if viewed is None else {viewed}
    source = event_source(payload, given, _PRODUCTS)
    listed = [structure(source.get(field)) for field in ("items", "refunded_items")]
    items = [item for items in listed if isinstance(items, list) for item in items[:MAX_ITEMS]]
    items += [structure(source.get(field)) for field in ("added_item", "item")]
    found = {
        ident(_PRODUCT_ID.read(item).get("product_id"))
        for item in map(structure, items)
        if isinstance(item, dict)
    }
    found.add(ident(source.get("product_id")))  # flat: a cart's properties are the item
    return {product_id for product_id in found if product_id is not None}


def _with_products(row: OutboxRow) -> EventName | WorkerEventName | None:
    """The row's event; ``None`` for one without products, and for what is none."""
    try:
        event = _event_name(row)
    except PayloadRejected:
        return None
    return None if isinstance(event, CustomName) else event


def line_item_products(rows: Iterable[OutboxRow]) -> list[tuple[UUID, int]]:
    """The (merchant, product) pairs to look up for the line items of ``rows``, each once and always in the same order."""
    found = {
        (row.merchant_id, number)
        for row in rows
        for product in product_ids(row)
        if (number := row_number(product)) is not None
    }
    return sorted(found, key=str)


def _event_name(row: OutboxRow) -> EventName | WorkerEventName | CustomName:
    if row.kind is not Kind.EVENT:
        raise PayloadRejected("kind", f"is {row.kind}, which is not an event")
    try:
        return stored_name(row.name)
    except ValueError as error:
        raise PayloadRejected("name", str(error)) from None


def _payload(value: Any) -> JsonObject:
    if (
        value is None
    ):  # the database makes its copy of an order before it changes or goes, unless triggers are off
        raise PayloadRejected(
            "payload", "is missing: the order was removed while the database's triggers were off"
        )
    payload = structure(value)
    if not isinstance(payload, dict):
        raise PayloadRejected("payload", f"is {kind_of(payload)}, not an object")
    return payload


def _properties(
    event: EventName | WorkerEventName | CustomName,
    payload: JsonObject,
    who: Customer,
    shop: Shop,
    row: OutboxRow,
) -> JsonObject:
    match event:
        case EventName():
            return _shop_properties(event, payload, who, shop, row)
        case CustomName():
            return custom_properties(structure(payload.get("properties")))
        case WorkerEventName.ORDERED_PRODUCT:
            ordered = event_source(payload, structure(payload.get("properties")), ORDERED)
            return ordered_product_properties(ordered, shop)
        case _:
            assert_never(event)


def _shop_properties(
    event: EventName, payload: JsonObject, who: Customer, shop: Shop, row: OutboxRow
) -> JsonObject:
    given = structure(payload.get("properties"))
    match event:
        case EventName.PRODUCT_VIEWED:
            return view_properties(event_source(payload, given, VIEW), shop)
        case EventName.PRODUCT_ADDED_TO_CART | EventName.CHECKOUT_STARTED:
            return cart_properties(event, event_source(payload, given, CART), shop, row.dedup_key)
        case (
            EventName.ORDER_PLACED
            | EventName.ORDER_PAID
            | EventName.ORDER_FULFILLED
            | EventName.ORDER_CANCELED
            | EventName.ORDER_REFUNDED
        ):
            return order_properties(event, order_in(payload), who, shop, row.occurred_at)
        case _:
            assert_never(event)


def _too_large(payload: JsonObject, size: int) -> PayloadRejected:
    """Blames the largest field."""
    fields = {name: _size(value) for name, value in payload.items()}
    properties = payload.get("properties")
    if isinstance(properties, dict):
        fields.pop("properties", None)
        fields |= {f"properties.{name}": _size(value) for name, value in properties.items()}
    largest = max(fields, key=fields.__getitem__, default="payload")
    return PayloadRejected(
        largest[:100],
        f"has {fields.get(largest, 0):,} bytes, which makes a request of {size:,}; at most {MAX_BODY_BYTES:,} are sent",
    )


def _size(value: Any) -> int:
    try:
        return len(encode(value))
    except (ValueError, TypeError, RecursionError, OverflowError, msgspec.MsgspecError):
        return 0
