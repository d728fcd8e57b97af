"""What the stand-in says Omnisend would reject or ignore; each finding has a case here that has it and nothing else."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.omnisend.dialect import V5
from sandbox.omnisend.documented import RECOMMENDED
from sandbox.omnisend.findings import MAX_FINDINGS
from sandbox.omnisend.names import near_miss
from sandbox.omnisend.validation import read_event
from tests.unit.standin.conftest import PROPERTIES, documented_event


def put(event: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Set (or with `...` delete) what stands at a dotted path; numbers are list positions."""
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    at: Any = event
    for part in parents:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return event


def test_a_documented_event_has_no_findings(event, find, recommended_name):
    assert find(event(recommended_name)) == []


def test_all_recommended_events_are_covered(event):
    assert set(RECOMMENDED) == {event(name)["eventName"] for name in RECOMMENDED}


def test_a_custom_event_may_carry_anything(event, find):
    custom = event() | {
        "eventName": "gift card sent",
        "eventVersion": "",
        "properties": {"x": [{"y": 1.234}]},
    }
    assert find(custom) == []


REJECTED = [
    ("eventName", ..., "field_missing", "eventName"),
    ("eventName", "", "field_missing", "eventName"),
    ("eventName", 7, "field_type", "eventName"),
    ("origin", ..., "field_missing", "origin"),
    ("eventVersion", 2, "field_type", "eventVersion"),
    ("eventID", 12, "field_type", "eventID"),
    ("eventID", "op:4122111", "event_id_invalid", "eventID"),
    ("eventID", "f3f61bc6-07b8-1645-92d8-189d882dbcb1", "event_id_invalid", "eventID"),
    ("eventTime", "2021-07-01 00:00:00", "event_time_invalid", "eventTime"),
    ("eventTime", "2021-07-01T00:00:00", "event_time_invalid", "eventTime"),
    ("eventTime", "2021-13-01T00:00:00Z", "event_time_invalid", "eventTime"),
    ("eventTime", 1625097600, "field_type", "eventTime"),
    ("properties", [], "field_type", "properties"),
    ("contact", ..., "contact_missing", "contact"),
    ("contact", "ann@example.com", "contact_type", "contact"),
    ("contact", {"firstName": "Ann"}, "identity_missing", "contact"),
    ("contact.email", "ann", "email_invalid", "contact.email"),
    ("contact.firstName", 5, "contact_type", "contact.firstName"),
    ("contact.firstName", "x" * 51, "contact_too_long", "contact.firstName"),
    ("contact.lastName", "x" * 51, "contact_too_long", "contact.lastName"),
    ("contact.phone", "+123456789012345", "contact_too_long", "contact.phone"),
    ("contact.address", "x" * 501, "contact_too_long", "contact.address"),
    ("contact.city", "x" * 101, "contact_too_long", "contact.city"),
    ("contact.countryCode", "ZAFR", "contact_too_long", "contact.countryCode"),
    ("contact.postalCode", "x" * 21, "contact_too_long", "contact.postalCode"),
    ("contact.gender", "x", "contact_value", "contact.gender"),
    ("contact.birthdate", "1997-13-01", "contact_value", "contact.birthdate"),
    ("contact.tags", "vip", "contact_type", "contact.tags"),
    ("contact.tags", ["x"] * 101, "contact_too_long", "contact.tags"),
    ("contact.customProperties", [], "contact_type", "contact.customProperties"),
    (
        "contact.customProperties",
        {"shoe-size": 42},
        "custom_property_key",
        "contact.customProperties.shoe-size",
    ),
    ("contact.optIns", {}, "contact_type", "contact.optIns"),
    ("contact.consents", ["yes"], "contact_type", "contact.consents[0]"),
    (
        "contact.optIns",
        [{"channel": "phone", "createdAt": "2021-07-01T00:00:00Z"}],
        "consent_invalid",
        "contact.optIns[0].channel",
    ),
    ("contact.consents", [{"channel": "email"}], "consent_invalid", "contact.consents[0].createdAt"),
    (
        "contact.optOuts",
        [{"channel": "sms", "createdAt": "2021-07-01T00:00:00Z"}] * 11,
        "contact_too_long",
        "contact.optOuts",
    ),
    (
        "contact.consents",
        [{"channel": "sms", "createdAt": "2021-07-01T00:00:00Z", "source": "x" * 101}],
        "contact_too_long",
        "contact.consents[0].source",
    ),
    (
        "contact.consents",
        [{"channel": "sms", "createdAt": "2021-07-01T00:00:00Z", "ip": ""}],
        "consent_invalid",
        "contact.consents[0].ip",
    ),
]


