"""From what a customer says and does to Omnisend's contact: status, instants, welcome, and who may not be written to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.shops import PROTEA
from tests.support.shop import ORDER, place
from tests.support.worker import Scene

EMAIL = "nomsa@example.com"  # of the orders that `place` writes
LAST_YEAR = datetime(2025, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def brand(scene: Scene) -> str:
    """Protea's brand, which is told of contacts."""
    brand = scene.connect().brand_id
    scene.switch_on("sync_contacts")
    return brand


def _say(scene: Scene, *, given: bool, at: datetime | None = None, origin: str = "shop") -> None:
    scene.query(
        """select public.omnisend_record_consent(%s, 'email', %s, %s, 'checkout', coalesce(%s, now()),
          p_ip => '203.0.113.7', p_user_agent => 'Mozilla/5.0', p_origin => %s)""",
        [PROTEA.merchant_id, EMAIL, given, at, origin],
    )


async def test_a_customer_known_from_an_order_alone_is_not_subscribed(scene: Scene, brand: str) -> None:
    with scene.database.connect() as conn:
        place(conn)
        place(conn)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 4)
    rows = {
        name: [row for row in scene.outbox() if row["name"] == name]
        for name in ("order_placed", "contact_changed")
    }
    assert [len(named) for named in rows.values()] == [2, 2]
    assert {row["created_at"] for row in rows["contact_changed"]} <= {
        row["settled_at"] for row in rows["order_placed"]
    }, "written in the transaction that settled the order"
    known = scene.omnisend.contacts(brand)
    (contact,) = known.contacts
    assert (contact.status("email"), contact.status("sms")) == ("nonSubscribed", "nonSubscribed")
    assert contact.fields["firstName"] == "Nomsa"
    assert known.welcome_messages == []


async def test_details_that_return_to_what_they_were_are_told_again(scene: Scene, brand: str) -> None:
    """Ordered to home, to a friend, and to home again."""
    with scene.database.connect() as conn:
        for city in ("Cape Town", "Durban", "Cape Town"):
            place(conn, shipping_address=ORDER["shipping_address"] | {"city": city})
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 6)
    (contact,) = scene.omnisend.contacts(brand).contacts
    assert contact.fields["city"] == "Cape Town"


async def test_who_agrees_is_subscribed_welcomed_once_and_their_proof_is_kept(
    scene: Scene, brand: str
) -> None:
    _say(scene, given=True)
    _say(scene, given=True)  # the form posted twice
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        with scene.database.connect() as conn:
            place(conn)
        await fleet.reached("delivered", 3)
    known = scene.omnisend.contacts(brand)
    (contact,) = known.contacts
    assert contact.status("email") == "subscribed"
    assert {"ip": "203.0.113.7", "userAgent": "Mozilla/5.0", "source": "checkout"} in [
        consent.details for consent in contact.consents
    ]
    assert len(known.welcome_messages) == 1


async def test_who_no_longer_agrees_ends_unsubscribed_however_late_the_older_rows_are(
    scene: Scene, brand: str
) -> None:
    _say(scene, given=False)
    _say(scene, given=True, at=LAST_YEAR, origin="import")
    with scene.database.connect() as conn:
        place(conn)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 4)
    known = scene.omnisend.contacts(brand)
    (contact,) = known.contacts
    assert contact.status("email") == "unsubscribed"
    assert known.welcome_messages == []


async def test_an_unsubscription_at_omnisend_outlives_the_orders_that_follow(
    scene: Scene, brand: str
) -> None:
    _say(scene, given=True, at=datetime.now(UTC) - timedelta(minutes=1))
    async with scene.workers() as fleet:
        await fleet.reached("delivered")
        scene.omnisend.unsubscribe(brand, email=EMAIL)
        with scene.database.connect() as conn:
            place(conn)
        await fleet.reached("delivered", 3)
    (contact,) = scene.omnisend.contacts(brand).contacts
    assert contact.status("email") == "unsubscribed"


async def test_no_contact_that_is_sent_is_questionable(scene: Scene, brand: str) -> None:
    _say(scene, given=True)
    with scene.database.connect() as conn:
        place(conn)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 3)
    contacts = [one for one in scene.omnisend.received() if one.path.endswith("/contacts")]
    assert len(contacts) == 2
    assert [one.findings for one in contacts] == [[], []]


async def test_whose_consents_were_forgotten_is_not_subscribed_by_what_follows(
    scene: Scene, brand: str
) -> None:
    """Neither by the opt-in nor by the opt-out being gone: an order tells of them as of anybody who never agreed."""
    _say(scene, given=True, at=LAST_YEAR)
    _say(scene, given=False)
    scene.query("select public.omnisend_forget_person(%s, %s)", [PROTEA.merchant_id, EMAIL])
    with scene.database.connect() as conn:
        place(conn)
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 2)
    (contact,) = scene.omnisend.contacts(brand).contacts
    assert contact.status("email") == "nonSubscribed"
