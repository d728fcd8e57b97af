"""How callers use the library, checked by mypy --strict (``test_public_api.py``) and never run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_type
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row

import soldt_outbox
from soldt_outbox import (
    CheckoutStarted,
    Consent,
    Contact,
    ContactChanged,
    CustomEvent,
    Event,
    EventName,
    InvalidEvent,
    OrderPlaced,
    OrderRefunded,
    OutboxError,
    ProductAddedToCart,
    ProductViewed,
    canonical_name,
    contact_changed,
    contact_changed_async,
    enqueue,
    enqueue_async,
    enqueue_many,
    enqueue_many_async,
    record_consent,
    record_consent_async,
)
from soldt_outbox.supabase import AsyncSupabaseOutbox, SupabaseOutbox

SHOP = UUID(int=1)


def in_a_transaction(url: str) -> None:
    with psycopg.connect(url, row_factory=dict_row) as conn:
        assert_type(conn, psycopg.Connection[DictRow])
        with conn.transaction():
            conn.execute("update carts set checked_out = true")
            event = CheckoutStarted(merchant_id=SHOP, contact={"email": "a@b.co"}, properties={"cartID": "c"})
            assert_type(enqueue(conn, event), int | None)
            events: list[Event] = [event, OrderPlaced(merchant_id=SHOP, order={"id": 1})]
            events.append(CustomEvent(merchant_id=SHOP, event="gift_wrapped", properties={"paper": "kraft"}))
            assert_type(enqueue_many(conn, events), list[int | None])
            enqueue_many(conn, (OrderRefunded(merchant_id=SHOP, order={"id": n}) for n in range(3)))


async def in_an_async_transaction(conn: psycopg.AsyncConnection) -> None:
    viewed = ProductViewed(
        merchant_id=SHOP,
        occurred_at=datetime.now(UTC),
        dedup_key="session:7",
        ordering_key="session",
        properties={"sessionID": "s", "productID": 7},
    )
    assert_type(await enqueue_async(conn, viewed), int | None)
    assert_type(await enqueue_many_async(conn, [viewed]), list[int | None])


def a_newsletter_form(conn: psycopg.Connection[DictRow], email: str, ip: str) -> None:
    given = Consent(
        merchant_id=SHOP,
        channel="email",
        identifier=email,
        source="newsletter form",
        ip=ip,
        contact=Contact(first_name="Nomsa", custom_properties={"locale": "zu"}),
    )
    assert_type(record_consent(conn, given), int | None)
    changed = ContactChanged(merchant_id=SHOP, contact=Contact(email=email), changed_at=datetime.now(UTC))
    assert_type(contact_changed(conn, changed), int | None)


async def a_newsletter_form_async(conn: psycopg.AsyncConnection, phone: str) -> None:
    withdrawn = Consent(merchant_id=SHOP, channel="sms", identifier=phone, given=False)
    assert_type(await record_consent_async(conn, withdrawn), int | None)
    changed = ContactChanged(merchant_id=SHOP, contact=Contact(phone=phone))
    assert_type(await contact_changed_async(conn, changed), int | None)


def from_a_request(name: str, body: dict[str, object]) -> Event | None:
    try:
        assert_type(canonical_name(name), EventName)
        return Event.parse(name, merchant_id=SHOP, properties=body)
    except InvalidEvent as error:
        assert_type(error, InvalidEvent)
        return None
    except OutboxError:
        raise


def over_the_api(url: str, secret_key: str) -> None:
    with SupabaseOutbox(url, secret_key) as outbox:
        added = ProductAddedToCart(merchant_id=SHOP, properties={"cartID": "c"})
        assert_type(outbox.enqueue(added), int | None)
        consent = Consent(merchant_id=SHOP, channel="email", identifier="a@b.co")
        assert_type(outbox.record_consent(consent), int | None)


async def over_the_api_async(url: str, secret_key: str) -> None:
    async with AsyncSupabaseOutbox(url, secret_key) as outbox:
        assert_type(await outbox.enqueue(OrderPlaced(merchant_id=SHOP, order={"id": 1})), int | None)


def wrong(conn: psycopg.Connection, async_conn: psycopg.AsyncConnection) -> None:
    """Each ignore is needed, which --strict checks: the types refuse these."""
    enqueue(async_conn, OrderPlaced(merchant_id=SHOP, order={"id": 1}))  # type: ignore[arg-type]
    enqueue(conn, {"name": "order_placed"})  # type: ignore[arg-type]
    CustomEvent(merchant_id=SHOP, properties={})  # type: ignore[call-arg]
    OrderPlaced(merchant_id=SHOP)  # type: ignore[call-arg]
    OrderPlaced(merchant_id=SHOP, order={"id": 1}, propertys={})  # type: ignore[call-arg]


VERSION: str = soldt_outbox.__version__