@pytest.mark.parametrize("case", REJECTED)
def test_what_omnisend_rejects(event, find, case):
    path, value, code, where = case
    assert find(put(event(), path, value)) == [("rejected", code, where)]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_json_object_is_rejected(find, body):
    assert find(body) == [("rejected", "bad_json", "body")]


ITEM = "properties.lineItems[0]"
IGNORED = [
    ("colour", "red", "envelope_unknown", "colour"),
    ("eventID", None, "null", "eventID"),
    ("origin", "soldt", "origin_wrong", "origin"),
    ("eventVersion", "", "event_version_wrong", "eventVersion"),
    ("eventVersion", ..., "event_version_wrong", "eventVersion"),
    ("eventVersion", "v1", "event_version_wrong", "eventVersion"),
    ("contact.email", "Ann@example.com", "email_not_normalised", "contact.email"),
    ("contact.email", " ann@example.com", "email_not_normalised", "contact.email"),
    ("contact.phone", "082 123 4567", "phone_not_e164", "contact.phone"),
    ("contact.phone", "27821234567", "phone_not_e164", "contact.phone"),
    ("contact.lastName", None, "null", "contact.lastName"),
    ("contact.contactID", "1", "contact_unknown", "contact.contactID"),
    ("contact.tags", [], "tags_empty", "contact.tags"),
    ("contact.tags", ["vip", ""], "tags_empty", "contact.tags"),
    ("contact.customProperties", {"size": None}, "null", "contact.customProperties.size"),
    (
        "contact.optIns",
        [{"channel": "sms", "createdAt": "2021-07-01T00:00:00Z"}],
        "consent_with_event",
        "contact.optIns",
    ),
    ("properties.colour", "red", "property_unknown", "properties.colour"),
    ("properties.subtotalPrice", 39.98, "property_unknown", "properties.subtotalPrice"),
    ("properties.cancelReason", "why", "property_unknown", "properties.cancelReason"),
    ("properties.billingAddress.postalCode", "1", "property_unknown", "properties.billingAddress.postalCode"),
    ("properties.lineItems.0.quantity", 1, "property_unknown", f"{ITEM}.quantity"),
    ("properties.orderID", 4122111, "property_type", "properties.orderID"),
    ("properties.orderNumber", "SO-1", "property_type", "properties.orderNumber"),
    ("properties.totalTax", "4.19", "property_type", "properties.totalTax"),
    ("properties.totalTax", True, "property_type", "properties.totalTax"),
    ("properties.subTotalTaxIncluded", "no", "property_type", "properties.subTotalTaxIncluded"),
    ("properties.billingAddress", "1 Main Street", "property_type", "properties.billingAddress"),
    ("properties.tags", "vip", "property_type", "properties.tags"),
    ("properties.tags", ["vip", 1], "property_type", "properties.tags[1]"),
    ("properties.createdAt", 1699599600, "property_type", "properties.createdAt"),
    ("properties.paymentStatus", 1, "property_type", "properties.paymentStatus"),
    ("properties.currency", 710, "property_type", "properties.currency"),
    ("properties.orderStatusURL", 1, "property_type", "properties.orderStatusURL"),
    ("properties.lineItems.0.productSKU", 200, "property_type", f"{ITEM}.productSKU"),
    ("properties.lineItems.0.productWeight", "heavy", "property_type", f"{ITEM}.productWeight"),
    ("properties.lineItems.0.productQuantity", "2", "property_type", f"{ITEM}.productQuantity"),
    ("properties.note", None, "null", "properties.note"),
    ("properties.tags", [None], "null", "properties.tags[0]"),
    ("properties.note", "-", "placeholder", "properties.note"),
    ("properties.note", "N/A", "placeholder", "properties.note"),
    ("properties.discounts", [{"amount": 1, "type": "-"}], "placeholder", "properties.discounts[0].type"),
    ("properties.note", "  ", "empty_text", "properties.note"),
    ("properties.totalPrice", ..., "property_missing", "properties.totalPrice"),
    ("properties.shippingAddress", ..., "property_missing", "properties.shippingAddress"),
    ("properties.discounts", [{"code": "X"}], "property_missing", "properties.discounts[0].amount"),
    ("properties.lineItems.0.productVariantID", ..., "property_missing", f"{ITEM}.productVariantID"),
    ("properties.lineItems", [], "list_empty", "properties.lineItems"),
    ("properties.paymentStatus", "awaiting_payment", "status_unknown", "properties.paymentStatus"),
    ("properties.fulfillmentStatus", "shipped", "status_unknown", "properties.fulfillmentStatus"),
    ("properties.currency", "zar", "currency_invalid", "properties.currency"),
    ("properties.currency", "R", "currency_invalid", "properties.currency"),
    ("properties.createdAt", "yesterday", "date_invalid", "properties.createdAt"),
    ("properties.orderStatusURL", "/orders/1", "url_invalid", "properties.orderStatusURL"),
    ("properties.orderStatusURL", "https://", "url_invalid", "properties.orderStatusURL"),
    ("properties.lineItems.0.productURL", "data:image/png;x", "url_invalid", f"{ITEM}.productURL"),
    ("properties.lineItems.0.productURL", "https://a.example/a b", "url_invalid", f"{ITEM}.productURL"),
    ("properties.totalTax", 4.191, "money_decimals", "properties.totalTax"),
    ("properties.totalTax", -1, "money_negative", "properties.totalTax"),
    ("properties.lineItems.0.productQuantity", 0, "quantity_invalid", f"{ITEM}.productQuantity"),
    ("properties.lineItems.0.productQuantity", 1.5, "quantity_invalid", f"{ITEM}.productQuantity"),
    ("properties.tracking", {}, "tracking_empty", "properties.tracking"),
]


