"""A key that Omnisend refuses, or that cannot be opened: the merchant's rows wait, and nobody else's."""

from __future__ import annotations

import pytest

from sandbox.omnisend import BrandSpec, Fault, KeySpec, new_key
from sandbox.shops import BO_KAAP, KAROO, PROTEA
from soldt_outbox.credentials import KeyRing
from tests.support.shop import place
from tests.support.worker import Scene, cart, names_by_customer


def _story(scene: Scene, email: str = "nomsa@example.com") -> None:
    for name in ("product_added_to_cart", "checkout_started", "order_placed"):
        payload = cart(email) if name != "order_placed" else None
        if payload is None:
            with scene.database.connect() as conn:
                place(conn, customer_email=email)
        else:
            scene.enqueue(name, payload)


async def test_a_wrong_key_stops_its_merchant_alone_until_a_new_one_drains_what_waited_in_order(
    scene: Scene,
) -> None:
    brand = scene.connect(PROTEA, known=False)
    scene.connect(KAROO)
    for n in range(6):
        _story(scene, f"customer-{n}@example.com")
    async with scene.workers(2) as fleet:
        await fleet.reached("release", 6)
        with scene.database.connect() as conn:
            for n in range(20):
                place(conn, merchant_id=KAROO.merchant_id, customer_email=f"other-{n}@example.com")
        await fleet.reached("delivered", 20)

        connection, lane = scene.connection(), scene.lane()
        assert (connection["status"], connection["last_error"]) == ("error", "AUTH")
        assert "connect again" in connection["last_error_detail"]
        assert lane["pause_reason"] == "AUTH"
        assert lane["paused_for"] > 600
        waiting = scene.outbox(PROTEA)
        assert {(row["state"], row["attempts"]) for row in waiting} == {("pending", 0)}
        refused = [log for log in scene.logs() if log["outcome"] == "release"]
        assert {log["status_code"] for log in refused} == {401}
        latencies = [row["settled_at"] - row["created_at"] for row in scene.outbox(KAROO)]
        assert max(latencies).total_seconds() < 5

        good = new_key(brand.brand_id)
        scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, keys=[KeySpec(good)]))
        scene.store_key(PROTEA, good)
        await fleet.reached("delivered", 20 + 18)

    connection = scene.connection()
    assert (connection["status"], connection["last_error"]) == ("connected", None)
    accepted = [one for one in scene.omnisend.received(brand=brand.brand_id) if one.accepted]
    for told in names_by_customer(accepted).values():
        assert told == ["added product to cart", "started checkout", "placed order"]


@pytest.mark.parametrize(
    ("status", "code", "words"), [(402, "PAYMENT", "billing"), (403, "FORBIDDEN", "events.write")]
)
async def test_what_only_an_admin_can_mend_pauses_the_lane_with_a_sentence(
    scene: Scene, status: int, code: str, words: str
) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=status))
    _story(scene)
    async with scene.workers() as fleet:
        await fleet.reached("release")

    connection = scene.connection()
    assert (connection["status"], connection["last_error"]) == ("error", code)
    assert words in connection["last_error_detail"]
    assert scene.lane()["pause_reason"] == code
    assert {(row["state"], row["attempts"]) for row in scene.outbox()} == {("pending", 0)}


async def test_while_a_lane_is_broken_one_row_at_a_time_goes_out_to_see(scene: Scene) -> None:
    brand = scene.connect(known=False)
    for n in range(30):
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"))
    async with scene.workers(4) as fleet:
        await fleet.reached("release", 1)
    scene.omnisend.reset()
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.3))
    async with scene.workers(4) as fleet:
        for probe in range(1, 4):
            scene.end_pause()
            await scene.omnisend.wait_for(probe, of="settled")
            await fleet.reached("release", probe)
            assert scene.omnisend.summary().total.received == probe
            assert scene.lane()["pause_reason"] == "AUTH"
        good = new_key(brand.brand_id)
        scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, keys=[KeySpec(good)]))
        scene.store_key(PROTEA, good)
        await fleet.reached("delivered", 30)


