"""From a change of the shop's catalogue to Omnisend's products and categories."""

from __future__ import annotations

from decimal import Decimal

import pytest

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
    (variant,) = product.content["variants"]
    assert Decimal(str(variant["price"])) == Decimal("110.00")


async def test_what_changes_while_it_is_being_sent_is_sent_again(scene: Scene, brand: str) -> None:
    for price in (50, 60, 70):
        with scene.database.connect() as conn:
            reprice(conn, price)
        async with scene.workers() as fleet:
            await fleet.reached("delivered")
    (product,) = scene.omnisend.products(brand)
    assert (product.content["variants"][0]["price"], product.replaced) == (70, 2)


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
