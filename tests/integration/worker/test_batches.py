"""Syncs by real workers at the stand-in: what is sent, what is left out, and what becomes of what Omnisend does not take."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from sandbox.omnisend import Fault
from sandbox.shops import PROTEA
from soldt_outbox.omnisend.batches import MAX_ROUNDS, Resource
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.omnisend.identity import event_id
from soldt_outbox.syncs import SyncMode, SyncState
from tests.support.syncing import (
    catalogue_at_omnisend,
    catalogue_in_shop,
    fill_orders,
    fill_products,
    finished,
    start,
)
from tests.support.worker import Scene, cart, until, windows

pytestmark = pytest.mark.usefixtures("quick_batches")


def _codes(scene: Scene, brand: str) -> list[tuple[str, list[int]]]:
    return [(one.method, one.response_codes) for one in scene.omnisend.batches(brand)]


async def _nothing_waits(scene: Scene) -> None:
    """Rows of other kinds that followed from a batch's."""
    await until(lambda: "pending" not in scene.states(), "everything is told")


def _refused(scene: Scene) -> list[dict[str, Any]]:
    return [log for log in scene.logs() if log["outcome"] == "dead"]


async def test_a_full_refresh_makes_omnisends_catalogue_the_shops(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 250)
    sync = await start(scene, Resource.PRODUCTS, SyncMode.FULL)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)
    assert (ended.state, ended.items, ended.items_sent) == (SyncState.FINISHED, 250, 250)
    assert sorted(one.total for one in scene.omnisend.batches(brand.brand_id)) == [50, 100, 100]
    assert scene.omnisend.summary().total.findings == {}
    assert {row["state"] for row in scene.outbox()} == {"delivered"}


async def test_a_delta_sends_what_changed_since_and_nothing_else(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 30)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
        scene.query(
            "update products set title = 'Other', updated_at = now() where id in (10003, 10007) returning id"
        )
        scene.query("update products set updated_at = now() where id = 10009 returning id")
        ended = await finished(scene, await start(scene, Resource.PRODUCTS))
    assert (ended.items_sent, ended.items_unchanged) == (2, 28)
    assert _codes(scene, brand.brand_id)[1:] == [("PUT", [200, 200])]
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)


async def test_a_full_refresh_sends_everything_again_and_removes_what_is_gone(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 12)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
        scene.query("delete from products where id = 10004 returning id")
        ended = await finished(scene, await start(scene, Resource.PRODUCTS, SyncMode.FULL))
        await _nothing_waits(scene)
    assert (ended.items_sent, ended.items_unchanged) == (11, 0)
    assert _codes(scene, brand.brand_id)[1:] == [("PUT", [200] * 11)]
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)


async def test_products_that_omnisend_has_are_replaced_and_those_it_lacks_are_created(scene: Scene) -> None:
    """In both directions: what is remembered of the last refresh may be wrong."""
    brand = scene.connect()
    fill_products(scene, 4)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
        scene.query("delete from omnisend_private.told_items where item_id in ('10001', '10002')")
        scene.query(
            """insert into omnisend_private.told_items values (%s, 'products', '10009', '\\x00'), (%s, 'products', '10010', '\\x00')""",
            [PROTEA.merchant_id] * 2,
        )
        scene.query(
            """insert into products (id, merchant_id, title, price) select n, %s, 'New', 5 from generate_series(10009, 10010) n""",
            [PROTEA.merchant_id],
        )
        ended = await finished(scene, await start(scene, Resource.PRODUCTS, SyncMode.FULL))
    assert (ended.items_sent, ended.items_rejected, ended.items_put_back) == (6, 0, 4)
    assert len(scene.omnisend.products(brand.brand_id)) == 6
    assert _refused(scene) == []


async def test_an_item_that_omnisend_refuses_is_logged_with_its_reason_and_the_others_go_on(
    scene: Scene,
) -> None:
    brand = scene.connect()
    fill_products(scene, 10)
    body = b'{"error": "title of thandi@example.com is not nice"}'
    scene.omnisend.add_fault(
        Fault(kind="status", status=400, batch_item=True, item_id="10004", body=body.decode())
    )
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert (ended.items_sent, ended.items_rejected, ended.items_put_back) == (9, 1, 0)
    (log,) = _refused(scene)
    assert (log["kind"], log["name"], log["status_code"], log["request"]["item"]) == (
        "product",
        "product_changed",
        400,
        "10004",
    )
    assert "is not nice" in log["error"]
    assert "thandi@example.com" not in log["error"]
    assert len(scene.omnisend.products(brand.brand_id)) == 9