async def test_a_brand_that_pays_again_is_noticed_by_the_next_probe(scene: Scene) -> None:
    brand = scene.connect()
    scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, payment_required=True))
    for n in range(10):
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"))
    async with scene.workers() as fleet:
        await fleet.reached("release", 1)
    assert scene.connection()["last_error"] == "PAYMENT"
    scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, payment_required=False))
    async with scene.workers() as fleet:
        scene.end_pause()
        await fleet.reached("delivered", 10)

    connection, lane = scene.connection(), scene.lane()
    assert (connection["status"], connection["last_error"], connection["last_error_detail"]) == (
        "connected",
        None,
        None,
    )
    assert (lane["paused_until"], lane["pause_reason"], lane["failures_in_row"]) == (None, None, 0)


async def test_a_probe_that_tells_nothing_makes_room_for_the_next(scene: Scene) -> None:
    """Behind a pause lie rows that are not sent at all: each may not cost another lease's wait."""
    scene.connect()
    for n in range(5):
        nobody = cart(f"customer-{n}@example.com")
        nobody["contact"] = {}
        scene.enqueue("checkout_started", nobody, dedup_key=str(n))
    scene.enqueue("checkout_started", cart())
    scene.query(
        "insert into integrations_omnisend_lanes (merchant_id, failures_in_row, paused_until, pause_reason) values (%s, 3, now(), 'AUTH')",
        [PROTEA.merchant_id],
    )
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        assert fleet.counts["skipped"] == 5


async def test_a_key_revoked_in_mid_flight_loses_nothing(scene: Scene) -> None:
    brand = scene.connect()
    for n in range(40):
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"))
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.02))
    async with scene.workers(worker_concurrency=4) as fleet:
        await fleet.reached("delivered", 5)
        scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, keys=[]))
        await fleet.reached("release")
        good = new_key(brand.brand_id)
        scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, keys=[KeySpec(good)]))
        scene.store_key(PROTEA, good)
        await fleet.reached("delivered", 40)

    assert {row["attempts"] for row in scene.outbox()} == {1}
    assert scene.connection()["status"] == "connected"


async def test_a_key_replaced_while_the_old_one_is_under_way_breaks_nothing(scene: Scene) -> None:
    """The refusal is about a key that is not the merchant's any more: the new one is not punished for it."""
    brand = scene.connect()
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.5, count=1))
    scene.enqueue("checkout_started", cart())
    async with scene.workers() as fleet:
        await scene.omnisend.wait_for(1, of="received")
        good = new_key(brand.brand_id)
        scene.omnisend.change_brand(BrandSpec(brandID=brand.brand_id, keys=[KeySpec(good)]))
        scene.omnisend.clear_faults()
        scene.enqueue("checkout_started", cart("second@example.com"))
        await fleet.reached("release")
        scene.store_key(PROTEA, good)
        await fleet.reached("delivered", 2)
    assert scene.connection()["status"] == "connected"


async def test_a_credential_that_cannot_be_opened_pauses_its_lane_and_asks_nobody(scene: Scene) -> None:
    scene.connect(PROTEA)
    scene.connect(KAROO)
    scene.connect(BO_KAAP)
    foreign = KeyRing.parse(KeyRing.generate("k2")).encrypt(
        "x", merchant_id=PROTEA.merchant_id, column="api_key_enc"
    )
    stolen = scene.connection(KAROO)["api_key_enc"]
    scene.query(
        "update integrations_omnisend set api_key_enc = %s where merchant_id = %s",
        [foreign, PROTEA.merchant_id],
    )
    scene.query(
        "update integrations_omnisend set api_key_enc = %s, updated_at = '2020-01-01' where merchant_id = %s",
        [stolen, BO_KAAP.merchant_id],
    )
    scene.query(
        "update integrations_omnisend set updated_at = now() + interval '1 hour' where merchant_id = %s",
        [KAROO.merchant_id],
    )
    for shop in (PROTEA, KAROO, BO_KAAP):
        scene.enqueue("checkout_started", cart(), shop=shop)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        await fleet.reached("release", 2)

    for shop, words in ((PROTEA, "needs key 'k2'"), (BO_KAAP, "moved from another row or column")):
        connection = scene.connection(shop)
        assert (connection["status"], connection["last_error"]) == ("error", "CREDENTIAL")
        assert words in connection["last_error_detail"]
        assert [row["attempts"] for row in scene.outbox(shop)] == [0]
    assert scene.omnisend.summary().total.received == 1
