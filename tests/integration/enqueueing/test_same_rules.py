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
from soldt_outbox.events import ALIASES, EVENTS, EventName, OrderEvent, canonical_name, dedup_part

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
