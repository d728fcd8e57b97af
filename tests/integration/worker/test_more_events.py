"""Events beside the eight: a merchant's own, and the lines of an order."""

from __future__ import annotations

from sandbox.omnisend import Fault
from sandbox.shops import PROTEA
from soldt_outbox import CustomEvent, enqueue
from tests.support.shop import ITEM, place
from tests.support.worker import Scene


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
    scene.switch_on("ordered_products")
    scene.omnisend.add_fault(Fault(kind="delay", event_name="ordered product", delay_s=0.3, count=1))
    with scene.database.connect() as conn:
        order_id = place(conn, items=[ITEM, ITEM | {"title": "Second"}])
    (waiting,) = scene.outbox()
    async with scene.workers() as fleet:
        await scene.omnisend.wait_for(2, of="received")
        order, *rows = scene.outbox()
        await fleet.reached("delivered", 3)

    written = {(row["name"], row["ordering_key"], row["created_at"]) for row in rows}
    assert written == {("ordered_product", waiting["ordering_key"], order["settled_at"])}, (
        "under the order's own key, in the transaction that settled it"
    )
    placed, *lines = scene.omnisend.received()
    assert [(one.event_name, one.findings) for one in lines] == [("ordered product", [])] * 2
    assert [one.body["properties"] for one in lines] == [
        {"orderID": str(order_id), "product": item} for item in placed.body["properties"]["lineItems"]
    ]
    logged = scene.logs()[1]["request"]["properties"]
    assert logged["orderID"] == str(order_id)
    assert logged["product"]["productID"] == placed.body["properties"]["lineItems"][0]["productID"]