async def test_an_item_that_cannot_be_mapped_is_logged_and_the_others_go_on(scene: Scene) -> None:
    scene.connect()
    fill_products(scene, 5)
    scene.query("update products set title = '' where id = 10002 returning id")
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert (ended.items_sent, ended.items_rejected) == (4, 1)
    (log,) = _refused(scene)
    assert log["request"]["item"] == "10002"
    assert "title" in log["error"]


@pytest.mark.parametrize("status", [408, 429, 503])
async def test_an_item_at_which_omnisend_failed_is_sent_again(scene: Scene, status: int) -> None:
    brand = scene.connect()
    fill_products(scene, 10)
    scene.omnisend.add_fault(Fault(kind="status", status=status, batch_item=True, count=3))
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert (ended.items_sent, ended.items_put_back) == (10, 3)
    assert [len(codes) for _, codes in _codes(scene, brand.brand_id)] == [10, 3]
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)


async def test_an_item_that_fails_every_time_is_given_up_with_the_reason(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 3)
    scene.omnisend.add_fault(Fault(kind="status", status=503, batch_item=True, item_id="10002"))
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert (ended.items_sent, ended.items_rejected) == (2, 1)
    assert len(scene.omnisend.batches(brand.brand_id)) == MAX_ROUNDS
    (log,) = _refused(scene)
    assert (log["status_code"], log["request"]["item"]) == (503, "10002")
    assert f"sent {MAX_ROUNDS} times" in log["error"]


async def test_what_a_stopped_batch_did_not_come_to_is_sent_again(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 20)
    scene.omnisend.change_settings(batch_max_errors=2)
    scene.omnisend.add_fault(Fault(kind="status", status=503, batch_item=True, count=3))
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert [one.status for one in scene.omnisend.batches(brand.brand_id)] == ["stopped", "finished"]
    assert (ended.items_sent, ended.items_put_back) == (20, 20)
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)


async def test_a_batch_that_omnisend_forgot_is_sent_again(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 5)
    sync = await start(scene, Resource.PRODUCTS)
    prefix = DIALECTS[scene.api_version].base_path
    scene.omnisend.change_settings(batch_delay_s=3600)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        (batch,) = scene.omnisend.batches(brand.brand_id)
        scene.omnisend.add_fault(
            Fault(kind="status", status=404, path=f"{prefix}/batches/{batch.batch_id}", count=1)
        )
        scene.omnisend.change_settings(batch_delay_s=0)
        ended = await finished(scene, sync)
    # Omnisend had worked it off: what is created a second time exists already, and is then replaced.
    assert (ended.items_sent, ended.items_put_back) == (5, 10)


async def test_a_batch_that_is_too_large_for_omnisend_is_sent_in_halves(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 40)
    scene.omnisend.change_settings(max_batch_bytes=20_000)
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert ended.items_sent == 40
    assert max(one.total for one in scene.omnisend.batches(brand.brand_id)) < 40
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)


async def test_no_batch_has_more_than_a_megabyte_or_more_items_than_the_version_takes(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 1000, variants=8)
    sync = await start(scene, Resource.PRODUCTS, chunk_size=1000)
    async with scene.workers():
        ended = await finished(scene, sync)
    assert ended.items_sent == 1000
    sizes = [one.total for one in scene.omnisend.batches(brand.brand_id)]
    assert max(sizes) <= DIALECTS[scene.api_version].max_batch_items
    assert scene.omnisend.summary().total.findings == {}  # among which a batch over a megabyte would be


async def test_a_product_that_changes_while_its_batch_is_under_way_ends_as_it_is_in_the_shop(
    scene: Scene,
) -> None:
    brand = scene.connect()
    fill_products(scene, 5)
    scene.omnisend.change_settings(batch_delay_s=3600)
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        scene.query("update products set title = 'New name' where id = 10003 returning id")
        scene.omnisend.change_settings(batch_delay_s=0)
        ended = await finished(scene, sync)
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)
    assert (ended.items_sent, ended.items_put_back) == (5, 1)