@pytest.mark.parametrize("case", IGNORED)
def test_what_omnisend_accepts_and_ignores(event, find, case):
    path, value, code, where = case
    assert find(put(event(), path, value)) == [("ignored", code, where)]


CENTS = [
    ("placed order", "properties.subTotalPrice", 3998, "properties.subTotalPrice"),
    ("placed order", "properties.totalPrice", 4297, "properties.totalPrice"),
    ("placed order", "properties.totalPrice", 0.43, "properties.totalPrice"),
    ("placed order", "properties.shippingPrice", 299 * 100, "properties.shippingPrice"),
    ("placed order", "properties.totalTax", 419 * 100, "properties.totalTax"),
    ("placed order", "properties.lineItems.0.productStrikeThroughPrice", 2399, f"{ITEM}.productStrikeThroughPrice"),
    ("placed order", "properties.totalDiscount", 399 * 100, "properties.totalDiscount"),
    ("order refunded", "properties.totalRefundedAmount", 4297, "properties.totalRefundedAmount"),
    ("started checkout", "properties.value", 3998, "properties.value"),
    ("added product to cart", "properties.lineItems.0.productPrice", 1999, "properties.value"),
    ("viewed product", "properties.product.price", 8000, "properties.product.price"),
    ("ordered product", "properties.product.productStrikeThroughPrice", 1999, "properties.product.productStrikeThroughPrice"),
]  # fmt: skip


