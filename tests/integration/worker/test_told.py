"""What counts as told: to this brand and no other, by rows and by batches alike, and no event that was never sent."""

from __future__ import annotations

import pytest

from sandbox.omnisend import Fault
from sandbox.shops import PROTEA
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.syncs import SyncMode
from tests.support.selling import SUMMER
from tests.support.syncing import (
    catalogue_at_omnisend,
    catalogue_in_shop,
    fill_orders,
    fill_products,
    finished,
    start,
)
from tests.support.worker import Scene, until

pytestmark = pytest.mark.usefixtures("quick_batches")

REFRESHED = (Resource.PRODUCTS, Resource.CATEGORIES, Resource.CONTACTS)


async def _nothing_waits(scene: Scene) -> None:
    await until(lambda: "pending" not in scene.states(), "everything is told")


def _look_away(scene: Scene) -> None:
    """What changes from here on writes no row."""
    scene.query(
        "update integrations_omnisend set sync_catalogue = false where merchant_id = %s", [PROTEA.merchant_id]
    )


def _unsubscribe(scene: Scene, channel: str, identifier: str) -> None:
    with scene.database.connect("service_role") as conn:
        conn.execute(
            "select omnisend_record_consent(%s, %s, %s, false, 'form')",
            [PROTEA.merchant_id, channel, identifier],
        )


def _methods(scene: Scene, brand: str) -> list[tuple[str, str, int]]:
    return [(one.method, one.status, one.total) for one in scene.omnisend.batches(brand)]


# -- another brand


async def test_another_brand_is_told_everything_that_the_one_before_has(scene: Scene) -> None:
    scene.connect()
    fill_products(scene, 3)
    fill_orders(scene, 2)
    _unsubscribe(scene, "email", "customer-1@example.com")
    async with scene.workers():
        for resource in REFRESHED:
            await finished(scene, await start(scene, resource))
    other = scene.connect().brand_id
    async with scene.workers():
        ended = [await finished(scene, await start(scene, resource)) for resource in REFRESHED]
    assert [one.items_unchanged for one in ended] == [0, 0, 0]
    assert catalogue_at_omnisend(scene, other) == catalogue_in_shop(scene)
    assert len(scene.omnisend.categories(other)) == ended[1].items > 0
    contacts = scene.omnisend.contacts(other).contacts
    assert {one.channels[0].identifier: one.status("email") for one in contacts} == {
        "customer-1@example.com": "unsubscribed",
        "customer-2@example.com": "nonSubscribed",
    }


async def test_a_new_key_of_the_same_brand_changes_nothing(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 3)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
    scene.store_key(PROTEA, brand.key)
    async with scene.workers():
        ended = await finished(scene, await start(scene, Resource.PRODUCTS))
    assert (ended.items_sent, ended.items_unchanged) == (0, 3)
    assert scene.connection()["brand_since"] is None


async def test_what_a_worker_still_tells_the_brand_before_does_not_count(scene: Scene) -> None:
    """It goes on with the key that it knows for some seconds."""
    scene.connect()
    fill_products(scene, 3)
    scene.omnisend.change_settings(batch_delay_s=3600)
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        other = scene.connect().brand_id
        scene.omnisend.change_settings(batch_delay_s=0)
        await finished(scene, sync)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
    assert catalogue_at_omnisend(scene, other) == catalogue_in_shop(scene)


async def test_history_is_imported_for_another_brand_and_once(scene: Scene) -> None:
    scene.connect()
    fill_orders(scene, 3)
    async with scene.workers():
        first = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
    scene.connect()
    async with scene.workers():
        second = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
        third = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
    assert [(one.items_sent, one.items_unchanged) for one in (first, second, third)] == [
        (4, 0),
        (4, 0),
        (0, 4),
    ]


# -- events that were never sent


@pytest.mark.parametrize(
    ("state", "sent"),
    [("expired", 1), ("skipped", 1), ("dead", 0), ("delivered", 0)],
    ids=lambda value: value,
)
async def test_history_holds_events_that_were_never_sent_and_the_ledger_has_them_then(
    scene: Scene, state: str, sent: int
) -> None:
    scene.connect()
    fill_orders(scene, 1)
    scene.query(
        """
        insert into integrations_omnisend_outbox (merchant_id, name, dedup_key, state, settled_at, last_error, available_at)
        select merchant_id, 'order_placed', id::text, %s, now(), 'why', case when %s = 'dead' then 'infinity' else now() end
        from orders
        """,
        [state, state],
    )
    async with scene.workers():
        first = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
        again = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
    assert (first.items_sent, first.items_unchanged) == (sent, 1 - sent)
    assert (again.items_sent, again.items_unchanged) == (0, 1)
    (row,) = [one for one in scene.outbox() if one["kind"] == "event"]
    assert (row["state"], row["last_error"]) == (("delivered", None) if sent else (state, "why"))


# -- what single rows told