async def test_a_product_that_goes_while_its_batch_is_under_way_is_deleted_after_it(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, 5)
    scene.omnisend.change_settings(batch_delay_s=3600)
    sync = await start(scene, Resource.PRODUCTS)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        scene.query("delete from products where id = 10003 returning id")
        scene.omnisend.change_settings(batch_delay_s=0)
        await finished(scene, sync)
        await _nothing_waits(scene)
    assert len(catalogue_in_shop(scene)) == 4
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)


async def test_categories_are_created_by_batch_and_changed_one_by_one(scene: Scene) -> None:
    brand = scene.connect()
    async with scene.workers():
        first = await finished(scene, await start(scene, Resource.CATEGORIES))
        before = {one.category_id for one in scene.omnisend.categories(brand.brand_id)}
        scene.query(
            "update collections set name = 'Winter' where merchant_id = %s returning id", [PROTEA.merchant_id]
        )
        second = await finished(scene, await start(scene, Resource.CATEGORIES))
        await _nothing_waits(scene)
    of_shop = scene.query("select id::text from collections where merchant_id = %s", [PROTEA.merchant_id])
    assert before == {row["id"] for row in of_shop}
    assert first.items_sent == second.items_sent == len(before) > 0
    assert len(scene.omnisend.batches(brand.brand_id)) == 1
    assert {one.title for one in scene.omnisend.categories(brand.brand_id)} == {"Winter"}


async def test_contacts_are_the_customers_of_orders_and_those_known_from_consents(scene: Scene) -> None:
    brand = scene.connect()
    fill_orders(scene, 20)
    scene.query(
        """insert into orders (merchant_id, customer_email, customer_name, shipping_address, items)
        select merchant_id, customer_email, 'Newest Name', shipping_address, items from orders
        where customer_email = 'customer-3@example.com' returning id"""
    )
    consent = "select omnisend_record_consent(%s, 'email', %s, %s, 'newsletter', %s)"
    for address, given, at in [
        ("customer-5@example.com", True, "2026-02-01"),
        ("customer-6@example.com", False, "2026-02-01"),
        ("reader@example.com", True, "2026-03-01"),
    ]:
        with scene.database.connect("service_role") as conn:
            conn.execute(consent, [PROTEA.merchant_id, address, given, at])  # type: ignore[arg-type]
    sync = await start(scene, Resource.CONTACTS, chunk_size=7)
    async with scene.workers():
        ended = await finished(scene, sync)
    found = scene.omnisend.contacts(brand.brand_id)
    states = {one.channels[0].identifier: one.status("email") for one in found.contacts}
    customers = {f"customer-{n}@example.com": "nonSubscribed" for n in range(1, 21)}
    assert states == customers | {
        "customer-5@example.com": "subscribed",
        "customer-6@example.com": "unsubscribed",
        "reader@example.com": "subscribed",
    }
    names = {one.channels[0].identifier: one.fields.get("firstName") for one in found.contacts}
    assert names["customer-3@example.com"] == "Newest"
    assert found.welcome_messages == []
    assert (ended.items, ended.items_sent) == (21, 21)
    told = scene.query("select item_id from omnisend_private.told_items")
    assert not any("@" in row["item_id"] for row in told)


async def test_a_consent_for_a_phone_longer_than_events_may_carry_is_told(scene: Scene) -> None:
    brand, phone = scene.connect(), "+493012345678901"
    with scene.database.connect("service_role") as conn:
        conn.execute(
            "select omnisend_record_consent(%s, 'sms', %s, true, 'newsletter')", [PROTEA.merchant_id, phone]
        )
    sync = await start(scene, Resource.CONTACTS)
    async with scene.workers():
        await finished(scene, sync)
    (contact,) = scene.omnisend.contacts(brand.brand_id).contacts
    assert (contact.channels[0].identifier, contact.status("sms")) == (phone, "subscribed")


