"""Whatever JSON stands in a row: a request, a skip, or a rejection that names a field, and never anything else."""

import copy
import json
import math
import random
from decimal import Decimal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import ALIASES, EventName, WorkerEventName
from soldt_outbox.omnisend.mapping import map_event, product_ids
from soldt_outbox.omnisend.mapping.events import OMNISEND_EVENTS
from soldt_outbox.redaction import redact_request
from soldt_outbox.rows import OmnisendRequest, Skip
from tests.unit.omnisend.shapes import CART, CATALOGUE, CUSTOM, LINE, MERCHANT, ORDER, VIEW, parse, row

ODD = [
    None, True, False, 0, -1, 10**40, 1.5, math.nan, math.inf, -0.0, 1e308, Decimal("NaN"), Decimal("sNaN"),
    Decimal("-Infinity"), Decimal("1E+999999"), Decimal("1E-999999"), Decimal("-0"), "", "-", " ", "two", "NaN", "1e999999",
    "\0", "\ud800", "🫖" * 60, "x" * 70_000, "[", "[" * 5_000, '{"a":' * 3_000, "[1,2]", "2026-13-45", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "+", "++27", "٣", "²", "https://", "http://[", "http://\ud800/", [], {}, [[]], [None], [{}], [{"id": {}}],
    {"id": 1}, {"title": []}, "\u202e", "a@b.c", "@", "a@" + "b." * 200 + "c",
]  # fmt: skip

json_values = st.recursive(
    st.one_of(
        st.sampled_from(ODD),
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(max_size=20),
    ),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)
names = st.sampled_from(sorted({*ALIASES, *WorkerEventName}))


def finds_an_end(name: str, payload) -> None:
    stored = row(name, payload)
    product_ids(stored)
    try:
        result = map_event(stored, MERCHANT, CATALOGUE)
    except PayloadRejected as error:
        result = error
    if isinstance(result, PayloadRejected):
        assert result.field
        assert result.problem
        assert str(result).encode()
        return
    if isinstance(result, Skip):
        assert result.reason == "missing_identity"
        return
    assert isinstance(result, OmnisendRequest)
    assert len(result.body) <= 1_000_000
    body = json.loads(result.body, parse_constant=lambda word: 1 / 0)
    if (body["eventName"], body["eventVersion"]) in OMNISEND_EVENTS.values():
        holds_nothing_empty(body | {"eventVersion": "x"})
    else:  # a caller's own text may be empty, and so may all of its properties
        holds_no_null(body)
    assert len(json.dumps(redact_request(result.body))) < 4_096
    assert map_event(stored, MERCHANT, CATALOGUE) == result


def holds_no_null(value) -> None:
    for holder, key in every_place(value):
        assert holder[key] is not None, key


def holds_nothing_empty(value) -> None:
    assert value not in (None, "", "-", [], {}), value
    if isinstance(value, dict):
        for child in value.values():
            holds_nothing_empty(child)
    elif isinstance(value, list):
        for child in value:
            holds_nothing_empty(child)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(names, json_values)
def test_arbitrary_json(name, payload):
    finds_an_end(name, payload)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names,
    st.sampled_from([ORDER, CART, VIEW, LINE]),
    st.lists(st.tuples(st.integers(0, 10**6), json_values), min_size=1, max_size=3),
)
def test_real_payloads_with_anything_anywhere(name, text, changes):
    payload = parse(text)
    for where, value in changes:
        places = list(every_place(payload))
        holder, key = places[where % len(places)]
        holder[key] = copy.deepcopy(value)  # hypothesis hands out the same list again
    finds_an_end(name, payload)


def test_every_odd_value_in_every_place():
    rng = random.Random(1)  # noqa: S311 - it picks names
    for text in (ORDER, CART, VIEW, LINE):
        for place in range(len(list(every_place(parse(text))))):
            for value in ODD:
                payload = parse(text)
                holder, key = list(every_place(payload))[place]
                holder[key] = copy.deepcopy(value)
                finds_an_end(rng.choice([*EventName, *WorkerEventName]), payload)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=20) | st.sampled_from(["gift_wrapped", "Gift wrapped 2"]), json_values, st.booleans())
def test_a_custom_event_of_any_name_with_any_properties(name, properties, whole):
    payload = {"contact": {"email": "a@b.za"}, "properties": properties} if whole else properties
    finds_an_end(name, payload)


def test_every_odd_value_in_every_place_of_a_custom_event():
    for place in range(len(list(every_place(parse(CUSTOM))))):
        for value in ODD:
            payload = parse(CUSTOM)
            holder, key = list(every_place(payload))[place]
            holder[key] = copy.deepcopy(value)
            finds_an_end("gift_wrapped", payload)


@example("x")
@given(st.text(max_size=30))
@settings(max_examples=50, deadline=None)
def test_every_alias_of_a_field_with_anything(word):
    payload = parse(ORDER) | {
        "tracking": {"code": word, "courierURL": word},
        "discounts": [{"amount": 1, "code": word}],
    }
    finds_an_end(
        "order_refunded", payload | {"tags": [word], "refundedLineItems": word, "contact": {"name": word}}
    )


def test_deep_nesting_in_every_place():
    deep = value = []
    for _ in range(100_000):
        value.append([])
        value = value[0]
    for name, text in (("order_refunded", ORDER), ("ordered_product", LINE), ("gift_wrapped", CUSTOM)):
        for place in range(len(list(every_place(parse(text))))):
            payload = parse(text)
            holder, key = list(every_place(payload))[place]
            holder[key] = deep
            finds_an_end(name, payload)
    while deep:  # taken apart level by level: a deep list's own end recurses
        deep = deep.pop()


def every_place(value):
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in list(children):
        yield value, key
        yield from every_place(child)
