"""Python and the database know the same names and keys: one rule in two places, compared on many inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.errors import InvalidEvent
from soldt_outbox.events import (
    ALIASES,
    EVENTS,
    CustomEvent,
    EventName,
    OrderEvent,
    canonical_name,
    custom_name,
    dedup_part,
)
from soldt_outbox.following import CONTACT_TIME_TO_LIVE, LINE_TIME_TO_LIVE, customer_of
from soldt_outbox.json_objects import MAX_PLACES, encode, json_object

# One database serves every example: nothing is written.
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
keyish = st.text("aB9 ._-:/#\tÄß\u00a0\u1e9e\u0130", max_size=12) | text
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1_000_000, max_value=1_000_000)
    | st.sampled_from(
        [1e22, 1.5e-7, -0.0, Decimal("1E+22"), Decimal("-0.00"), Decimal("1.50"), Decimal("1E+500")]
    )
    | keyish
)
value = scalar | st.lists(scalar, max_size=2) | st.dictionaries(keyish, scalar, max_size=2)


def having(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of these fields, or none."""
    return st.fixed_dictionaries({}, optional=fields)


item = having(productID=value, productQuantity=value, quantity=value)
properties = having(
    cartID=value,
    sessionID=value,
    productID=value,
    quantity=value,
    productQuantity=value,
    orderID=value,
    addedItem=item | value,
    product=having(id=value) | value,
    lineItems=st.lists(item | value, max_size=3) | value,
)


