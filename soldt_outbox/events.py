"""What can have happened in a shop: the eight domain events and the merchant's own, as callers write them into the outbox.

Each event is checked at this edge, so that what a caller may repair is refused before it is written:
``InvalidEvent`` names the field. What comes in by the database's trigger or by SQL does not pass here; the mapping
judges that later.

    enqueue(conn, OrderPlaced(merchant_id=merchant, order=row))
"""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from soldt_outbox.custom_properties import custom_properties
from soldt_outbox.errors import InvalidEvent, PayloadRejected
from soldt_outbox.json_objects import check_text, encode, json_object

MAX_DEDUP_KEY: Final = 400  # characters, as the database


class EventName(StrEnum):
    """The eight, as they stand in ``integrations_omnisend_outbox.name``."""

    PRODUCT_VIEWED = "product_viewed"
    PRODUCT_ADDED_TO_CART = "product_added_to_cart"
    CHECKOUT_STARTED = "checkout_started"
    ORDER_PLACED = "order_placed"
    ORDER_PAID = "order_paid"
    ORDER_FULFILLED = "order_fulfilled"
    ORDER_CANCELED = "order_canceled"
    ORDER_REFUNDED = "order_refunded"


class WorkerEventName(StrEnum):
    """What workers write themselves, when they settle the row from which it follows."""

    ORDERED_PRODUCT = "ordered_product"


class CustomName(str):
    """The name of an event of the merchant's own, as ``custom_name`` lets it through."""

    __slots__ = ()


ALIASES: Final = MappingProxyType(
    {name.value: name for name in EventName}
    | {
        "added_to_cart": EventName.PRODUCT_ADDED_TO_CART,
        "add_to_cart": EventName.PRODUCT_ADDED_TO_CART,
        "added_product_to_cart": EventName.PRODUCT_ADDED_TO_CART,
        "started_checkout": EventName.CHECKOUT_STARTED,
        "placed_order": EventName.ORDER_PLACED,
        "paid_for_order": EventName.ORDER_PAID,
        "viewed_product": EventName.PRODUCT_VIEWED,
    }
)
"""Every name by which SOLDT's callers know an event. The database's ``canonical_name`` holds the same."""


def canonical_name(alias: str) -> EventName:
    """The event that ``alias`` names. Raises ``InvalidEvent``."""
    try:
        return ALIASES[alias.strip()]
    except (KeyError, AttributeError):
        raise InvalidEvent(
            f"name: {str(alias)[:100]!r} is none of {', '.join(EventName)} or their aliases; "
            "an event of your own is a CustomEvent"
        ) from None


_WORKER_NAMES: Final = MappingProxyType({name.value: name for name in WorkerEventName})
_CUSTOM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SPELLINGS: Final = MappingProxyType(
    {"cancelled": "canceled", "fulfiled": "fulfilled", "fullfilled": "fulfilled", "fullfiled": "fulfilled"}
)


def _words(name: str) -> frozenset[str]:
    """``order_canceled``, ``Order Cancelled`` and ``cancelledOrder`` have the same."""
    words = (word.lower() for word in _WORD.findall(name))
    return frozenset(_SPELLINGS.get(word, word) for word in words)


_TAKEN: Final[dict[frozenset[str], EventName | WorkerEventName]] = {
    words: meant
    for name, meant in (ALIASES | _WORKER_NAMES).items()
    for words in (_words(name), frozenset({name.replace("_", "")}))
}
"""What a custom event may not be called. SOLDT's aliases hold every name that Omnisend gives the eight; a test says so."""


def custom_name(name: str) -> CustomName:
    """``name``, trimmed, as that of a custom event. Raises ``ValueError``, which does not repeat it.

    What only looks like one of Omnisend's recommended events would become a custom event there, and no preset
    automation would fire.
    """
    name = name.strip()
    if _CUSTOM_NAME.fullmatch(name) is None:
        raise ValueError(
            "has to be 1 to 100 letters (A to Z), digits, spaces, _, . or -, and to begin with a letter or digit"
        )
    match _TAKEN.get(_words(name)) or _TAKEN.get(_words(name.lower())):
        case None:
            return CustomName(name)
        case EventName() as meant:
            raise ValueError(
                f"reads like one of Omnisend's recommended events, and as a custom event it would start none of their "
                f"automations: write {meant.value} instead"
            )
        case WorkerEventName() as meant:
            raise ValueError(
                f"reads like Omnisend's event for a line of an order: workers write {meant.value} themselves, for each "
                f"placed order of a merchant who has it switched on"
            )