@pytest.mark.parametrize("case", CENTS)
def test_cents_beside_rand_are_seen(event, find, case):
    name, path, value, where = case
    assert ("ignored", "money_looks_like_cents", where) in find(put(event(name), path, value))


HONEST = [
    {"totalPrice": 0.4, "totalDiscount": 39.58, "shippingPrice": 0},
    {"shippingPrice": 400, "totalPrice": 439.98},
    {"subTotalPrice": 0, "totalPrice": 0, "totalDiscount": 39.98, "shippingPrice": 0},
    {"subTotalPrice": 0.4, "totalDiscount": 39.58, "totalPrice": 3.39},
]


@pytest.mark.parametrize("amounts", HONEST)
def test_a_large_discount_or_fee_is_not_taken_for_cents(event, find, amounts):
    order = event()
    order["properties"] |= amounts
    assert find(order) == []


def test_a_channel_that_is_no_text_does_not_make_the_reading_fail(event, find):
    consent = {"channel": [], "createdAt": "2021-07-01T00:00:00Z"}
    found = find(put(event(), "contact.consents", [consent]))
    assert set(found) == {("rejected", "consent_invalid", "contact.consents[0].channel")}


def test_a_field_that_is_none_of_an_opt_in_is_seen(event, find):
    opt_in = {"channel": "sms", "createdAt": "2021-07-01T00:00:00Z", "ip": "192.0.2.1"}
    assert find(put(event(), "contact.optIns", [opt_in])) == [
        ("ignored", "contact_unknown", "contact.optIns[0].ip"),
        ("ignored", "consent_with_event", "contact.optIns"),
    ]


def test_a_status_that_contradicts_its_event_is_seen(event, find):
    for name, field, word in (
        ("paid for order", "paymentStatus", "awaitingPayment"),
        ("order fulfilled", "fulfillmentStatus", "unfulfilled"),
    ):
        found = find(put(event(name), f"properties.{field}", word))
        assert found == [("ignored", "status_contradicts_event", f"properties.{field}")]


def test_a_property_omnisend_has_removed_is_seen_where_it_was_removed(event, find):
    path = "properties.lineItems.0.productStrikeThroughPrice"
    assert find(put(event("order canceled"), path, 29.99)) == [
        ("ignored", "property_removed", f"{ITEM}.productStrikeThroughPrice")
    ]
    assert find(put(event("placed order"), path, 29.99)) == []


@pytest.mark.parametrize("name", ["productTags", "productVendor", "productVariantTitle", "productWeight"])
def test_a_property_of_order_lines_is_unknown_in_a_cart(event, find, name):
    value = {"productTags": ["new"], "productWeight": 1}.get(name, "x")
    assert find(put(event("started checkout"), f"properties.lineItems.0.{name}", value)) == [
        ("ignored", "property_unknown", f"{ITEM}.{name}")
    ]


def test_the_flat_viewed_product_lacks_its_product(event, find):
    flat = event("viewed product") | {"properties": {"productID": "1"}}
    assert find(flat) == [
        ("ignored", "property_unknown", "properties.productID"),
        ("ignored", "property_missing", "properties.product"),
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [("properties.shippingAddress.countryCode", "ZA"), ("properties.subtotalTaxIncluded", True)],
)
def test_what_only_some_clients_send_is_tolerated(event, find, path, value):
    assert find(put(event(), path, value)) == []


def test_a_misspelt_property_is_told_what_is_meant(event):
    body = put(event(), "properties.subtotalPrice", 39.98)
    messages = [one.message for one in read_event(msgspec.json.encode(body), V5).findings]
    assert "is subTotalPrice meant?" in messages[0]


