import json
from decimal import Decimal

import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import EventName, WorkerEventName
from soldt_outbox.omnisend.mapping import map_event, product_ids
from soldt_outbox.omnisend.mapping.events import OMNISEND_EVENTS
from soldt_outbox.rows import OmnisendRequest, Skip
from tests.unit.omnisend.shapes import CUSTOM, MERCHANT, parse, row, sent


def custom(properties):
    return {"contact": {"email": "a@b.za"}, "properties": properties}


def told(properties):
    return sent("gift_wrapped", custom(properties))["properties"]


def nested(levels, value=1):
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_a_custom_event_passes_through_with_its_properties():
    body = sent("gift_wrapped", parse(CUSTOM), dedup_key="4711")
    assert (body["eventName"], body["eventVersion"], body["origin"]) == ("gift_wrapped", "", "api")
    assert body["eventTime"] == "2026-11-21T10:00:00.123Z"
    assert body["contact"] == {"email": "thandi@example.co.za", "firstName": "Thandi"}
    assert body["properties"] == {
        "paper": "kraft",
        "gifts": 3,
        "price": Decimal("12.50"),
        "express": False,
        "note": "",
        "wrapped": [{"sku": "RT-500", "weight": Decimal("0.5")}],
        "card": {"text": "For you"},
    }


def test_numbers_travel_as_they_were_written():
    body = map_event(row("gift_wrapped", custom(parse('{"a": 0.1, "b": 12.50, "c": 7}'))), MERCHANT, {})
    assert isinstance(body, OmnisendRequest)
    assert b'"properties":{"a":0.1,"b":12.50,"c":7}' in body.body


def test_a_binary_number_is_read_as_it_is_written():
    assert told({"a": 0.1, "b": 1e3, "c": 0e99}) == {"a": Decimal("0.1"), "b": 1_000, "c": 0}
    assert told({"a": Decimal("0E-99")}) == {"a": 0}


def test_a_custom_event_subscribes_nobody():
    consents = [{"channel": "email", "createdAt": "2026-11-21T10:00:00Z"}]
    contact = {"email": "a@b.za", "consents": consents, "optIns": consents}
    body = sent("gift_wrapped", {"contact": contact, "properties": {}})
    assert (body["contact"], body["properties"]) == ({"email": "a@b.za"}, {})


def test_a_custom_event_about_nobody_is_skipped():
    assert isinstance(map_event(row("gift_wrapped", {"properties": {"a": 1}}), MERCHANT, {}), Skip)


def test_no_product_is_looked_up_for_it():
    payload = custom({"productID": 1, "lineItems": [{"productID": 2}]})
    assert product_ids(row("gift_wrapped", payload)) == set()
    assert product_ids(row("gift@wrapped", payload)) == set()


@pytest.mark.parametrize("name", ["a", "Gift wrapped 2.0", "x" * 100, "2nd_visit", "order shipped", "a-b"])
def test_names_that_pass(name):
    assert sent(name, custom({}))["eventName"] == name


@pytest.mark.parametrize("name", ["", " ", "_a", "-", "x" * 101, "café", "a/b", "a\nb", "a@b.za", "a\0"])
def test_names_that_do_not_pass(name):
    with pytest.raises(PayloadRejected, match=r"^name: has to be 1 to 100"):
        sent(name, custom({}))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("placed order", "order_placed"),
        ("Placed Order", "order_placed"),
        ("PLACED_ORDER", "order_placed"),
        ("placedOrder", "order_placed"),
        ("pLaCeD oRdEr", "order_placed"),
        ("placedorder", "order_placed"),
        ("order cancelled", "order_canceled"),
        ("order_cancelled", "order_canceled"),
        ("Cancelled order", "order_canceled"),
        ("order fullfilled", "order_fulfilled"),
        ("order-refunded", "order_refunded"),
        ("paid for order", "order_paid"),
        ("viewed product", "product_viewed"),
        ("started checkout", "checkout_started"),
        ("added product to cart", "product_added_to_cart"),
        ("Add to cart", "product_added_to_cart"),
        ("ordered product", "ordered_product"),
        ("Ordered_Product", "ordered_product"),
    ],
)
def test_a_name_like_one_of_omnisend_s_is_rejected_with_ours(name, ours):
    with pytest.raises(PayloadRejected, match=rf"^name: reads like .* write {ours} "):
        sent(name, custom({}))


