"""The way of a row: from the order's transaction to Omnisend, and on record."""

from __future__ import annotations

import signal

import psycopg
import pytest

from sandbox.omnisend import Fault
from sandbox.shops import KAROO, PROTEA, STRANGER_ID
from soldt_outbox.database import open_database
from soldt_outbox.sql import queries
from soldt_outbox.store import Budget, Store
from tests.support.shop import ORDER, admin, change, claim, outbox, place, place_unseen
from tests.support.worker import PLENTY, Scene, cart

_LOGS = "select name, outcome from integrations_omnisend_logs"


async def test_an_order_placed_by_a_browser_is_delivered_and_its_owner_reads_the_log(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect("anon", autocommit=True) as browser:
        place_unseen(browser, tax=0, payment_method="eft")
    async with scene.workers() as fleet:
        await fleet.reached("delivered")

    (sent,) = scene.omnisend.received()
    assert (sent.event_name, sent.findings) == ("placed order", [])
    (row,) = scene.outbox()
    assert (row["state"], row["attempts"], row["payload"], row["ordering_key"]) == (
        "delivered",
        1,
        None,
        None,
    )
    with admin(scene.database) as owner:
        assert owner.execute(_LOGS).fetchall() == [("order_placed", "delivered")]
    with admin(scene.database, KAROO) as other:
        assert other.execute(_LOGS).fetchall() == []
    with scene.database.connect("authenticated", claims={"sub": STRANGER_ID}) as stranger:
        assert stranger.execute(_LOGS).fetchall() == []
    with scene.database.connect("anon") as browser, pytest.raises(psycopg.errors.InsufficientPrivilege):
        browser.execute(_LOGS)


async def test_every_attempt_tells_the_order_as_it_was_placed_and_no_copy_of_it_stays(scene: Scene) -> None:
    scene.connect()
    with admin(scene.database) as conn:
        order_id = place(conn, notes=None, customer_name="Nomsa Dlamini")
        change(conn, order_id, notes="before the first attempt")
        scene.omnisend.add_fault(Fault(kind="status", status=500, count=1))
        async with scene.workers() as fleet:
            await fleet.reached("retry")
            change(conn, order_id, notes="between two attempts", customer_name="Somebody Else")
            await fleet.reached("delivered")

    first, second = scene.omnisend.received()
    assert first.body_sha256 == second.body_sha256
    assert second.body["contact"]["firstName"] == "Nomsa"
    assert "note" not in second.body["properties"]
    assert scene.query("select * from omnisend_private.kept_orders") == []


async def test_an_order_that_was_rolled_back_tells_nobody(scene: Scene) -> None:
    scene.connect()
    with scene.database.connect() as conn:
        place(conn, customer_email="never@example.com")
        conn.rollback()
        place(conn, customer_email="kept@example.com")
    async with scene.workers() as fleet:
        await fleet.reached("delivered")

    assert [one.body["contact"]["email"] for one in scene.omnisend.received()] == ["kept@example.com"]


async def test_what_happened_once_is_told_once_however_often_it_is_written(scene: Scene) -> None:
    scene.connect()
    with admin(scene.database) as conn:
        order_id = place(conn, tracking_number="TRK1")
        change(conn, order_id, status="shipped")
        change(conn, order_id, status="processing")
        change(conn, order_id, status="delivered")
    for _ in range(3):
        scene.enqueue("checkout_started", cart("sipho@example.com"), dedup_key="checkout-1")
    async with scene.workers(2) as fleet:
        await fleet.reached("delivered", 3)
        with admin(scene.database) as conn:
            change(conn, order_id, status="shipped")
        assert scene.enqueue("checkout_started", cart("sipho@example.com"), dedup_key="checkout-1") is None
        scene.enqueue("product_added_to_cart", cart("last@example.com"), dedup_key="last")
        await fleet.reached("delivered", 4)

    told = [one.event_name for one in scene.omnisend.received()]
    assert sorted(map(str, told)) == [
        "added product to cart",
        "order fulfilled",
        "placed order",
        "started checkout",
    ]
    assert scene.omnisend.summary().total.duplicates == 0


async def test_an_order_shipped_without_a_tracking_number_is_told_once_the_number_is_there(
    scene: Scene,
) -> None:
    scene.connect()
    with admin(scene.database) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 1)
        placed, waiting = outbox(scene.database)
        assert (placed.state, waiting.name, waiting.state) == ("delivered", "order_fulfilled", "pending")
        with admin(scene.database) as conn:
            change(conn, order_id, tracking_number="ZA123", tracking_carrier="Ram")
        await fleet.reached("delivered", 2)

    fulfilled = scene.omnisend.received()[-1]
    assert fulfilled.event_name == "order fulfilled"
    assert "ZA123" in str(fulfilled.body)