@pytest.fixture
def asked(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect(autocommit=True) as conn:
        yield conn


def ask(conn: psycopg.Connection, query: str, *parameters: Any) -> Any:
    row = conn.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def test_every_alias_means_the_same(asked: psycopg.Connection):
    for alias, name in ALIASES.items():
        assert ask(asked, "select omnisend_private.canonical_name(%s)", alias) == name


@many
@given(st.sampled_from(sorted(ALIASES)) | keyish)
def test_a_name_that_python_knows_is_the_databases(asked: psycopg.Connection, alias: str):
    theirs = ask(asked, "select omnisend_private.canonical_name(btrim(%s))", alias)
    try:
        ours = canonical_name(alias)
    except InvalidEvent:
        assert theirs not in set(EventName) or alias.strip(" ") != alias.strip()
    else:
        assert alias.strip(" ") != alias.strip() or theirs == ours


@many
@given(keyish)
@example("\u0130")
@example("\u1e9e")
@example("ΑΣ")
@example("\u00a0x\u00a0")
@example("\t x \n")
def test_a_part_of_a_dedup_key_reads_the_same(asked: psycopg.Connection, part: str):
    theirs = ask(asked, "select omnisend_private.dedup_part(%s)", part)
    assert (theirs or "") == dedup_part(part)


@many
@given(
    name=st.sampled_from(sorted(EVENTS)),
    properties=properties,
    order_id=st.none() | value,
    whole=st.booleans(),
)
@example(name=EventName.ORDER_PLACED, properties={"orderID": "A-1"}, order_id=None, whole=False)
@example(
    name=EventName.PRODUCT_ADDED_TO_CART,
    properties={"cartID": "c", "addedItem": "x", "productID": 1},
    order_id=None,
    whole=True,
)
def test_the_default_key_is_the_databases(
    asked: psycopg.Connection, name: EventName, properties: dict[str, Any], order_id: Any, whole: bool
):
    """Where Python names the occurrence, the database would have named it the same."""
    made = EVENTS[name]
    order = ({"properties": properties} if whole else properties) | (
        {} if order_id is None else {"id": order_id}
    )
    fields = {"order": order} if issubclass(made, OrderEvent) else {"properties": properties}
    try:
        event = made(merchant_id=PROTEA.merchant_id, **fields)
    except InvalidEvent:
        return  # an order event without an id is not written from Python
    theirs = ask(
        asked,
        "select omnisend_private.default_dedup_key(%s, %s::jsonb, now())",
        name.value,
        event.payload_json(),
    )
    if event.dedup_key is None:
        assert theirs.startswith("sha256:")
    else:
        assert theirs == event.dedup_key, json.dumps(event.payload(), default=str)


@many
@given(properties=properties, name=st.sampled_from(["gift_wrapped", "Gift wrapped"]))
def test_a_custom_event_is_its_payload_and_instant_in_both(
    asked: psycopg.Connection, properties: dict[str, Any], name: str
):
    try:
        event = CustomEvent(merchant_id=PROTEA.merchant_id, event=name, properties=properties)
    except InvalidEvent:
        return  # more digits than are sent
    assert event.dedup_key is None
    assert ask(asked, "select omnisend_private.canonical_name(btrim(%s))", name) == event.name
    key = ask(
        asked, "select omnisend_private.default_dedup_key(%s, %s::jsonb, now())", name, event.payload_json()
    )
    assert key.startswith("sha256:")


@many
@given(st.text("aO1 ._-", max_size=6) | keyish)
def test_the_database_takes_every_name_that_python_does(asked: psycopg.Connection, name: str):
    try:
        taken = custom_name(name)
    except ValueError:
        return
    assert ask(asked, "select omnisend_private.canonical_name(btrim(%s))", str(taken)) == taken


stated = (
    st.none()
    | st.sampled_from([" A@b.za ", "", "  ", "082 123 4567", "+27 (82) 123-4567", 27821234567])
    | scalar
)
someone = having(email=stated, phone=stated, id=stated)


@many
@given(
    having(
        customer_email=stated,
        customer_phone=stated,
        contact=someone | scalar,
        properties=having(cartID=stated) | scalar,
    )
)
def test_what_follows_an_order_is_ordered_by_the_databases_customer(
    asked: psycopg.Connection, payload: dict[str, Any]
):
    try:
        text = encode(json_object(payload)).decode()
    except ValueError:
        return  # no number that JSON has, so none that is stored
    stored = json.loads(text, parse_float=Decimal)
    assert customer_of(stored) == ask(asked, "select omnisend_private.customer_of(%s::jsonb)", text)


def test_what_follows_an_order_lives_as_long_as_the_database_says(asked: psycopg.Connection):
    lives = "select omnisend_private.time_to_live(%s, %s)"
    assert ask(asked, lives, "event", EventName.ORDER_PLACED.value) == LINE_TIME_TO_LIVE
    assert ask(asked, lives, "contact", "contact_changed") == CONTACT_TIME_TO_LIVE


def test_python_takes_the_decimal_places_that_the_database_takes(asked: psycopg.Connection):
    for digit in "01":
        smallest, too_small = (Decimal(f"{digit}E-{places}") for places in (MAX_PLACES, MAX_PLACES + 1))
        text = encode(json_object({"n": smallest})).decode()
        assert ask(asked, "select scale((%s::jsonb -> 'n')::numeric)", text) == MAX_PLACES
        with pytest.raises(ValueError, match="decimal places"):
            json_object({"n": too_small})
        with pytest.raises(psycopg.errors.NumericValueOutOfRange):
            ask(asked, "select %s::jsonb", f'{{"n": {too_small}}}')


def test_an_order_lives_as_long_as_the_columns_default_says(asked: psycopg.Connection):
    """The trigger on orders leaves expires_at to the default, which must be the function's answer."""
    asked.execute("insert into public.integrations_omnisend (merchant_id) values (%s)", [PROTEA.merchant_id])
    by_default = ask(
        asked,
        """insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key)
        values (%s, 'order_placed', '1') returning expires_at - created_at""",
        PROTEA.merchant_id,
    )
    for name in EventName:
        if name.startswith("order_"):
            assert by_default == ask(asked, "select omnisend_private.time_to_live('event', %s)", name.value)
