"""From a change of the shop's catalogue to Omnisend's products and categories."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.omnisend import Fault
from sandbox.shops import PROTEA
from tests.support.selling import MUG, SHIRT, SUMMER, reprice, update
from tests.support.worker import Scene, cart


@pytest.fixture
def brand(scene: Scene) -> str:
    """Protea's brand, which is told of the catalogue."""
    brand = scene.connect().brand_id
    scene.switch_on("sync_catalogue")
    return brand


def _requests(scene: Scene) -> list[tuple[str, str]]:
    return [(one.method, one.path.split("/", 2)[2]) for one in scene.omnisend.received()]


def _price(product: dict[str, Any]) -> float:
    (variant,) = product["variants"]
    return float(variant["price"])


async def test_a_thousand_prices_while_its_merchant_is_paused_are_one_request_with_the_last(
    scene: Scene, brand: str
) -> None:
    scene.query(
        """insert into integrations_omnisend_lanes (merchant_id, paused_until, pause_reason)
        values (%s, now() + interval '1 hour', 'FAILING')""",
        [PROTEA.merchant_id],
    )
    for cents in range(1, 1001):
        with scene.database.connect() as conn:
            reprice(conn, 100 + cents / 100)
    async with scene.workers() as fleet:
        await fleet.reached("rounds", 3)
        assert scene.omnisend.received() == []
        scene.end_pause()
        await fleet.reached("delivered")
        await fleet.reached("rounds", fleet.counts["rounds"] + 5)
    assert _requests(scene) == [("PUT", f"products/{MUG}"), ("POST", "products")]
    (product,) = scene.omnisend.products(brand)
    assert _price(product.content) == 110


async def test_what_changes_while_it_is_being_sent_is_sent_again(scene: Scene, brand: str) -> None:
    with scene.database.connect() as conn:
        reprice(conn, 50)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.3, count=1))
        with scene.database.connect() as conn:
            reprice(conn, 60)
        await scene.omnisend.wait_for(3, of="received")
        with scene.database.connect() as conn:
            reprice(conn, 70)
        assert scene.omnisend.received()[-1].outcome == "pending", "the answer is yet to come"
        await fleet.reached("delivered", 3)
    assert _requests(scene)[2:] == [("PUT", f"products/{MUG}")] * 2
    assert [_price(one.body) for one in scene.omnisend.received()[2:]] == [60, 70]
    (product,) = scene.omnisend.products(brand)
    assert _price(product.content) == 70


async def test_a_deleted_product_is_deleted_whatever_happened_to_it_before(scene: Scene, brand: str) -> None:
    with scene.database.connect() as conn:
        reprice(conn, 50)
        reprice(conn, 70, SHIRT)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 2)
        assert {product.product_id for product in scene.omnisend.products(brand)} == {str(MUG), str(SHIRT)}
        with scene.database.connect() as conn:
            reprice(conn, 55)
            conn.execute("delete from public.products where id = %s", [MUG])
        await fleet.reached("delivered", 3)
    assert [product.product_id for product in scene.omnisend.products(brand)] == [str(SHIRT)]


async def test_a_collection_is_a_category_and_its_products_are_in_it(scene: Scene, brand: str) -> None:
    with scene.database.connect() as conn:
        update(conn, "collections", SUMMER, name="Winter")
        reprice(conn, 70, SHIRT)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 2)
    assert [(one.category_id, one.title) for one in scene.omnisend.categories(brand)] == [
        (str(SUMMER), "Winter")
    ]
    (product,) = scene.omnisend.products(brand)
    assert str(SUMMER) in product.content["categoryIDs"]


async def test_without_the_permission_the_catalogue_waits_and_orders_go_on(scene: Scene) -> None:
    scene.connect(permissions=["events.write", "brands.read"])
    scene.switch_on("sync_catalogue")
    with scene.database.connect() as conn:
        reprice(conn, 50)
    async with scene.workers() as fleet:
        await fleet.reached("release")
        scene.enqueue("checkout_started", cart("nomsa@example.com"))
        await fleet.reached("delivered")
    assert {(row["kind"], row["state"], row["attempts"]) for row in scene.outbox()} == {
        ("product", "pending", 0),
        ("event", "delivered", 1),
    }
    assert scene.connection()["status"] == "connected"
    (told,) = [log["error"] for log in scene.logs() if log["kind"] == "lane"]
    assert "products.write" in told


async def test_a_look_up_that_was_revoked_deletes_nothing(scene: Scene, brand: str) -> None:
    with scene.database.connect() as conn:
        reprice(conn, 50)
        conn.execute(
            "revoke execute on function omnisend_private.shop_products(uuid[], bigint[]) from omnisend_worker"
        )
    async with scene.workers() as fleet:
        await fleet.reached("retry")
    assert scene.omnisend.received() == []
    (row,) = scene.outbox()
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert "cannot be looked up" in row["last_error"]