async def test_a_log_row_tells_what_was_sent_and_hides_whom_it_was_about(scene: Scene) -> None:
    brand = scene.connect()
    with scene.database.connect() as conn:
        place(conn, notes="ring twice at 12 Long Street")
    async with scene.workers() as fleet:
        await fleet.reached("delivered")

    (log,) = scene.logs()
    assert (log["status_code"], log["attempt"], log["outcome"], log["direction"]) == (
        202,
        1,
        "delivered",
        "outbound",
    )
    assert log["request"]["eventName"] == "placed order"
    assert log["request"]["properties"]["totalPrice"] == 149.5
    (sent,) = scene.omnisend.received()
    assert str(log["event_id"]) == sent.event_id
    everything = str(log)
    for secret in ("nomsa@", "Dlamini", "1234567", "Long Street", brand.key, brand.key.partition("-")[2]):
        assert secret not in everything


async def test_the_program_log_names_no_customer_and_no_key(scene: Scene) -> None:
    brand = scene.connect()
    scene.connect(KAROO, known=False)
    with scene.database.connect() as conn:
        place(conn)
        place(conn, items={"not": "a list"})
        place(conn, merchant_id=KAROO.merchant_id)
    async with scene.process() as worker:
        delivered = await worker.says("delivered")
        await worker.says("dead")
        await worker.says("release")
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0

    assert delivered["correlation_id"] == scene.omnisend.received(brand=brand.brand_id)[0].event_id
    for secret in (
        ORDER["customer_email"],
        "nomsa",
        "Dlamini",
        "1234567",
        "Long Street",
        brand.key,
        scene.key_text,
    ):
        assert secret not in worker.said


async def test_a_row_without_anybody_to_tell_is_skipped_and_says_so(scene: Scene) -> None:
    scene.connect()
    payload = cart()
    payload["contact"] = {"email": "nobody"}
    scene.enqueue("checkout_started", payload, dedup_key="1")
    async with scene.workers() as fleet:
        await fleet.reached("skipped")

    (row,) = scene.outbox()
    assert (row["state"], row["payload"]) == ("skipped", None)
    assert row["last_error"].startswith("missing_identity: ")
    assert [log["outcome"] for log in scene.logs()] == ["skipped"]
    assert scene.omnisend.received() == []


async def test_old_news_is_not_told(scene: Scene) -> None:
    scene.connect()
    scene.enqueue("product_added_to_cart", cart(), dedup_key="1", p_occurred_at="2020-01-01T00:00:00Z")
    scene.enqueue("product_added_to_cart", cart(), dedup_key="2")
    async with scene.workers() as fleet:
        await fleet.reached("expired")
        await fleet.reached("delivered")

    assert [row["state"] for row in scene.outbox()] == ["expired", "delivered"]
    assert len(scene.omnisend.received()) == 1


async def test_what_was_in_hand_when_a_shop_was_disconnected_is_not_sent_after_it_connects_again(
    scene: Scene,
) -> None:
    brand = scene.connect()
    with scene.database.connect() as conn:
        place(conn)
    with scene.database.connect("omnisend_worker") as worker:
        assert len(claim(worker)) == 1
        worker.commit()
        worker.execute(queries["disconnect"], {"merchant_id": PROTEA.merchant_id})
        assert worker.execute(queries["skip_waiting"], {"merchant_id": PROTEA.merchant_id}).fetchall() == []
        worker.commit()
    scene.let_leases_run_out()
    async with open_database(scene.database.url("omnisend_worker"), application_name="test") as database:
        assert await Store(database, budget=Budget.below(PLENTY)).expire_waiting(limit=10) == 1
    (row,) = scene.outbox()
    assert (row["state"], row["last_error"], row["payload"]) == ("skipped", "disconnected", None)
    (log,) = scene.logs(row["id"])
    assert (log["outcome"], log["error"]) == ("skipped", "disconnected")
    scene.store_key(PROTEA, brand.key)
    async with scene.workers() as fleet:
        scene.enqueue("checkout_started", cart(), dedup_key="later")
        await fleet.reached("delivered")
    assert [one.event_name for one in scene.omnisend.received()] == ["started checkout"]


async def test_events_of_a_disabled_shop_are_neither_sent_nor_lost(scene: Scene) -> None:
    scene.connect()
    scene.connect(KAROO)
    with scene.database.connect() as conn:
        place(conn)
        place(conn, merchant_id=KAROO.merchant_id)
        conn.execute(
            "update integrations_omnisend set status = 'disabled' where merchant_id = %s",
            [PROTEA.merchant_id],
        )
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        (waiting,) = scene.outbox(PROTEA)
        assert (waiting["state"], waiting["attempts"]) == ("pending", 0)
        with scene.database.connect() as conn:
            conn.execute("update integrations_omnisend set status = 'connected'")
        await fleet.reached("delivered", 2)
