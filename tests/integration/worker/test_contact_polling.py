"""People who unsubscribe at Omnisend are recorded in the shop; nothing else is taken from there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from sandbox.omnisend import BrandKey
from sandbox.shops import PROTEA
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.rows import OmnisendRequest
from tests.support.syncing import fill_orders, finished, start, syncs
from tests.support.worker import Scene, cart
from worker import contact_polling

pytestmark = pytest.mark.usefixtures("quick_batches")

QUARTER = timedelta(minutes=15)


@pytest.fixture
def brand(scene: Scene) -> BrandKey:
    brand = scene.connect()
    scene.query(
        "update integrations_omnisend set sync_contacts = true where merchant_id = %s returning 1",
        [PROTEA.merchant_id],
    )
    return brand


async def _contacts_at_omnisend(scene: Scene, count: int) -> None:
    fill_orders(scene, count)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.CONTACTS))


async def _poll(scene: Scene, name: str = "delivered", *, began: datetime | None = None) -> None:
    """Write the merchant's row as a worker would, and have it sent now; ``began``: as if its walk had begun then."""
    async with syncs(scene) as held:
        await held.write_polls()
    due = scene.query(
        """update integrations_omnisend_outbox
        set available_at = now(), occurred_at = coalesce(%s, now()), dedup_key = gen_random_uuid()::text
        where name = 'contacts_poll' and state = 'pending' returning id""",
        [began],
    )
    assert len(due) == 1
    async with scene.workers() as fleet:
        await fleet.reached(name)
        await _walk_is_over(scene)


async def _walk_is_over(scene: Scene) -> None:
    from tests.support.worker import until

    await until(
        lambda: (
            not scene.query(
                "select id from integrations_omnisend_outbox where name = 'contacts_poll' and state = 'pending'"
            )
        ),
        "the walk is over",
    )


def _consents(scene: Scene) -> list[dict[str, Any]]:
    return scene.query(
        "select channel, identifier, given, origin, source, occurred_at from integrations_omnisend_consents order by id"
    )


async def _subscribe_at_omnisend(scene: Scene, brand: BrandKey, email: str) -> None:
    """As another app of the merchant's would: the contact agrees, now."""
    dialect = DIALECTS[scene.api_version]
    channel = {"status": "subscribed", dialect.status_changed_field: datetime.now(UTC).isoformat()}
    body = {"identifiers": [{"type": "email", "id": email, "channels": {"email": channel}}]}
    request = OmnisendRequest(method="POST", path="/contacts", body=json.dumps(body).encode())
    async with OmnisendClient(scene.omnisend.url, dialect) as omnisend:
        assert (await omnisend.send(request, brand.key)).status == 200


def _status_at_omnisend(scene: Scene, brand: BrandKey, email: str) -> str | None:
    contacts = scene.omnisend.contacts(brand.brand_id).contacts
    (status,) = [
        one.status("email") for one in contacts if email in {found.identifier for found in one.channels}
    ]
    return status


async def test_who_unsubscribed_at_omnisend_is_recorded_with_their_own_instant(
    scene: Scene, brand: BrandKey
) -> None:
    await _contacts_at_omnisend(scene, 3)
    before = datetime.now(UTC)
    scene.omnisend.unsubscribe(brand.brand_id, email="customer-2@example.com")
    await _poll(scene)
    (consent,) = _consents(scene)
    assert (consent["channel"], consent["identifier"]) == ("email", "customer-2@example.com")
    assert (consent["given"], consent["origin"], consent["source"]) == (False, "omnisend", "omnisend")
    assert before - timedelta(seconds=1) <= consent["occurred_at"] <= datetime.now(UTC)
    assert not [row for row in scene.outbox() if row["kind"] == "contact"], (
        "Omnisend is not told what it said"
    )


async def test_what_is_known_is_not_recorded_again(scene: Scene, brand: BrandKey) -> None:
    await _contacts_at_omnisend(scene, 2)
    scene.omnisend.unsubscribe(brand.brand_id, email="customer-1@example.com")
    await _poll(scene)
    await _poll(scene)
    assert len(_consents(scene)) == 1


async def test_nobody_is_subscribed_by_what_omnisend_says(scene: Scene, brand: BrandKey) -> None:
    """Withdrawn in the shop, and subscribed at Omnisend since: here it stays withdrawn."""
    await _contacts_at_omnisend(scene, 2)
    with scene.database.connect("service_role") as conn:
        for given in (True, False):
            conn.execute(
                "select omnisend_record_consent(%s, 'email', 'customer-1@example.com', %s, 'form')",
                [PROTEA.merchant_id, given],
            )
    async with scene.workers():
        await finished(scene, await start(scene, Resource.CONTACTS))
    known = _consents(scene)
    await _subscribe_at_omnisend(scene, brand, "customer-1@example.com")
    assert _status_at_omnisend(scene, brand, "customer-1@example.com") == "subscribed"
    await _poll(scene)
    assert _consents(scene) == known
    assert [one["given"] for one in known] == [True, False]


