"""Consents and changed contacts from Python: in the caller's transaction, and over Supabase's API."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from sandbox.postgrest import SupabaseApi
from sandbox.shops import KAROO, PROTEA
from sandbox.world import Database
from soldt_outbox import (
    Consent,
    Contact,
    ContactChanged,
    InvalidEvent,
    contact_changed,
    contact_changed_async,
    record_consent,
    record_consent_async,
)
from soldt_outbox.supabase import AsyncSupabaseOutbox, SupabaseOutbox
from tests.support.consents import NOMSA, PHONE, consents, synchronise
from tests.support.shop import outbox

THEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def consent(identifier: str = NOMSA, **more: Any) -> Consent:
    channel = "email" if "@" in identifier else "sms"
    return Consent(
        **({"merchant_id": PROTEA.merchant_id, "channel": channel, "identifier": identifier} | more)
    )


def change(**more: Any) -> ContactChanged:
    return ContactChanged(merchant_id=PROTEA.merchant_id, contact=Contact(email=NOMSA, city="Paarl"), **more)


@pytest.fixture
def shop(database: Database) -> Database:
    synchronise(database)
    return database


@pytest.mark.both_majors
@pytest.mark.parametrize("role", ["postgres", "service_role", "omnisend_worker"])
def test_a_consent_commits_with_the_callers_transaction(shop: Database, role: str) -> None:
    given = consent(
        " Nomsa@Example.com ",
        source="newsletter form",
        occurred_at=THEN,
        ip="203.0.113.7",
        user_agent="Mozilla/5.0",
        contact=Contact(
            first_name="Nomsa",
            phone="082 123 4567",
            birthdate=date(1990, 1, 31),
            custom_properties={"points": 12, "score": Decimal("1.50")},
        ),
    )
    with shop.connect(role) as conn:
        consent_id = record_consent(conn, given)
        assert consents(shop) == [], "not before the caller commits"
    (row,) = consents(shop)
    assert (row["id"], row["identifier"], row["occurred_at"]) == (consent_id, NOMSA, THEN)
    assert (row["source"], str(row["ip"]), row["user_agent"]) == (
        "newsletter form",
        "203.0.113.7",
        "Mozilla/5.0",
    )
    assert outbox(shop)[0].payload == {
        "channel": "email",
        "email": NOMSA,
        "firstName": "Nomsa",
        "phone": "082 123 4567",
        "birthdate": "1990-01-31",
        "customProperties": {"points": 12, "score": 1.5},
    }


def test_what_is_rolled_back_was_never_said(shop: Database) -> None:
    with shop.connect() as conn:
        record_consent(conn, consent())
        contact_changed(conn, change())
        conn.rollback()
    assert consents(shop) == outbox(shop) == []


async def test_async_commits_and_rolls_back_alike(shop: Database) -> None:
    async with await psycopg.AsyncConnection.connect(shop.url(), row_factory=dict_row) as conn:
        await record_consent_async(conn, consent(given=False))
        await conn.rollback()
        given = await record_consent_async(conn, consent("082 123 4567"))
        told = await contact_changed_async(conn, change())
        assert await record_consent_async(conn, consent("082 123 4567", merchant_id=uuid4())) is None
        await conn.commit()
    assert [(row["id"], row["identifier"]) for row in consents(shop)] == [(given, PHONE)]
    assert outbox(shop)[-1].id == told


def test_a_phone_without_a_country_is_one_of_the_merchants(shop: Database) -> None:
    synchronise(shop, KAROO)
    with shop.connect("service_role") as conn:
        with shop.connect() as owner:
            owner.execute(
                "update public.integrations_omnisend set country_code = 'NA' where merchant_id = %s",
                [KAROO.merchant_id],
            )
        record_consent(conn, consent("082 123 4567"))
        record_consent(conn, consent("081 123 4567", merchant_id=KAROO.merchant_id))
        record_consent(conn, consent("+27821234568"))
        record_consent(conn, consent("+49 30 12345678901"))  # longer than what an event may carry
        assert record_consent(conn, consent("082 123 4567", merchant_id=uuid4())) is None
        with pytest.raises(InvalidEvent, match="could be dialled in ZA") as refused:
            record_consent(conn, consent("4567-not-a-phone"))
    assert "4567" not in str(refused.value)
    assert [row["identifier"] for row in consents(shop)] == [PHONE, "+27821234568", "+493012345678901"]
    assert [row["identifier"] for row in consents(shop, KAROO)] == ["+264811234567"]


def test_a_changed_contact_is_told_once_for_each_change(shop: Database) -> None:
    with shop.connect("service_role") as conn:
        told = [contact_changed(conn, change(changed_at=at)) for at in (None, None, THEN, THEN)]
    assert [row_id is None for row_id in told] == [False, True, False, True]
    assert [row.payload for row in outbox(shop)] == [{"email": NOMSA, "city": "Paarl"}] * 2


# Over the API --------------------------------------------------------------------------------------------------------------


def test_over_the_api_the_same_is_recorded(shop: Database, postgrest: SupabaseApi) -> None:
    with SupabaseOutbox(postgrest.url, postgrest.secret_key) as api:
        first = api.record_consent(
            consent(occurred_at=THEN, ip="2001:db8::1", contact=Contact(first_name="Nomsa"))
        )
        again = api.record_consent(consent(occurred_at=THEN))
        api.record_consent(consent("082 123 4567", given=False))
        assert api.record_consent(consent("082 123 4567", merchant_id=uuid4())) is None
        assert api.contact_changed(change()) is not None
        assert api.contact_changed(change()) is None
    assert first == again
    assert [(row["identifier"], row["given"], row["occurred_at"] == THEN) for row in consents(shop)] == [
        (NOMSA, True, True),
        (PHONE, False, False),
    ]
    assert str(consents(shop)[0]["ip"]) == "2001:db8::1"
    assert [row.name for row in outbox(shop)] == ["consent_given", "consent_withdrawn", "contact_changed"]


async def test_over_the_api_async_too(shop: Database, postgrest: SupabaseApi) -> None:
    async with AsyncSupabaseOutbox(postgrest.url, postgrest.secret_key) as api:
        assert await api.record_consent(consent("082 123 4567")) is not None
        assert await api.contact_changed(change(changed_at=THEN)) is not None
        with pytest.raises(InvalidEvent, match="since 2000"):
            await api.record_consent(consent(occurred_at=datetime(1999, 1, 1, tzinfo=UTC)))
    assert [row["identifier"] for row in consents(shop)] == [PHONE]