NEAR = [
    ("order cancelled", "order canceled"),
    ("Order Canceled", "order canceled"),
    ("order_canceled", "order canceled"),
    ("cancel order", "order canceled"),
    ("Placed Order", "placed order"),
    ("order_placed", "placed order"),
    ("placedOrder", "placed order"),
    ("placed ordr", "placed order"),
    (" placed order", "placed order"),
    ("order_paid", "paid for order"),
    ("order_fulfilled", "order fulfilled"),
    ("order_refunded", "order refunded"),
    ("checkout_started", "started checkout"),
    ("product_added_to_cart", "added product to cart"),
    ("add to cart", "added product to cart"),
    ("added_to_cart", "added product to cart"),
    ("product_viewed", "viewed product"),
    ("$viewedProduct", "viewed product"),
]


@pytest.mark.parametrize(("name", "meant"), NEAR)
def test_a_name_close_to_a_recommended_one_is_a_near_miss(event, find, name, meant):
    assert near_miss(name) == meant
    custom = event() | {"eventName": name, "eventVersion": "", "properties": {}}
    assert find(custom) == [("ignored", "event_name_near_miss", "eventName")]


@pytest.mark.parametrize(
    "name", ["gift card sent", "order shipped", "order packed", "wishlist updated", "注文"]
)
def test_other_names_are_custom_events(name):
    assert near_miss(name) is None


@pytest.mark.parametrize("name", ["viewed page", "$pageViewed", "$productViewed", "entered segment"])
def test_omnisends_own_names_cannot_be_sent(event, find, name):
    custom = event() | {"eventName": name, "eventVersion": "", "properties": {}}
    assert find(custom) == [("ignored", "event_name_reserved", "eventName")]


def test_a_custom_event_has_no_version(event, find):
    custom = event() | {"eventName": "gift card sent", "properties": {}}
    assert find(custom) == [("ignored", "event_version_wrong", "eventVersion")]


def test_nulls_and_placeholders_are_seen_in_custom_events(event, find):
    properties = {"a": None, "b": ["-"], "c": {"d": None}}
    custom = event() | {"eventName": "gift card sent", "eventVersion": "", "properties": properties}
    assert find(custom) == [
        ("ignored", "null", "properties.a"),
        ("ignored", "placeholder", "properties.b[0]"),
        ("ignored", "null", "properties.c.d"),
    ]


def test_findings_are_bounded_and_a_rejection_is_never_crowded_out(event, find):
    order = put(event(), "properties.lineItems", [{}] * 10_000)
    order["contact"] = {"email": "ann@example.com", "gender": "?"}
    found = find(order)
    assert len(found) == MAX_FINDINGS
    assert ("rejected", "contact_value", "contact.gender") in found


def test_rejections_are_named_by_field():
    reading = read_event(b'{"origin": "api", "contact": {"firstName": "Ann"}}', V5)
    assert reading.is_rejected()
    assert {found.path for found in reading.findings} == {"eventName", "contact"}
    assert reading.event_name is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(PROPERTIES)),
    damage=st.lists(st.tuples(st.integers(0, 10_000), json_values), min_size=1, max_size=4),
)
def test_no_body_makes_the_reading_fail(name, damage):
    event = documented_event(name)
    for where, value in damage:
        places = list(_places(event))
        holder, key = places[where % len(places)]
        holder[key] = value
    body = json.dumps(event).encode()
    assert read_event(body, V5) == read_event(body, V5)


@pytest.mark.parametrize("number", [b"1e400", b"-1e308", b"1" + b"0" * 400, b"1e308"])
@pytest.mark.parametrize("name", ["totalPrice", "totalTax", "productPrice", "productQuantity"])
def test_no_number_makes_the_reading_fail(event, name, number):
    body = json.dumps(event())
    position = body.index(f'"{name}": ') + len(name) + 4
    end = min(body.index(",", position), body.index("}", position))
    read_event(body[:position].encode() + number + body[end:].encode(), V5)


def _places(value):
    """Every key of every object and list in it, with what holds it."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        yield value, key
        if isinstance(entry, dict | list):
            yield from _places(entry)
