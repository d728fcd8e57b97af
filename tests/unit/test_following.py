"""What follows from a delivered order, and that nothing in an order can keep it from being settled."""

import copy
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soldt_outbox.events import MAX_DEDUP_KEY
from soldt_outbox.following import MAX_LINES, contact_of_order, customer_of, ordered_products
from soldt_outbox.json_objects import json_object
from soldt_outbox.omnisend.mapping import map_event, product_ids
from soldt_outbox.omnisend.mapping.people import customer, customer_fields
from soldt_outbox.rows import Kind, OmnisendRequest
from tests.unit.omnisend.shapes import CATALOGUE, LINE, MERCHANT, ORDER, WHEN, order, parse, row
from tests.unit.omnisend.test_mapping_anything import ODD, every_place, json_values

CONTACT = {
    "customer_email": "thandi@example.co.za",
    "customer_name": "Thandi van der Merwe",
    "customer_phone": "082 123 4567",
    "shipping_address": {
        "address": "12 Long Street",
        "city": "Cape Town",
        "province": "Western Cape",
        "postalCode": "8001",
    },
}
IN_PROPERTIES = {
    "contact": {"id": "c1", "email": " Thandi@Example.co.za", "firstName": "Thandi", "lastName": "Nkosi"},
    "properties": {
        "orderID": "A-1",
        "currency": "ZAR",
        "lineItems": [{"productID": "1", "productTitle": "T", "productPrice": 5, "productQuantity": 1}],
        "shippingAddress": {"address1": "12 Long Street"},
    },
}


def placed(payload, dedup_key="4711"):
    return row("order_placed", payload, dedup_key)


def read_as(name, follow_up):
    """The row that a follow-up becomes, as a worker claims it."""
    stored = json.loads(json.dumps(follow_up.payload, default=float), parse_float=Decimal)
    return row(name, stored, follow_up.dedup_key)


def test_each_line_of_an_order_follows_as_an_event_of_its_own():
    first, second = ordered_products(placed(order()))
    assert (first.kind, first.name, first.dedup_key) == (Kind.EVENT, "ordered_product", "4711:1")
    assert (first.occurred_at, first.time_to_live, first.ordered_by) == (
        WHEN,
        timedelta(days=14),
        "thandi@example.co.za",
    )
    assert first.payload == {name: value for name, value in parse(LINE).items() if name != "currency"}
    assert (second.dedup_key, second.payload["item"]["title"]) == ("4711:2", "Mug")


def test_a_line_holds_no_more_of_the_order():
    for line in ordered_products(placed(order(currency="ZAR"))):
        assert line.payload.keys() == {
            "customer_email", "customer_name", "customer_phone", "order_id", "currency", "item",
        }  # fmt: skip


def test_what_follows_is_what_the_mapping_reads():
    for payload in (
        order(),
        IN_PROPERTIES,
        json.dumps(IN_PROPERTIES),
        order(items=json.dumps(order()["items"], default=float)),
    ):
        whole = map_event(placed(payload), MERCHANT, CATALOGUE) if "properties" not in payload else None
        for line in ordered_products(placed(payload)):
            stored = read_as(line.name, line)
            told = map_event(stored, MERCHANT, CATALOGUE)
            assert isinstance(told, OmnisendRequest)
            assert product_ids(stored)
            if isinstance(whole, OmnisendRequest):
                assert parse(told.body)["contact"] == parse(whole.body)["contact"]
                items = parse(whole.body)["properties"]["lineItems"]
                assert parse(told.body)["properties"]["product"] in items


def test_an_order_in_omnisend_s_shape_has_lines_too():
    (line,) = ordered_products(placed(IN_PROPERTIES))
    assert (line.dedup_key, line.ordered_by) == ("A-1:1", "Thandi@Example.co.za")
    assert line.payload == {
        "contact": IN_PROPERTIES["contact"],
        "order_id": "A-1",
        "currency": "ZAR",
        "item": IN_PROPERTIES["properties"]["lineItems"][0],
    }


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"items": [5, {"id": 1}, None, {"id": 2}]}, ["4711:2", "4711:4"]),
        ({"items": [{"id": 1}] * MAX_LINES + [{"id": 2}]}, [f"4711:{n}" for n in range(1, 501)]),
        ({"items": [{"id": 1}] * 1_001}, []),
        ({"items": {"id": 1}}, []),
        ({"items": None}, []),
        ({"id": None}, []),
        ({"id": {"a": 1}}, []),
        ({"items": '[{"title": "\\u0000"}, {"id": 1}]'}, ["4711:2"]),
        ({"items": '[{"price": 1e-99999}, {"price": 1e999999}, {"id": 1}]'}, ["4711:3"]),
        ({"customer_name": "\ud800"}, []),
    ],
)
def test_what_is_broken_gives_no_line_and_the_others_keep_their_place(changes, keys):
    assert [line.dedup_key for line in ordered_products(placed(order(**changes)))] == keys


def test_a_name_that_cannot_be_stored_orders_nothing():
    properties = IN_PROPERTIES["properties"] | {"cartID": "\0"}
    assert ordered_products(placed(json.dumps({"properties": properties}))) == ()