async def test_a_walk_over_many_pages_goes_on_in_rows_that_follow(
    scene: Scene, brand: BrandKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soldt_outbox.omnisend import contact_pages

    await _contacts_at_omnisend(scene, 30)
    gone = [f"customer-{n}@example.com" for n in (1, 9, 17, 30)]
    for address in gone:
        scene.omnisend.unsubscribe(brand.brand_id, email=address)
    monkeypatch.setattr(contact_pages, "PAGE", 4)
    monkeypatch.setattr(contact_polling, "MOST_PAGES", 2)
    await _poll(scene)
    assert sorted(one["identifier"] for one in _consents(scene)) == sorted(gone)
    walk = [row for row in scene.outbox() if row["name"] == "contacts_poll"]
    assert len(walk) == 4  # thirty contacts, eight a row
    pages = [one for one in scene.omnisend.received() if one.method == "GET" and "/contacts" in one.path]
    assert len(pages) == 8


async def test_the_next_walk_begins_a_little_before_the_newest_change_seen(
    scene: Scene, brand: BrandKey
) -> None:
    await _contacts_at_omnisend(scene, 2)
    newest = max(one.updated_at for one in scene.omnisend.contacts(brand.brand_id).contacts)
    await _poll(scene)
    (row,) = scene.query("select updated_from from omnisend_private.contact_watermarks")
    assert abs(row["updated_from"] - (newest - contact_polling.OVERLAP)) < timedelta(seconds=1)


async def test_what_changes_during_a_walk_is_read_by_the_next_one(
    scene: Scene, brand: BrandKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stand on a page that was passed before it changed, whatever a later page shows."""
    from soldt_outbox.omnisend import contact_pages

    monkeypatch.setattr(contact_pages, "PAGE", 4)
    monkeypatch.setattr(contact_polling, "MOST_PAGES", 1)
    began = datetime.now(UTC) - timedelta(hours=1)
    await _contacts_at_omnisend(scene, 6)
    await _poll(scene, began=began)
    assert len([row for row in scene.outbox() if row["name"] == "contacts_poll"]) == 2, "several rows"
    (row,) = scene.query("select updated_from from omnisend_private.contact_watermarks")
    assert row["updated_from"] == began - contact_polling.OVERLAP


async def test_a_walk_that_began_at_another_brand_begins_anew(scene: Scene, brand: BrandKey) -> None:
    """Its page is another brand's, and what it saw says nothing of this one's contacts."""
    await _contacts_at_omnisend(scene, 2)
    scene.omnisend.unsubscribe(brand.brand_id, email="customer-1@example.com")
    walk = {"brand": "5f0000000000000000000abc", "since": "2999-01-01T00:00:00Z", "cursor": "2"}
    scene.query(
        """insert into integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, payload)
        values (%s, 'batch', 'contacts_poll', 'after 1', %s)""",
        [PROTEA.merchant_id, Jsonb(walk | {"newest": "2999-01-01T00:00:00Z"})],
    )
    async with scene.workers():
        await _walk_is_over(scene)
    assert [one["identifier"] for one in _consents(scene)] == ["customer-1@example.com"]
    (row,) = scene.query("select updated_from from omnisend_private.contact_watermarks")
    assert row["updated_from"] < datetime.now(UTC)


async def test_a_key_that_may_not_read_contacts_does_not_hold_up_the_merchants_batches(scene: Scene) -> None:
    scene.connect(permissions=["events.write", "products.write", "products.read"])
    scene.query(
        "update integrations_omnisend set sync_contacts = true where merchant_id = %s returning 1",
        [PROTEA.merchant_id],
    )
    await _poll(scene, "skipped")
    assert scene.lane()["forbidden_kinds"] == "{}"
    async with scene.workers():
        ended = await finished(scene, await start(scene, Resource.CATEGORIES))
    assert ended.items_sent == ended.items


async def test_each_merchant_with_contacts_on_has_one_walk_at_a_time(scene: Scene, brand: BrandKey) -> None:
    scene.add_merchants(2)  # contacts are off there
    async with syncs(scene) as held:
        await held.write_polls()
        await held.write_polls()
    (row,) = scene.outbox()
    due = scene.one("select occurred_at = available_at as due from integrations_omnisend_outbox")["due"]
    assert due, "a walk counts as begun when it may begin"
    assert (row["name"], str(row["merchant_id"])) == ("contacts_poll", str(PROTEA.merchant_id))
    assert 0 <= row["due_in"] <= QUARTER.total_seconds()


async def test_the_next_walk_of_any_merchant_begins_within_a_quarter_of_an_hour_and_is_written_once(
    scene: Scene, brand: BrandKey
) -> None:
    scene.add_merchants(63)
    scene.query("update integrations_omnisend set sync_contacts = true returning 1")
    async with syncs(scene) as held:
        await held.write_polls()
        walks = scene.outbox()
        assert len(walks) == 64
        assert max(row["due_in"] for row in walks) <= QUARTER.total_seconds()
        scene.query("update integrations_omnisend_outbox set state = 'delivered' returning 1")
        await held.write_polls()  # by a worker that comes late, say
    far = {
        row["merchant_id"] for row in walks if row["due_in"] > 60
    }  # whose next quarter cannot have begun meanwhile
    assert far
    assert len([row for row in scene.outbox() if row["merchant_id"] in far]) == len(far)


async def test_a_walk_that_found_nobody_is_no_line_in_the_merchants_log(
    scene: Scene, brand: BrandKey
) -> None:
    await _contacts_at_omnisend(scene, 2)
    await _poll(scene)
    scene.omnisend.unsubscribe(brand.brand_id, email="customer-1@example.com")
    await _poll(scene)
    assert len([log for log in scene.logs() if log["name"] == "contacts_poll"]) == 1


async def test_walks_that_are_over_are_soon_forgotten(scene: Scene, brand: BrandKey) -> None:
    async with syncs(scene) as held:
        await held.write_polls()
        scene.enqueue("checkout_started", cart(), dedup_key="beside")
        scene.query(
            "update integrations_omnisend_outbox set state = 'delivered', settled_at = now() - interval '61 minutes', dedup_key = '1' returning 1"
        )
        await held.write_polls()
    assert sorted((row["name"], row["state"]) for row in scene.outbox()) == [
        ("checkout_started", "delivered"),
        ("contacts_poll", "pending"),
    ]