async def test_a_full_refresh_replaces_what_rows_told_and_deletes_what_went_unseen(scene: Scene) -> None:
    brand = scene.connect().brand_id
    scene.switch_on("sync_catalogue")
    fill_products(scene, 4)
    async with scene.workers():
        await _nothing_waits(scene)
        _look_away(scene)
        scene.query("delete from products where id = 10002")
        ended = await finished(scene, await start(scene, Resource.PRODUCTS, SyncMode.FULL))
        await _nothing_waits(scene)
    assert (ended.items_sent, ended.items_put_back) == (3, 0)
    assert _methods(scene, brand) == [("PUT", "finished", 3)]
    assert len(catalogue_in_shop(scene)) == 3
    assert catalogue_at_omnisend(scene, brand) == catalogue_in_shop(scene)


async def test_a_delta_leaves_out_what_rows_told_and_sends_what_they_told_otherwise(scene: Scene) -> None:
    brand = scene.connect().brand_id
    scene.switch_on("sync_catalogue")
    fill_products(scene, 3)
    async with scene.workers():
        await _nothing_waits(scene)
        first = await finished(scene, await start(scene, Resource.PRODUCTS))
        scene.query("update products set title = 'Other' where id = 10002")
        await _nothing_waits(scene)
        _look_away(scene)
        scene.query("update products set title = 'Product 2' where id = 10002")
        second = await finished(scene, await start(scene, Resource.PRODUCTS))
    assert (first.items_sent, first.items_unchanged) == (0, 3)
    assert (second.items_sent, second.items_unchanged) == (1, 2)
    assert catalogue_at_omnisend(scene, brand) == catalogue_in_shop(scene)


async def test_a_product_that_a_row_deleted_is_not_known_any_more(scene: Scene) -> None:
    scene.connect()
    scene.switch_on("sync_catalogue")
    fill_products(scene, 2)
    async with scene.workers():
        await _nothing_waits(scene)
        scene.query("delete from products where id = 10001")
        await _nothing_waits(scene)
    assert scene.query("select item_id from omnisend_private.told_items") == [{"item_id": "10002"}]


async def test_collections_that_rows_told_are_known_too(scene: Scene) -> None:
    brand = scene.connect().brand_id
    scene.switch_on("sync_catalogue")
    scene.query("update collections set name = 'Winter' where merchant_id = %s", [PROTEA.merchant_id])
    async with scene.workers():
        await _nothing_waits(scene)
        delta = await finished(scene, await start(scene, Resource.CATEGORIES))
        _look_away(scene)
        (gone, *_) = scene.query(
            "delete from collections where id = (select min(id) from collections where merchant_id = %s) returning id::text",
            [PROTEA.merchant_id],
        )
        await finished(scene, await start(scene, Resource.CATEGORIES, SyncMode.FULL))
        await _nothing_waits(scene)
    assert delta.items_unchanged == delta.items > 0
    assert scene.omnisend.batches(brand) == []
    assert gone["id"] not in {one.category_id for one in scene.omnisend.categories(brand)}


async def test_a_category_whose_row_omnisend_refuses_is_sent_again(scene: Scene) -> None:
    """Handed on to a row of its own, it is told once that row was delivered."""
    brand = scene.connect().brand_id
    path = f"{DIALECTS[scene.api_version].base_path}/product-categories/{SUMMER}"
    async with scene.workers():
        await finished(scene, await start(scene, Resource.CATEGORIES))
        scene.query("update collections set name = 'Spring' where id = %s", [SUMMER])
        scene.omnisend.add_fault(Fault(kind="status", status=400, path=path, count=1))
        for _ in range(2):
            await finished(scene, await start(scene, Resource.CATEGORIES))
            await _nothing_waits(scene)
    assert scene.states()["dead"] == 1
    assert {one.category_id: one.title for one in scene.omnisend.categories(brand)}[str(SUMMER)] == "Spring"


# -- batches that are stopped


async def test_a_batch_stopped_over_what_exists_is_gone_on_with_by_replacing(scene: Scene) -> None:
    brand = scene.connect().brand_id
    fill_products(scene, 20)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
        scene.query("delete from omnisend_private.told_items")
        scene.omnisend.change_settings(batch_max_errors=2)
        ended = await finished(scene, await start(scene, Resource.PRODUCTS))
    assert (ended.items_sent, ended.items_rejected, ended.items_put_back) == (20, 0, 20)
    assert _methods(scene, brand)[1:] == [("POST", "stopped", 20), ("PUT", "finished", 20)]


# -- contacts


async def test_an_opt_out_of_a_phone_is_told_as_it_was_recorded(scene: Scene) -> None:
    """Even where its country code is nobody's."""
    brand = scene.connect().brand_id
    _unsubscribe(scene, "sms", "+9991234567")
    async with scene.workers():
        ended = await finished(scene, await start(scene, Resource.CONTACTS))
    assert (ended.items_sent, ended.items_skipped) == (1, 0)
    (contact,) = scene.omnisend.contacts(brand).contacts
    assert contact.status("sms") == "unsubscribed"