def stored_name(name: str) -> EventName | WorkerEventName | CustomName:
    """The event that ``name`` stands for in a row of the outbox. Raises ``ValueError`` as ``custom_name``."""
    name = name.strip()
    if name in ALIASES:
        return ALIASES[name]
    if name in _WORKER_NAMES:
        return _WORKER_NAMES[name]
    return custom_name(name)


_OUTSIDE = re.compile(r"[^a-z0-9._-]")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def dedup_part(value: object) -> str:
    """One part of a dedup key, as the database's ``dedup_part``: lower case, all but ``a-z0-9._-`` becomes ``_``.

    Empty for what is neither text nor a number. Only ASCII has a lower case here: the rest becomes ``_`` anyway, and
    how its case changes would depend on the database's locale.
    """
    if value is None or isinstance(value, bool | dict | list):
        return ""
    if isinstance(value, Decimal):
        if abs(value.adjusted()) > MAX_DEDUP_KEY:  # it would not fit, and might have a billion digits
            return ""
        text = f"{value or abs(value):f}"  # as PostgreSQL's numeric reads: no exponent, no negative zero
    else:
        text = str(value)
    return _OUTSIDE.sub("_", text.strip(" ").translate(_LOWER))


JsonObject = Annotated[dict[str, Any], BeforeValidator(json_object)]


def storable(value: str | None) -> str | None:
    """The text itself. Raises ``ValueError`` for what PostgreSQL cannot store."""
    if value is not None:
        check_text(value, "it")
    return value


Key = Annotated[str, Field(min_length=1, max_length=MAX_DEDUP_KEY), AfterValidator(storable)]


class Event(BaseModel):
    """Something that happened at ``occurred_at``, an instant with its zone (now, unless told).

    ``dedup_key`` says which occurrence it is: writing the same twice leaves one. Each event has its default;
    where the payload lacks what that takes it is ``None``, and the database then hashes payload and instant.
    ``ordering_key`` names whose events must stay in order; the database takes the customer by default.
    Raises ``InvalidEvent`` for what cannot be one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchant_id: UUID
    occurred_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    dedup_key: Key | None = None
    ordering_key: Key | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Any problem as ``InvalidEvent`` (pydantic's words would repeat the customer's data); the default key."""
        try:
            event = handler(data)
        except ValidationError as error:
            raise InvalidEvent(in_a_sentence(error)) from None
        if event.dedup_key is None:
            key = event._default_dedup_key()  # noqa: SLF001 - its own
            object.__setattr__(event, "dedup_key", key if key is None or len(key) <= MAX_DEDUP_KEY else None)
        return event

    @classmethod
    def parse(cls, name: str, **data: Any) -> Event:
        """The event that ``name`` or an alias of it stands for, from its fields. Raises ``InvalidEvent``."""
        return EVENTS[canonical_name(name)](**data)

    @property
    def name(self) -> str:
        """The name under which it stands in the outbox."""
        raise NotImplementedError

    def payload(self) -> dict[str, Any]:
        """The JSON object to store; numbers with a fraction are ``Decimal``."""
        raise NotImplementedError

    def payload_json(self) -> str:
        """``payload`` as JSON text, numbers exactly as they were."""
        return encode(self.payload()).decode()

    def _default_dedup_key(self) -> str | None:
        raise NotImplementedError