def test_no_name_of_omnisend_s_passes_for_a_custom_event():
    assert set(OMNISEND_EVENTS) == {*EventName, *WorkerEventName}
    for event, (name, _) in OMNISEND_EVENTS.items():
        for spelling in (name, name.title(), name.upper(), name.replace(" ", "_"), name.replace(" ", "-")):
            if spelling in ("ordered_product", "placed_order", "viewed_product", "started_checkout"):
                continue  # a name of ours, or an alias of one
            if spelling in ("paid_for_order", "added_product_to_cart") or spelling == event:
                continue
            with pytest.raises(PayloadRejected, match=rf"^name: reads like .* write {event} "):
                sent(spelling, custom({}))


@pytest.mark.parametrize(
    ("properties", "field", "problem"),
    [
        (None, "properties", "is missing"),
        ([], "properties", "is not an object"),
        ("x", "properties", "is not an object"),
        (5, "properties", "is not an object"),
        ({"": 1}, "properties", "has a key of 0 characters"),
        ({"a": {"k" * 101: 1}}, r"properties\.a", "has a key of 101 characters"),
        ({"a\tb": 1}, "properties", "has a key with a control character"),
        ({"\ud800": 1}, "properties", "has a key with a control character"),
        ({str(n): n for n in range(201)}, "properties", "has more than 200 keys"),
        ({"a": [{str(n): n for n in range(199)}, {"x": 1}]}, "properties", "has more than 200 keys"),
        ({"a": nested(6)}, r"properties\.a\.a\.a\.a\.a", "is nested deeper than 5 levels"),
        ({"a": [[[[["x"]]]]]}, r"properties\.a\[0\]\[0\]\[0\]\[0\]", "is nested deeper than 5 levels"),
        ({"a": ["x"] * 501}, r"properties\.a", "has 501 items; at most 500"),
        ({"a": {"b": "x" * 10_001}}, r"properties\.a\.b", "has 10,001 characters; at most 10,000"),
        ({"a": "\ud83d"}, r"properties\.a", "holds half of a surrogate pair"),
        ({"a": Decimal("NaN")}, r"properties\.a", "is no finite number"),
        ({"a": Decimal("sNaN")}, r"properties\.a", "is no finite number"),
        ({"a": float("-inf")}, r"properties\.a", "is no finite number"),
        ({"a": Decimal("1E+18")}, r"properties\.a", "has more than 18 digits"),
        ({"a": Decimal("1E-19")}, r"properties\.a", "has more than 18 digits"),
        ({"a": 10**18}, r"properties\.a", "has more than 18 digits"),
        ({"a": {1, 2}}, r"properties\.a", "is no JSON value"),
    ],
)
def test_properties_out_of_bounds_are_rejected_by_name(properties, field, problem):
    with pytest.raises(PayloadRejected, match=rf"^{field}: {problem}"):
        told(properties)


@pytest.mark.parametrize(
    "properties",
    [
        {str(n): n for n in range(200)},
        {"a": nested(5)},
        {"a": [[[["x"]]]]},
        {"a": ["x"] * 500},
        {"k" * 100: "x" * 10_000},
        {"a": 10**18 - 1, "b": Decimal("0.000000000000000001"), "c": -1},
        {"naïve 🌸": "line one\nline two"},
        {"a": True, "b": "", "c": "-", "d": 0},
    ],
)
def test_properties_at_their_bounds_pass_unchanged(properties):
    assert told(properties) == properties


def test_a_body_that_is_too_large_names_the_largest_field():
    properties = {"small": 1, "large": ["x" * 10_000] * 101}
    with pytest.raises(PayloadRejected, match=r"^properties\.large: has 1,0"):
        told(properties)


def test_properties_stored_as_text_are_read():
    assert told(json.dumps({"a": [1, None]})) == {"a": [1]}
