"""Events beside the eight: a merchant's own, and the lines of an order."""

from __future__ import annotations

from sandbox.shops import PROTEA
from soldt_outbox import CustomEvent, enqueue
from soldt_outbox.following import ordered_products
from soldt_outbox.json_objects import encode
from tests.support.shop import ITEM, place
from tests.support.worker import Scene
from tests.unit.omnisend.shapes import row as claimed


async def test_a_custom_event_is_delivered_with_its_properties(scene: Scene) -> None:
    scene.connect()
    wrapped = CustomEvent(
        merchant_id=PROTEA.merchant_id,
        event="gift_wrapped",
        contact={"email": "Nomsa@example.com", "firstName": "Nomsa"},
        properties={"paper": "kraft", "price": 12.5, "to": {"name": "Sipho", "card": None}, "value": "high"},
        dedup_key="order 7",
    )
    with scene.database.connect() as conn:
        enqueue(conn, wrapped)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")

    (sent,) = scene.omnisend.received()
    assert (sent.event_name, sent.findings) == ("gift_wrapped", [])
    assert (sent.body["origin"], sent.body["eventVersion"]) == ("api", "")
    assert sent.body["contact"] == {"email": "nomsa@example.com", "firstName": "Nomsa"}
    assert sent.body["properties"] == {
        "paper": "kraft",
        "price": 12.5,
        "to": {"name": "Sipho"},
        "value": "high",
    }
    (log,) = scene.logs()
    assert (log["name"], log["outcome"], log["request"]["eventName"]) == (
        "gift_wrapped",
        "delivered",
        "gift_wrapped",
    )
    for personal in ("nomsa@", "Sipho", "kraft"):
        assert personal not in str(log)


async def test_a_customer_s_custom_event_waits_for_what_happened_before_it(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect() as conn:
        place(conn, customer_email="nomsa@example.com")
        for n in range(3):
            enqueue(
                conn,
                CustomEvent(
                    merchant_id=PROTEA.merchant_id,
                    event=f"step {n}",
                    contact={"email": "nomsa@example.com"},
                ),
            )
    async with scene.workers(2) as fleet:
        await fleet.reached("delivered", 4)

    assert [one.event_name for one in scene.omnisend.received()] == [
        "placed order",
        "step 0",
        "step 1",
        "step 2",
    ]


async def test_the_lines_of_an_order_are_delivered_one_by_one(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect() as conn:
        order_id = place(conn, items=[ITEM, ITEM | {"title": "Second"}])
        order = conn.execute("select to_jsonb(o) from orders o where id = %s", [order_id]).fetchone()
        assert order is not None
        for line in ordered_products(claimed("order_placed", order[0])):
            conn.execute(
                """
                insert into integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, ordering_key, payload)
                values (%(merchant)s, %(kind)s, %(name)s, %(key)s, omnisend_private.ordering_key(%(merchant)s, %(by)s), %(payload)s::jsonb)
                """,
                {
                    "merchant": PROTEA.merchant_id,
                    "kind": line.kind.value,
                    "name": line.name,
                    "key": line.dedup_key,
                    "by": line.ordered_by,
                    "payload": encode(line.payload).decode(),
                },
            )
    assert len({row["ordering_key"] for row in scene.outbox()}) == 1, "the order's own"
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 3)

    placed, *lines = scene.omnisend.received()
    assert [(one.event_name, one.findings) for one in lines] == [("ordered product", [])] * 2
    assert [one.body["properties"] for one in lines] == [
        {"orderID": str(order_id), "product": item} for item in placed.body["properties"]["lineItems"]
    ]
    logged = scene.logs()[1]["request"]["properties"]
    assert logged["orderID"] == str(order_id)
    assert logged["product"]["productID"] == placed.body["properties"]["lineItems"][0]["productID"]
