"""Events from Python, inside the caller's own transaction."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sandbox.shops import BO_KAAP, KAROO, PROTEA
from sandbox.world import Database
from soldt_outbox import (
    CheckoutStarted,
    CustomEvent,
    Event,
    OrderPlaced,
    ProductAddedToCart,
    ProductViewed,
    enqueue,
    enqueue_async,
    enqueue_many,
    enqueue_many_async,
)
from soldt_outbox.enqueuing import BULK

pytestmark = pytest.mark.both_majors
THEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
CONTACT = {"email": "nomsa@example.com"}


def checkout(cart: str = "c1", shop: Any = PROTEA, **more: Any) -> CheckoutStarted:
    return CheckoutStarted(
        merchant_id=shop.merchant_id, contact=CONTACT, properties={"cartID": cart, "value": 1.50}, **more
    )


@pytest.fixture(autouse=True)
def connections(database: Database) -> None:
    """Protea is connected, Karoo's connection is in error, Bo-Kaap's is disabled."""
    with database.connect() as conn:
        for shop, status in ((PROTEA, "connected"), (KAROO, "error"), (BO_KAAP, "disabled")):
            conn.execute(
                "insert into public.integrations_omnisend (merchant_id, status) values (%s, %s)",
                [shop.merchant_id, status],
            )


def rows(database: Database) -> list[dict[str, Any]]:
    with database.connect() as conn:
        cursor = conn.cursor(row_factory=dict_row)
        return cursor.execute("select * from public.integrations_omnisend_outbox order by id").fetchall()


@pytest.mark.parametrize("role", ["postgres", "service_role", "omnisend_worker"])
def test_an_event_commits_with_the_callers_transaction(database: Database, role: str):
    with database.connect(role) as conn:
        written = enqueue(conn, checkout(occurred_at=THEN))
        assert rows(database) == [], "not before the caller commits"
    (row,) = rows(database)
    assert row["id"] == written
    assert (row["merchant_id"], row["kind"], row["name"]) == (PROTEA.merchant_id, "event", "checkout_started")
    assert (row["dedup_key"], row["occurred_at"], row["state"]) == ("c1", THEN, "pending")
    assert row["payload"] == {"contact": CONTACT, "properties": {"cartID": "c1", "value": 1.5}}
    assert row["ordering_key"] is not None


def test_what_is_rolled_back_was_never_there(database: Database):
    with database.connect() as conn:
        enqueue(conn, checkout("c1"))
        enqueue_many(conn, [checkout("c2"), checkout("c3")])
        conn.rollback()
    assert rows(database) == []


async def test_async_commits_and_rolls_back_alike(database: Database):
    async with await psycopg.AsyncConnection.connect(database.url()) as conn:
        assert await enqueue_async(conn, checkout("c1")) is not None
        await conn.rollback()
        assert rows(database) == []
        first = await enqueue_async(conn, checkout("c1"))
        ids = await enqueue_many_async(conn, [checkout("c1"), checkout("c2")])
        await conn.commit()
    written = rows(database)
    assert [row["dedup_key"] for row in written] == ["c1", "c2"]
    assert [first, ids] == [written[0]["id"], [None, written[1]["id"]]]


def test_a_savepoint_that_fails_takes_its_event_along(database: Database):
    with database.connect() as conn:
        enqueue(conn, checkout("kept"))
        with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():  # noqa: PT012
            enqueue(conn, checkout("lost"))
            conn.execute("select 1/0")
    assert [row["dedup_key"] for row in rows(database)] == ["kept"]


def test_the_same_occurrence_is_written_once(database: Database):
    with database.connect() as conn:
        assert [enqueue(conn, checkout()) is None for _ in range(3)] == [False, True, True]
        assert enqueue_many(conn, [checkout(), checkout()]) == [None, None]
        assert enqueue(conn, checkout(dedup_key="another occurrence")) is not None
    assert len(rows(database)) == 2


def test_nobody_is_told_of_a_merchant_that_is_not_connected_or_disabled(database: Database):
    with database.connect() as conn:
        assert enqueue(conn, checkout(shop=BO_KAAP)) is None
        assert enqueue(conn, checkout(shop=KAROO)) is not None, "with a revoked key events wait"
        ids = enqueue_many(conn, [checkout(shop=BO_KAAP), checkout(), checkout("c2", BO_KAAP)])
    assert [written is None for written in ids] == [True, False, True]


def test_many_events_keep_their_order_across_statements(database: Database):
    events = [checkout(f"c{n}") for n in range(BULK + 3)]
    with database.connect() as conn:
        ids = enqueue_many(conn, iter(events))
        assert enqueue_many(conn, []) == []
    assert ids == sorted(written for written in ids if written is not None)
    written = rows(database)
    assert [row["dedup_key"] for row in written] == [event.dedup_key for event in events]
    assert [row["id"] for row in written] == ids


def test_numbers_arrive_exactly(database: Database):
    order = {"id": 7, "customer_email": "a@b.co", "total": Decimal("1234567890123456.78"), "note": "café 🌸"}
    with database.connect() as conn:
        enqueue(conn, OrderPlaced(merchant_id=PROTEA.merchant_id, order=order))
        text = conn.execute("select payload::text from public.integrations_omnisend_outbox").fetchone()
    assert text is not None
    assert json.loads(text[0], parse_float=Decimal) == order


def test_any_connection_will_do(database: Database):
    """Whatever rows, autocommit or statement preparation the caller has chosen."""
    with psycopg.connect(database.url(), row_factory=dict_row, autocommit=True, prepare_threshold=0) as conn:
        for n in range(3):
            assert enqueue(conn, checkout(f"c{n}")) is not None
        assert None not in enqueue_many(conn, [checkout("d1"), checkout("d2")])
        assert conn.execute("select 1 as one").fetchone() == {"one": 1}
    assert len(rows(database)) == 5


def test_each_kind_of_event_is_written_under_its_name(database: Database):
    merchant = {"merchant_id": PROTEA.merchant_id}
    item = {"productID": 101, "quantity": 2}
    events: list[Event] = [
        ProductViewed(**merchant, properties={"sessionID": "s", "productID": 101}),
        ProductAddedToCart(**merchant, properties={"cartID": "c", "lineItems": [item]}),
        Event.parse("paid_for_order", **merchant, order={"id": 9}),
    ]
    with database.connect() as conn:
        assert None not in enqueue_many(conn, events)
    assert [(row["name"], row["dedup_key"]) for row in rows(database)] == [
        ("product_viewed", "s:101"),
        ("product_added_to_cart", "c:101:2"),
        ("order_paid", "9"),
    ]


def test_an_event_without_a_key_is_told_apart_by_payload_and_instant(database: Database):
    nameless = {"merchant_id": PROTEA.merchant_id, "properties": {"value": 1}}
    event = CheckoutStarted(**nameless, occurred_at=THEN)
    assert event.dedup_key is None
    with database.connect() as conn:
        assert enqueue(conn, event) is not None
        assert enqueue(conn, event) is None
        assert enqueue(conn, CheckoutStarted(**nameless, occurred_at=THEN.replace(second=1))) is not None


def test_a_custom_event_lives_three_days_under_its_own_name(database: Database):
    wrapped = CustomEvent(
        merchant_id=PROTEA.merchant_id,
        event="Gift wrapped",
        contact=CONTACT,
        properties={"price": Decimal("12.50"), "from": None},
        occurred_at=THEN,
    )
    with database.connect() as conn:
        first = enqueue(conn, wrapped)
        told_again = enqueue_many(conn, [wrapped, wrapped.model_copy(update={"dedup_key": "order 7"})])
    written, named = rows(database)
    assert [first, told_again] == [written["id"], [None, named["id"]]]
    assert (written["kind"], written["name"], written["occurred_at"]) == ("event", "Gift wrapped", THEN)
    assert written["expires_at"] - THEN == timedelta(days=3)
    assert written["dedup_key"].startswith("sha256:")
    assert written["ordering_key"] == named["ordering_key"] is not None
    assert written["payload"] == {"contact": CONTACT, "properties": {"price": 12.5, "from": None}}


async def test_a_custom_event_is_written_asynchronously_too(database: Database):
    async with await psycopg.AsyncConnection.connect(database.url()) as conn:
        wrapped = CustomEvent(merchant_id=PROTEA.merchant_id, event="gift_wrapped", dedup_key="7")
        assert await enqueue_async(conn, wrapped) is not None
        assert await enqueue_many_async(conn, [wrapped]) == [None]
        await conn.commit()
    assert [(row["name"], row["dedup_key"]) for row in rows(database)] == [("gift_wrapped", "7")]


def test_an_anonymous_visitor_may_not_write(database: Database):
    for role in ("anon", "authenticated"):
        with database.connect(role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            enqueue(conn, checkout())