def test_the_customer_s_details_follow_as_a_contact():
    contact = contact_of_order(placed(order()))
    assert contact is not None
    assert (contact.kind, contact.name, contact.ordered_by) == (
        Kind.CONTACT,
        "contact_changed",
        "contact:thandi@example.co.za",
    )
    assert (contact.occurred_at, contact.time_to_live) == (WHEN, timedelta(days=30))
    assert contact.payload == CONTACT


def test_a_contact_in_omnisend_s_shape_is_told_in_soldt_s_words():
    contact = contact_of_order(placed(IN_PROPERTIES))
    assert contact is not None
    assert contact.payload == {
        "customer_email": "thandi@example.co.za",
        "customer_name": "Thandi Nkosi",
        "shipping_address": {"address1": "12 Long Street"},
    }


def test_a_name_of_a_megabyte_does_not_become_500_of_them():
    lines = [{"product_id": n, "title": "Mug", "price": 5, "quantity": 1} for n in range(500)]
    assert len(ordered_products(placed(order(items=lines)))) == 500
    assert ordered_products(placed(order(items=lines, customer_name="T" * 900_000))) == ()


def test_each_order_tells_its_customer_s_details_once_though_they_were_told_before():
    """Home, a friend's address, home again: Omnisend would keep the friend's if the third were taken for the first."""
    home = order()
    friends = order(id=4712, shipping_address={"address": "1 Kloof Street", "city": "Cape Town"})
    told = [contact_of_order(placed(*one)) for one in ((home, "4711"), (friends, "4712"), (home, "4713"))]
    again = contact_of_order(placed(home, "4711"))
    assert again is not None
    keys = [contact.dedup_key for contact in told if contact is not None]
    assert len(set(keys)) == 3
    assert again.dedup_key == keys[0]


def test_an_order_s_key_of_any_length_makes_a_contact_s_key_that_fits():
    contact = contact_of_order(placed(order(), "x" * MAX_DEDUP_KEY))
    assert contact is not None
    assert len(contact.dedup_key) <= MAX_DEDUP_KEY


def test_without_an_e_mail_it_is_the_phone_s_contact():
    contact = contact_of_order(placed(order(customer_email="nobody")))
    assert contact is not None
    assert contact.ordered_by == "contact:082 123 4567"
    assert "customer_email" not in contact.payload
    assert contact_of_order(placed(order(customer_email=None, customer_phone="-"))) is None


def changed_order(place, value):
    payload = order()
    places = list(every_place(payload))
    holder, where = places[place % len(places)]
    holder[where] = copy.deepcopy(value)
    return payload


anything = json_values | st.builds(changed_order, st.integers(0, 10**6), json_values)


def gives_only_what_can_be_stored(payload):
    contact = contact_of_order(placed(payload))
    for follow_up in (*ordered_products(placed(payload)), *([contact] if contact else [])):
        assert json_object(follow_up.payload) == follow_up.payload
        json_object({"key": follow_up.dedup_key, "ordered_by": follow_up.ordered_by})
        assert 1 <= len(follow_up.dedup_key) <= 400


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(anything)
def test_any_payload_gives_rows_that_can_be_stored_or_none(payload):
    gives_only_what_can_be_stored(payload)


def test_every_odd_value_in_every_place_of_an_order():
    for text in (ORDER, json.dumps(IN_PROPERTIES)):
        for place in range(len(list(every_place(parse(text))))):
            for value in ODD:
                payload = parse(text)
                holder, where = list(every_place(payload))[place]
                holder[where] = copy.deepcopy(value)
                gives_only_what_can_be_stored(payload)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["contact", "customer_email", "email", "customerPhone", "phone", "customer_name", "firstName", "contactID", "id", "x"]),
        json_values | st.dictionaries(st.sampled_from(["id", "email", "phone", "name", "lastName", "y"]), json_values),
    )
)  # fmt: skip
def test_the_customer_is_the_same_in_the_part_that_is_kept(payload):
    kept = customer_fields(payload)
    assert customer(kept, "ZA") == customer(payload, "ZA")
    assert not {"id", "x"} & kept.keys()


@pytest.mark.parametrize(
    ("payload", "customer"),
    [
        ({"customer_email": " A@b.za "}, "A@b.za"),
        ({"customer_email": " ", "contact": {"email": "c@d.za"}}, "c@d.za"),
        ({"customer_phone": "+27 82 123 4567"}, "821234567"),
        ({"customer_phone": 27821234567}, "821234567"),
        ({"customer_phone": "", "contact": {"phone": "0821234567"}}, None),
        ({"contact": {"phone": 821234567, "id": "x"}}, "821234567"),
        ({"contact": {"id": " x "}, "properties": {"cartID": "c"}}, "x"),
        ({"contact": "x", "properties": {"cartID": "c"}}, "c"),
        ({"contact": None, "properties": []}, None),
    ],
)
def test_whose_rows_stay_in_order(payload, customer):
    assert customer_of(payload) == customer
