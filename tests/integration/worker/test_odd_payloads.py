"""Whatever gets into the outbox: never a crash, never a blocked queue, and a sentence that names the field."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from sandbox.shops import PROTEA
from soldt_outbox.store import MAX_RESCUES
from tests.support.shop import ITEM, ORDER, claim, place, place_unseen
from tests.support.worker import Fleet, Scene, cart, until

_ORDERS: dict[str, tuple[dict[str, Any], str]] = {
    "no items": ({"items": []}, "items"),
    "items are an object": ({"items": {"a": 1}}, "items"),
    "items are text": ({"items": Jsonb("3 mugs")}, "items"),
    "items of garbage": ({"items": [[[1, None, "x"], {"y": []}]]}, "items"),
    "a price in words": ({"items": [ITEM | {"price": "ten rand"}]}, "price"),
    "a negative price": ({"items": [ITEM | {"price": -1}]}, "price"),
    "10,000 items": ({"items": [ITEM] * 10_000}, "items"),
    "a note of 5 MB": ({"notes": "x" * 5_000_000}, "notes"),
}
_ORDERS_SENT: dict[str, dict[str, Any]] = {
    "emoji": {"customer_name": "Zoë 🧵👗", "items": [ITEM | {"title": "Mug ☕️ \x01"}]},
    "an address in a list": {"shipping_address": [[["x"]]]},
    "a phone longer than Omnisend takes": {"customer_phone": "+49 30 1234567 890123"},
}
_EVENTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no contact": ("checkout_started", {"properties": {"cartID": "1"}}, "missing_identity"),
    "a contact of text": ("checkout_started", cart() | {"contact": "nomsa"}, "contact"),
    "properties of text": ("checkout_started", cart() | {"properties": "all of it"}, "items"),
    "a name that no event may have": ("moon/landed", cart(), "name"),
    "a name like one of Omnisend's": ("order cancelled", cart(), "order_canceled"),
    "a custom event of text": ("moon_landed", cart() | {"properties": "softly"}, "properties"),
    "a custom event with a novel in it": (
        "moon_landed",
        cart() | {"properties": {"diary": {"day": "x" * 10_001}}},
        "properties.diary.day",
    ),
    "a kind of later": (
        "product_viewed",
        cart(items="x", lineItems="x", product="x", productID=None),
        "product",
    ),
}


async def _queue_runs_on(scene: Scene, fleet: Fleet, already: int = 0) -> None:
    scene.enqueue("checkout_started", cart("behind@example.com"), dedup_key="behind")
    await fleet.reached("delivered", already + 1)
    assert scene.omnisend.received()[-1].body["contact"]["email"] == "behind@example.com"


async def test_odd_orders_end_with_a_sentence_that_names_the_field(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect("anon", autocommit=True) as browser:
        for odd, _ in _ORDERS.values():
            place_unseen(browser, **odd)
    async with scene.workers(2) as fleet:
        await fleet.reached("dead", len(_ORDERS))
        await _queue_runs_on(scene, fleet)

    for (what, (_, field)), row in zip(_ORDERS.items(), scene.outbox(), strict=False):
        assert row["state"] == "dead", what
        assert field in row["last_error"], (what, row["last_error"])
        (log,) = scene.logs(row["id"])
        assert log["error"] == row["last_error"]


async def test_odd_orders_that_omnisend_can_be_told_of_are_told(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect() as conn:
        for n, odd in enumerate(_ORDERS_SENT.values()):
            place(conn, customer_email=f"customer-{n}@example.com", **odd)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", len(_ORDERS_SENT))
        await _queue_runs_on(scene, fleet, len(_ORDERS_SENT))


async def test_odd_events_end_with_a_sentence_that_names_the_field(scene: Scene) -> None:
    scene.connect()
    for n, (name, payload, _) in enumerate(_EVENTS.values()):
        scene.enqueue(name, payload, dedup_key=str(n))
    async with scene.workers() as fleet:
        await _queue_runs_on(scene, fleet)
        await until(lambda: "pending" not in scene.states(), "all are settled")

    for (what, (_, _, field)), row in zip(_EVENTS.items(), scene.outbox(), strict=False):
        assert row["state"] in ("dead", "skipped"), what
        assert field in row["last_error"], (what, row["last_error"])


@pytest.mark.parametrize(
    "payload",
    [
        "null",
        "[]",
        '"text"',
        "0",
        "[" * 5000 + "]" * 5000,
        '{"customer_email": "a@example.com", "items": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"customer_email": "a@example.com", "total": ' + "9" * 6000 + "}",
        '{"customer_email": "a@example.com", "total": 1e400, "items": [{"title": "Mug", "price": 1e400, "quantity": 1e400}]}',
        '{"customer_email": "a@example.com", "items": [{"title": "\\\\u0000", "price": "\\\\u0000", "quantity": 1}]}',
        '{"customer_email": "a@example.com", "created_at": "yesterday", "items": [{"title": "Mug", "price": "NaN", "quantity": "Infinity"}]}',
    ],
    ids=[
        "null",
        "list",
        "text",
        "number",
        "deep",
        "deep items",
        "6000 digits",
        "huge",
        "NUL in words",
        "NaN",
    ],
)
async def test_payloads_written_straight_into_the_outbox_block_nothing(scene: Scene, payload: str) -> None:
    scene.connect()
    scene.query(
        "insert into integrations_omnisend_outbox (merchant_id, name, dedup_key, payload) values (%s, 'order_placed', '1', %s::jsonb)",
        [PROTEA.merchant_id, payload],
    )
    scene.enqueue("checkout_started", cart(), dedup_key="beside")
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        await fleet.reached("dead")
        await _queue_runs_on(scene, fleet, 1)

    odd = scene.outbox_states()[0]
    assert odd["state"] == "dead"
    assert odd["last_error"].startswith("cannot be sent: ")


@pytest.mark.parametrize("occurred_at", ["4000-01-01 BC", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
async def test_an_instant_before_pythons_calendar_blocks_nothing(scene: Scene, occurred_at: str) -> None:
    scene.connect()
    scene.enqueue("checkout_started", cart(), dedup_key="1", p_occurred_at=occurred_at)
    async with scene.workers() as fleet:
        await fleet.reached("expired")
        await _queue_runs_on(scene, fleet)


@pytest.mark.parametrize("when", ["infinity", "-infinity", "20000-01-01", "4713-01-01 BC"])
async def test_an_instant_that_no_calendar_has_blocks_nothing(scene: Scene, when: str) -> None:
    scene.connect()
    scene.query(
        """
        insert into integrations_omnisend_outbox (merchant_id, name, dedup_key, payload, occurred_at, expires_at)
        values (%s, 'order_placed', '1', %s, %s, %s)
        """,
        [PROTEA.merchant_id, Jsonb({key: str(value) for key, value in ORDER.items()}), when, when],
    )
    async with scene.workers() as fleet:
        await _queue_runs_on(scene, fleet)

    assert scene.query("select state::text from integrations_omnisend_outbox where dedup_key = '1'") != [
        {"state": "pending"}
    ]


async def test_a_variant_that_cannot_be_read_keeps_no_order_from_being_told(scene: Scene) -> None:
    """PostgreSQL stores what is nested deeper than JSON is read here."""
    scene.connect()
    scene.query(
        "insert into product_variants (product_id, price, option_values) values (%s, 1, (%s || 'null' || %s)::jsonb)",
        [ITEM["product_id"], '{"a":' * 3000, "}" * 3000],
    )
    with scene.database.connect() as conn:
        place(conn)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")


async def test_what_workers_die_of_is_not_loaded_again_to_say_so(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect("anon", autocommit=True) as browser:
        place_unseen(browser, items=[ITEM], notes="x" * 5_000_000)
    scene.query("update integrations_omnisend_outbox set rescues = %s", [MAX_RESCUES])
    with scene.database.connect("omnisend_worker") as conn:
        assert claim(conn, column="payload") == [None]
        conn.rollback()
    async with scene.workers() as fleet:
        await fleet.reached("dead")
    assert "lease ran out" in scene.outbox_states()[0]["last_error"]


async def test_a_catalogue_that_cannot_be_read_keeps_no_order_from_being_told(scene: Scene) -> None:
    """SOLDT may change its products table under a running worker."""
    scene.connect()
    scene.query("alter table product_variants rename column sku to stock_number")
    with scene.database.connect() as conn:
        place(conn)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
