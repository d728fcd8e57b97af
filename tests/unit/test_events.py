import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from soldt_outbox.errors import InvalidEvent
from soldt_outbox.events import (
    ALIASES,
    EVENTS,
    CheckoutStarted,
    CustomEvent,
    Event,
    EventName,
    OrderPlaced,
    OrderRefunded,
    ProductAddedToCart,
    ProductViewed,
    canonical_name,
    dedup_part,
)

MERCHANT = UUID("11111111-1111-4111-8111-111111111111")
CART = {"cartID": "cart:Sess_5f2c", "lineItems": [{"productID": 1}, {"productID": 17, "quantity": 2}]}


def test_there_is_a_class_for_every_name():
    assert set(EVENTS) == set(EventName)
    assert all(event.name == name for name, event in EVENTS.items())


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("added_to_cart", "product_added_to_cart"),
        ("add_to_cart", "product_added_to_cart"),
        ("added_product_to_cart", "product_added_to_cart"),
        ("started_checkout", "checkout_started"),
        ("placed_order", "order_placed"),
        ("paid_for_order", "order_paid"),
        ("viewed_product", "product_viewed"),
        *((name.value, name.value) for name in EventName),
    ],
)
def test_every_alias_of_soldt_is_known(alias, name):
    assert canonical_name(alias) == name
    assert Event.parse(alias, merchant_id=MERCHANT, **fields_of(name)).name == name


def test_an_unknown_name_is_refused_and_told_of_custom_events():
    with pytest.raises(InvalidEvent, match=r"^name: 'gift_wrapped' is none of .* CustomEvent$"):
        Event.parse("gift_wrapped", merchant_id=MERCHANT, properties={})


def test_a_custom_event_is_stored_as_it_was_given():
    event = CustomEvent(
        merchant_id=MERCHANT,
        event=" gift_wrapped ",
        contact={"email": "a@b.za"},
        properties={"price": Decimal("12.50"), "ribbon": None},
    )
    assert event.name == "gift_wrapped"
    assert event.payload_json() == (
        '{"contact":{"email":"a@b.za"},"properties":{"price":12.50,"ribbon":null}}'
    )
    assert event.dedup_key is None
    assert CustomEvent(merchant_id=MERCHANT, event="seen").payload() == {"contact": {}, "properties": {}}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"event": "a@b.za clicked"}, r"^event: has to be 1 to 100 letters"),
        ({"event": "x" * 101}, r"^event: has to be 1 to 100 letters"),
        ({"event": 5}, r"^event: "),
        ({"event": "order_placed"}, r"^event: reads like .* write order_placed instead$"),
        ({"event": "Order Cancelled"}, r"^event: reads like .* write order_canceled instead$"),
        ({"event": "ordered_product"}, r"^event: reads like .* workers write ordered_product themselves"),
        ({"name": "x"}, r"^name: "),
        ({"properties": None}, r"^properties: is a NoneType, not an object"),
        ({"properties": {"a": {"b": "x" * 10_001}}}, r"^properties: a\.b: has 10,001 characters"),
        ({"properties": {"a": [1] * 501}}, r"^properties: a: has 501 items"),
        ({"properties": {str(n): n for n in range(201)}}, r"^properties: has more than 200 keys"),
    ],
)
def test_a_custom_event_that_could_not_be_sent_is_refused(fields, problem):
    with pytest.raises(InvalidEvent, match=problem) as caught:
        CustomEvent(**({"merchant_id": MERCHANT, "event": "gift_wrapped"} | fields))
    assert "a@b.za" not in str(caught.value)


def fields_of(name):
    return {"order": {"id": 1}} if name.startswith("order_") else {"properties": CART}