async def test_history_has_the_eventids_and_instants_that_live_events_would_have_had(scene: Scene) -> None:
    brand = scene.connect()
    fill_orders(scene, 9)
    sync = await start(scene, Resource.ORDERS, SyncMode.FULL)
    async with scene.workers():
        ended = await finished(scene, sync)
        again = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
    orders = scene.query("select id::text, payment_status, created_at from orders order by id")
    wanted = {str(event_id(PROTEA.merchant_id, "order_placed", one["id"])) for one in orders}
    wanted |= {
        str(event_id(PROTEA.merchant_id, "order_paid", one["id"]))
        for one in orders
        if one["payment_status"] == "paid"
    }
    assert ended.items_sent == len(wanted) == 12
    assert (again.items_sent, again.items_unchanged) == (0, 12), "the ledger knows what was imported"
    sent = [one for one in scene.omnisend.received() if one.method == "POST" and "batches" in one.path]
    items = {item["eventID"]: item for one in sent for item in one.body["items"]}
    assert items.keys() == wanted
    placed = items[str(event_id(PROTEA.merchant_id, "order_placed", orders[0]["id"]))]
    assert placed["eventTime"] == orders[0]["created_at"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert scene.omnisend.summary().total.findings == {}
    assert len(scene.omnisend.batches(brand.brand_id)) == 1


async def test_history_leaves_out_what_is_told_as_it_happens(scene: Scene) -> None:
    scene.connect()
    fill_orders(scene, 3)
    scene.query(
        "update orders set payment_status = 'paid' where id = (select min(id) from orders) returning id"
    )
    async with scene.workers() as fleet:
        await fleet.reached("delivered")  # the live event
        ended = await finished(scene, await start(scene, Resource.ORDERS, SyncMode.FULL))
    assert (ended.items, ended.items_sent, ended.items_unchanged) == (5, 4, 1)


async def test_nothing_more_is_sent_of_a_sync_that_was_canceled(scene: Scene) -> None:
    from tests.support.syncing import syncs

    brand = scene.connect()
    fill_products(scene, 30)
    sync = await start(scene, Resource.PRODUCTS, chunk_size=10)
    async with syncs(scene) as held:
        assert await held.cancel(sync) == 3
        ended = await held.get(sync)
    assert ended is not None
    assert ended.state is SyncState.CANCELED
    scene.query(
        "update integrations_omnisend_outbox set state = 'pending', settled_at = null, payload = %s::jsonb returning id",
        [psycopg.types.json.Jsonb({"sync": sync, "resource": "products", "ids": ["10001"]})],
    )
    async with scene.workers() as fleet:
        await fleet.reached("skipped", 3)
    assert scene.omnisend.batches(brand.brand_id) == []


async def test_batches_stay_within_the_merchants_budget_with_all_their_requests(scene: Scene) -> None:
    """The looks at a batch and at its items are requests too."""
    per_minute = 1_200
    scene.connect()
    fill_products(scene, 20)
    scene.omnisend.add_fault(Fault(kind="status", status=503, batch_item=True, count=5))
    sync = await start(scene, Resource.PRODUCTS, chunk_size=1)
    async with scene.workers(omnisend_requests_per_minute=per_minute):
        ended = await finished(scene, sync)
    arrivals = scene.omnisend.arrivals()
    assert len(arrivals) >= 20 + 20 + 5 * 3
    assert ended.items_sent == 20
    second = per_minute * 0.9 / 60
    slack = 4  # a second request of an attempt is charged when it is settled
    assert max(windows(arrivals, 1.0)) <= per_minute * 0.04 + second + slack


async def test_live_events_go_before_batches_that_have_waited_longer(scene: Scene) -> None:
    scene.connect()
    fill_products(scene, 200)
    sync = await start(scene, Resource.PRODUCTS, chunk_size=2)
    for number in range(5):
        scene.enqueue("checkout_started", cart(f"customer-{number}@example.com"))
    async with scene.workers(omnisend_requests_per_minute=1_200):
        await scene.omnisend.wait_for(5)
        so_far = len(scene.omnisend.batches())
        await finished(scene, sync)
    # One claim in ten takes the last class first, and a claim takes no more than the burst.
    assert so_far <= 2 * 1_200 * 0.04
    assert so_far < len(scene.omnisend.batches()) == 100
