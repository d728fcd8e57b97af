"""Reading contacts, products, categories, batches and store connections: no body makes it fail."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.omnisend.contact_request import reader
from sandbox.omnisend.dialect import V5, V2026_03_15
from sandbox.omnisend.product_request import read_category, read_category_change, read_product
from sandbox.omnisend.resources.batches import read_batch
from sandbox.omnisend.resources.brand import read_connection

CONTACT: dict[str, Any] = {
    "identifiers": [
        {
            "type": "email",
            "id": "ann@example.com",
            "sendWelcomeMessage": False,
            "channels": {"email": {"status": "subscribed", "statusChangedAt": "2025-01-01T10:00:00Z"}},
            "consent": {"source": "checkout", "createdAt": "2025-01-01T10:00:00Z", "ip": "192.0.2.1"},
        }
    ],
    "firstName": "Ann",
    "gender": "f",
    "birthdate": "1990-01-31",
    "tags": ["vip"],
    "customProperties": {"locale": "af"},
    "createdAt": "2025-01-01T00:00:00Z",
}
PRODUCT: dict[str, Any] = {
    "id": "p1",
    "title": "Shirt",
    "currency": "ZAR",
    "status": "inStock",
    "url": "https://shop.example/1",
    "images": ["https://cdn.example/1.jpg"],
    "tags": ["summer"],
    "categoryIDs": ["c1"],
    "createdAt": "2026-01-01T00:00:00Z",
    "variants": [
        {"id": "v1", "title": "S", "url": "https://shop.example/1", "price": 1.5, "status": "inStock"}
    ],
}
READERS = [
    (reader(creates=True), CONTACT),
    (reader(creates=False), CONTACT),
    (read_product, PRODUCT),
    (read_category, {"categoryID": "c1", "title": "Shirts"}),
    (read_category_change, {"title": "Shirts"}),
    (read_batch, {"method": "POST", "endpoint": "products", "items": [PRODUCT], "origin": "api"}),
    (read_connection, {"website": "https://shop.example", "platform": "soldt", "version": "1"}),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value):
    """Every key of every object and list in it, with what holds it."""
    for key, entry in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(entry, dict | list):
            yield from places(entry)


@pytest.mark.parametrize(("read", "content"), READERS)
def test_what_is_right_has_no_findings(read, content):
    reading = read(json.dumps(content).encode(), V2026_03_15)
    assert reading.findings == ()
    assert reading.content is not None


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"7", b"null", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize(("read", "content"), READERS)
def test_what_is_no_json_object_is_rejected(read, content, body):
    assert [(one.severity, one.code) for one in read(body, V5).findings] == [("rejected", "bad_json")]


@pytest.mark.parametrize(("read", "content"), READERS)
@pytest.mark.parametrize("dialect", [V5, V2026_03_15])
def test_no_single_value_of_another_kind_makes_the_reading_fail(read, content, dialect):
    for index in range(len(list(places(content)))):
        for value in (None, True, 7, -1.5, "", "x", [], [[]], {}, {"a": []}):
            damaged = copy.deepcopy(content)
            holder, key = list(places(damaged))[index]
            holder[key] = value
            read(json.dumps(damaged).encode(), dialect)


@settings(max_examples=200, deadline=None)
@given(
    which=st.integers(0, len(READERS) - 1),
    damage=st.lists(st.tuples(st.integers(0, 10_000), json_values), min_size=1, max_size=4),
)
def test_no_body_makes_the_reading_fail(which, damage):
    read, content = READERS[which]
    damaged = copy.deepcopy(content)
    for where, value in damage:
        known = list(places(damaged))
        holder, key = known[where % len(known)]
        holder[key] = value
    body = json.dumps(damaged).encode()
    for dialect in (V5, V2026_03_15):
        read(body, dialect)