def test_there_are_no_other_aliases():
    assert len(ALIASES) == 15
    with pytest.raises(InvalidEvent, match=r"^name: 'placed order' is none of"):
        canonical_name("placed order")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("cart:sess_5F", "cart_sess_5f"),
        (17, "17"),
        (Decimal("2.0"), "2.0"),
        (" a b ", "a_b"),
        ("é", "_"),
        (None, ""),
        ([], ""),
    ],
)
def test_a_part_of_a_dedup_key(value, part):
    assert dedup_part(value) == part


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (OrderPlaced(merchant_id=MERCHANT, order={"id": 4711}), "4711"),
        (OrderRefunded(merchant_id=MERCHANT, order={"properties": {"orderID": "A/1"}}), "a_1"),
        (CheckoutStarted(merchant_id=MERCHANT, properties=CART), "cart_sess_5f2c"),
        (ProductAddedToCart(merchant_id=MERCHANT, properties=CART), "cart_sess_5f2c:17:2"),
        (
            ProductAddedToCart(merchant_id=MERCHANT, properties=CART | {"addedItem": {"productID": 1}}),
            "cart_sess_5f2c:1:1",
        ),
        (ProductViewed(merchant_id=MERCHANT, properties={"productID": 17, "sessionID": "S"}), "s:17"),
        (ProductViewed(merchant_id=MERCHANT, properties={"product": {"id": 17}, "sessionID": "S"}), "s:17"),
        (ProductViewed(merchant_id=MERCHANT, properties={"productID": 17}), None),
        (CheckoutStarted(merchant_id=MERCHANT, properties={"cartID": "x" * 500}), None),
        (CheckoutStarted(merchant_id=MERCHANT, properties=CART, dedup_key="mine"), "mine"),
    ],
)
def test_which_occurrence_an_event_is(event, key):
    assert event.dedup_key == key


def test_an_order_row_from_a_database_driver_is_stored_exactly():
    when = datetime(2026, 11, 21, 10, tzinfo=UTC)
    event = OrderPlaced(
        merchant_id=MERCHANT,
        order={
            "id": 1,
            "total": Decimal("389.80"),
            "created_at": when,
            "merchant_id": MERCHANT,
            "tags": ("a",),
        },
    )
    text = event.payload_json()
    assert '"total":389.80' in text
    assert json.loads(text, parse_float=Decimal) == event.payload()
    assert event.payload()["tags"] == ["a"]


def test_it_happened_now_unless_told():
    assert (
        abs(
            (
                OrderPlaced(merchant_id=MERCHANT, order={"id": 1}).occurred_at - datetime.now(UTC)
            ).total_seconds()
        )
        < 5
    )


def deep():
    root = {"id": 1}
    inner = root
    for _ in range(100_000):
        inner["a"] = {}
        inner = inner["a"]
    return root


def circular():
    root = {"id": 1}
    root["self"] = [root, root, root]
    return root


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ([], "^order: is a list"),
        ({}, "^order: has no id"),
        ({"id": True}, "^order: has no id"),
        ({"id": 1, "notes": "a\0b"}, "notes holds a NUL"),
        ({"id": 1, "items": [{"title": "\ud83d"}]}, r"items\[0\].title holds half"),
        ({"id": 1, "total": math.nan}, "total is nan"),
        ({"id": 1, "total": Decimal("Infinity")}, "total is Infinity"),
        ({"id": 1, "total": Decimal("1E-99999")}, "total has more than 16,383 decimal places"),
        ({"id": 1, "total": Decimal("0E-16384")}, "total has more than 16,383 decimal places"),
        ({"id": 1, "x": {1, 2}}, "x is a set"),
        ({"id": 1, 2: 3}, "key that is not text"),
        ({"id": 1, "notes": "x" * 1_000_001}, "1,000,0.. bytes"),
        (deep(), "nested deeper than 32"),
        (circular(), "nested deeper than 32|more values"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(order, problem):
    with pytest.raises(InvalidEvent, match=problem):
        OrderPlaced(merchant_id=MERCHANT, order=order)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"merchant_id": "x"}, "merchant_id"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001 - that is the point
        ({"dedup_key": ""}, "dedup_key"),
        ({"dedup_key": "a\0"}, "dedup_key"),
        ({"dedup_key": "x" * 401}, "dedup_key"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_field_is_named(changes, field):
    with pytest.raises(InvalidEvent, match=f"^{field}: "):
        OrderPlaced(**({"merchant_id": MERCHANT, "order": {"id": 1}} | changes))


def test_a_refusal_does_not_repeat_the_customer_s_data():
    with pytest.raises(InvalidEvent) as caught:
        OrderPlaced(merchant_id=MERCHANT, order={"customer_email": "thandi@example.com"})
    assert "thandi" not in str(caught.value)


def test_an_event_does_not_change():
    event = OrderPlaced(merchant_id=MERCHANT, order={"id": 1})
    with pytest.raises(ValueError, match="frozen"):
        event.merchant_id = MERCHANT