def in_a_sentence(error: ValidationError) -> str:
    """Which fields are wrong and how, without what stood in them: that is customers' data."""
    problems = (
        f"{'.'.join(str(part) for part in problem['loc']) or 'event'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )
    return "; ".join(problems)[:1_000]


def _order(value: object) -> dict[str, Any]:
    order = json_object(value)
    if not dedup_part(_order_id(order)):
        raise ValueError("has no id: an order event needs `id` (or `properties.orderID`)")
    return order


def _order_id(order: dict[str, Any]) -> object:
    if order.get("id") is not None:
        return order["id"]
    properties = order.get("properties", order)
    return properties.get("orderID") if isinstance(properties, dict) else None


class OrderEvent(Event):
    """An event about an order. ``order`` is SOLDT's row as it stands, or ``{contact, properties}``."""

    order: Annotated[dict[str, Any], BeforeValidator(_order)]

    def payload(self) -> dict[str, Any]:
        return self.order

    def _default_dedup_key(self) -> str | None:
        return dedup_part(_order_id(self.order))


class OrderPlaced(OrderEvent):
    """A customer placed an order, paid for or not."""

    name: ClassVar = EventName.ORDER_PLACED


class OrderPaid(OrderEvent):
    """An order's payment arrived."""

    name: ClassVar = EventName.ORDER_PAID


class OrderFulfilled(OrderEvent):
    """An order was shipped or delivered; once per order."""

    name: ClassVar = EventName.ORDER_FULFILLED


class OrderCanceled(OrderEvent):
    """An order was cancelled."""

    name: ClassVar = EventName.ORDER_CANCELED


class OrderRefunded(OrderEvent):
    """An order's payment was returned."""

    name: ClassVar = EventName.ORDER_REFUNDED


class ShopEvent(Event):
    """An event of the storefront, in the shape of SOLDT's request, of Omnisend's event, or a mixture."""

    contact: JsonObject = Field(default_factory=dict)
    properties: JsonObject

    def payload(self) -> dict[str, Any]:
        return {"contact": self.contact, "properties": self.properties}

    def _first_item(self) -> dict[str, Any]:
        """The item that was added or looked at: named, or the last of the cart, or the properties themselves."""
        added, items = self.properties.get("addedItem"), self.properties.get("lineItems")
        last = items[-1] if isinstance(items, list) and items else None
        return next((item for item in (added, last) if isinstance(item, dict)), self.properties)

    def _product(self) -> str:
        product = self.properties.get("product")
        of_product = product.get("id") if isinstance(product, dict) else None
        item_id = self._first_item().get("productID")
        return dedup_part(item_id if item_id is not None else of_product)

    def _quantity(self) -> str:
        item = self._first_item()
        quantities = (item.get("productQuantity"), item.get("quantity"), 1)
        return dedup_part(next(quantity for quantity in quantities if quantity is not None))


class ProductAddedToCart(ShopEvent):
    """Something was put into a cart."""

    name: ClassVar = EventName.PRODUCT_ADDED_TO_CART

    def _default_dedup_key(self) -> str | None:
        return _joined(dedup_part(self.properties.get("cartID")), self._product(), self._quantity())


class CheckoutStarted(ShopEvent):
    """A customer began to check out a cart."""

    name: ClassVar = EventName.CHECKOUT_STARTED

    def _default_dedup_key(self) -> str | None:
        return _joined(dedup_part(self.properties.get("cartID")))


class ProductViewed(ShopEvent):
    """A product's page was looked at; once per browser session (``properties.sessionID``) and product."""

    name: ClassVar = EventName.PRODUCT_VIEWED

    def _default_dedup_key(self) -> str | None:
        return _joined(dedup_part(self.properties.get("sessionID")), self._product())


def _custom_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """As the caller gave them, where the mapping will take them."""
    try:
        custom_properties(properties)
    except PayloadRejected as error:
        where = error.field.removeprefix("properties").removeprefix(".")
        raise ValueError(f"{where}: {error.problem}" if where else error.problem) from None
    return properties


class CustomEvent(Event):
    """An event of the merchant's own, under any name but those of the eight: ``event="gift_wrapped"``.

    Omnisend offers it as a trigger once it has received one. Without ``dedup_key`` the occurrence is told by its
    payload and its instant, so name one where a call may be repeated later.
    """

    event: Annotated[str, AfterValidator(custom_name)]
    contact: JsonObject = Field(default_factory=dict)
    properties: Annotated[JsonObject, AfterValidator(_custom_properties)] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.event

    def payload(self) -> dict[str, Any]:
        return {"contact": self.contact, "properties": self.properties}

    def _default_dedup_key(self) -> str | None:
        return None


def _joined(*parts: str) -> str | None:
    return ":".join(parts) if all(parts) else None


EVENTS: Final = MappingProxyType(
    {
        event.name: event
        for event in (
            ProductViewed,
            ProductAddedToCart,
            CheckoutStarted,
            OrderPlaced,
            OrderPaid,
            OrderFulfilled,
            OrderCanceled,
            OrderRefunded,
        )
    }
)
"""The class of each of the eight, by its name."""
