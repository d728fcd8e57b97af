"""Consents as callers with every right record them: what is written, what is refused, what holds, what Omnisend is to be told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from sandbox.shops import KAROO, PROTEA
from sandbox.world import Database
from soldt_outbox.omnisend.mapping.contacts import Origin, Status
from tests.support.consents import NOMSA, PHONE, ago, consents, record, state, synchronise
from tests.support.shop import connect_shop, outbox

pytestmark = pytest.mark.both_majors


@pytest.fixture
def shop(database: Database) -> Database:
    synchronise(database)
    return database


@pytest.mark.parametrize("role", ["postgres", "service_role", "omnisend_worker"])
def test_a_consent_and_its_row_commit_with_the_callers_transaction(shop: Database, role: str) -> None:
    with shop.connect(role) as conn:
        consent_id = record(
            conn,
            " Nomsa@Example.com ",
            p_source=" newsletter form ",
            p_contact={"firstName": "Nomsa", "phone": PHONE, "city": None},
            p_ip="203.0.113.7",
            p_user_agent="x" * 300,
        )
        assert consents(shop) == [], "not before the caller commits"
    (consent,) = consents(shop)
    assert (consent["id"], consent["channel"], consent["identifier"]) == (consent_id, "email", NOMSA)
    assert (consent["given"], consent["source"], consent["origin"]) == (True, "newsletter form", "shop")
    assert (str(consent["ip"]), consent["user_agent"]) == ("203.0.113.7", "x" * 200)
    assert consent["occurred_at"] == consent["created_at"]
    (row,) = outbox(shop)
    assert (row.kind, row.name, row.dedup_key) == ("contact", "consent_given", str(consent_id))
    assert row.payload == {"channel": "email", "email": NOMSA, "firstName": "Nomsa", "phone": PHONE}
    assert row.expires_at - row.occurred_at == timedelta(days=30)


def test_contacts_have_an_order_of_their_own(shop: Database) -> None:
    """A contact row that waits holds back no event of its customer, and all that is told of one contact stays in order."""
    with shop.connect() as conn:
        record(conn, NOMSA)
        record(conn, PHONE, p_contact={"email": " Nomsa@example.com"})
        record(conn, PHONE, p_source="till")
        keys = conn.execute(
            "select omnisend_private.ordering_key(%s, t) from unnest(%s::text[]) t",
            [PROTEA.merchant_id, [f"contact:{NOMSA}", f"contact:{NOMSA}", f"contact:{PHONE}"]],
        ).fetchall()
    assert [row.ordering_key for row in outbox(shop)] == [key for (key,) in keys]


def test_a_withdrawal_tells_who_and_nothing_else(shop: Database) -> None:
    with shop.connect() as conn:
        record(
            conn,
            p_given=False,
            p_contact={"firstName": "Nomsa", "phone": PHONE, "customProperties": {"a-b": 1}},
        )
    (row,) = outbox(shop)
    assert (row.name, row.payload) == (
        "consent_withdrawn",
        {"channel": "email", "email": NOMSA, "phone": PHONE},
    )


def test_a_consent_of_last_year_is_not_too_old_to_be_told(shop: Database) -> None:
    with shop.connect() as conn:
        then = ago(conn, "400 days")
        record(conn, p_occurred_at=then, p_origin="import", p_source="Mailchimp")
    found = state(shop)
    assert found is not None
    assert (found.status, found.since, found.origin, found.recent) == (
        Status.SUBSCRIBED,
        then,
        Origin.IMPORT,
        False,
    )
    (row,) = outbox(shop)
    assert row.expires_at > row.created_at + timedelta(days=29)


# What holds ---------------------------------------------------------------------------------------------------------------

GIVEN, WITHDRAWN = True, False


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ([], None),
        ([(GIVEN, "1 hour")], Status.SUBSCRIBED),
        ([(WITHDRAWN, "1 hour")], Status.UNSUBSCRIBED),
        ([(GIVEN, "2 hours"), (WITHDRAWN, "1 hour")], Status.UNSUBSCRIBED),
        ([(WITHDRAWN, "1 hour"), (GIVEN, "2 hours")], Status.UNSUBSCRIBED),
        ([(WITHDRAWN, "2 hours"), (GIVEN, "1 hour")], Status.SUBSCRIBED),
        ([(GIVEN, "1 hour"), (WITHDRAWN, "2 hours")], Status.SUBSCRIBED),
        ([(GIVEN, "1 hour"), (WITHDRAWN, "1 hour")], Status.UNSUBSCRIBED),
        ([(WITHDRAWN, "1 hour"), (GIVEN, "1 hour")], Status.UNSUBSCRIBED),
        ([(GIVEN, "3 hours"), (WITHDRAWN, "2 hours"), (GIVEN, "1 hour")], Status.SUBSCRIBED),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_subscribed_only_with_a_recorded_opt_in_newer_than_any_opt_out(
    shop: Database, said: list[tuple[bool, str]], status: Status | None
) -> None:
    """By when it was said, whatever the order in which it was recorded; of the same instant the withdrawal holds."""
    with shop.connect() as conn:
        for given, interval in said:
            record(conn, p_given=given, p_occurred_at=ago(conn, interval))
    found = state(shop)
    assert (found and found.status) == status


def test_of_two_consents_of_the_same_instant_the_later_recorded_holds(shop: Database) -> None:
    with shop.connect() as conn:
        then = ago(conn, "1 hour")
        record(conn, p_occurred_at=then, p_source="first")
        last = record(conn, p_occurred_at=then, p_source="second")
    found = state(shop)
    assert found is not None
    assert (found.source, found.consent_id) == ("second", last)


def test_channels_addresses_and_merchants_are_apart(shop: Database) -> None:
    synchronise(shop, KAROO)
    with shop.connect() as conn:
        record(conn)
        record(conn, PHONE, p_given=False)
    assert [state(shop, who) and state(shop, who).status for who in (NOMSA, PHONE, "nomsa@example.org")] == [  # type: ignore[union-attr]
        Status.SUBSCRIBED,
        Status.UNSUBSCRIBED,
        None,
    ]
    assert state(shop, NOMSA, KAROO) is None


def test_a_clock_that_is_a_little_ahead_means_now(shop: Database) -> None:
    with shop.connect(autocommit=True) as conn:
        record(conn, p_occurred_at=ago(conn, "-4 minutes"))
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="not of the future"):
            record(conn, p_occurred_at=ago(conn, "-6 minutes"))
    (consent,) = consents(shop)
    assert consent["occurred_at"] == consent["created_at"]


# Twice --------------------------------------------------------------------------------------------------------------------


def test_a_form_posted_twice_is_one_consent(shop: Database) -> None:
    with shop.connect(autocommit=True) as conn:
        ids = {record(conn) for _ in range(3)}
    assert len(ids) == len(consents(shop)) == len(outbox(shop)) == 1


def test_what_is_said_again_after_something_else_is_said_again(shop: Database) -> None:
    with shop.connect(autocommit=True) as conn:
        for given in (True, False, True):
            record(conn, p_given=given)
        record(conn, p_source="till")
        record(conn, PHONE)
    assert [row["given"] for row in consents(shop)] == [True, False, True, True, True]
    found = state(shop)
    assert found is not None
    assert found.status is Status.SUBSCRIBED


def test_the_same_consent_of_another_day_is_another(shop: Database) -> None:
    with shop.connect() as conn:
        for interval in ("2 days", "1 day", "2 minutes", "30 seconds"):
            record(conn, p_occurred_at=ago(conn, interval))
    assert len(consents(shop)) == 4


def test_a_withdrawal_repeated_counts_again(shop: Database) -> None:
    """Were it the same one, a consent between the two that arrives late would seem to be the newest."""
    with shop.connect() as conn:
        said = [
            record(conn, p_given=given, p_occurred_at=ago(conn, interval))
            for given, interval in ((False, "40 seconds"), (False, "20 seconds"), (True, "30 seconds"))
        ]
    found = state(shop)
    assert found is not None
    assert (found.status, found.consent_id) == (Status.UNSUBSCRIBED, said[1])


def test_a_withdrawal_told_twice_with_its_instant_is_one(shop: Database) -> None:
    with shop.connect() as conn:
        then = ago(conn, "20 seconds")
        assert len({record(conn, p_given=False, p_occurred_at=then) for _ in range(2)}) == 1


# Whom it is about, and whether Omnisend is told ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("status = 'connected', sync_contacts = true", True),
        ("status = 'error', sync_contacts = true", True),
        ("status = 'disabled', sync_contacts = true", False),
        ("status = 'connected', sync_contacts = false", False),
    ],
)
def test_a_consent_is_recorded_whatever_is_synchronised(shop: Database, columns: str, told: bool) -> None:
    with shop.connect() as conn:
        conn.execute(f"update public.integrations_omnisend set {columns}")  # type: ignore[arg-type]
        record(conn)
    assert (len(consents(shop)), len(outbox(shop))) == (1, told)


def test_of_a_merchant_that_was_never_connected_nothing_is_recorded(database: Database) -> None:
    with database.connect() as conn:
        assert record(conn) is None
        assert record(conn, p_merchant_id=uuid4()) is None
    assert consents(database) == []


def test_what_omnisend_said_is_not_told_to_omnisend(shop: Database) -> None:
    with shop.connect("omnisend_worker") as worker:
        record(worker, p_given=False, p_origin="omnisend", p_source="omnisend")
        worker.execute(
            "insert into public.integrations_omnisend_consents (merchant_id, channel, identifier, given, occurred_at, source, origin)"
            " values (%s, 'sms', %s, false, now(), 'omnisend', 'omnisend')",
            [PROTEA.merchant_id, PHONE],
        )
    assert outbox(shop) == []
    for who in (NOMSA, PHONE):
        found = state(shop, who)
        assert found is not None
        assert (found.status, found.origin) == (Status.UNSUBSCRIBED, Origin.OMNISEND)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"p_merchant_id": None}, "p_merchant_id"),
        ({"p_channel": "phone"}, "email or sms"),
        ({"p_channel": None}, "email or sms"),
        ({"p_given": None}, "p_given"),
        ({"p_identifier": None}, "e-mail address"),
        ({"p_identifier": "nomsa"}, "e-mail address"),
        ({"p_identifier": "nomsa@exämple.com"}, "xn--"),
        ({"p_identifier": "a b@example.com"}, "e-mail address"),
        ({"p_identifier": "a\t@example.com"}, "e-mail address"),
        ({"p_identifier": "a@" + "b" * 250 + ".com"}, "e-mail address"),
        ({"p_channel": "sms", "p_identifier": "082 123 4567"}, r"\+27821234567"),
        ({"p_channel": "sms", "p_identifier": NOMSA}, "E.164"),
        ({"p_channel": "sms", "p_identifier": None}, "E.164"),
        ({"p_source": " "}, "1 to 100"),
        ({"p_source": "x" * 101}, "1 to 100"),
        ({"p_source": None}, "1 to 100"),
        ({"p_occurred_at": "infinity"}, "instant"),
        ({"p_occurred_at": "-infinity"}, "instant"),
        ({"p_occurred_at": "1999-12-31"}, "since 2000"),
        ({"p_ip": "10.0.0.0/8"}, "IP address"),
        ({"p_ip": "nowhere"}, "IP address"),
        ({"p_origin": "elsewhere"}, "p_origin"),
        ({"p_contact": []}, "JSON object"),
        (
            {"p_contact": {"firstname": "Nomsa"}},
            "p_contact.firstname cannot be told here: the fields are email, phone",
        ),
        ({"p_contact": {"firstName": "x" * 40_000}}, "at most 32768"),
        ({"p_contact": {"customProperties": {"a": 1, "shoe-size": 2}}}, "customProperties.shoe-size"),
    ],
    ids=str,
)
def test_what_cannot_be_a_consent_is_refused_with_what_to_do(
    shop: Database, arguments: dict[str, Any], sentence: str
) -> None:
    with (
        shop.connect("service_role") as conn,
        pytest.raises(psycopg.errors.InvalidParameterValue, match=sentence),
    ):
        record(conn, **arguments)


# A changed contact ---------------------------------------------------------------------------------------------------------


def test_a_changed_contact_is_told_once_and_again_when_it_changes_back(shop: Database) -> None:
    call = "select public.omnisend_contact_changed(%s, jsonb_build_object('email', %s::text, 'city', %s::text), %s)"
    with shop.connect("service_role") as conn:
        told = [
            conn.execute(call, [PROTEA.merchant_id, NOMSA, city, at]).fetchone()
            for city, at in (
                ("Paarl", None),
                ("Paarl", None),
                ("Durban", None),
                ("Paarl", "2026-11-01"),
                ("Paarl", "2026-11-01"),
            )
        ]
    assert [row is not None and row[0] is not None for row in told] == [True, False, True, True, False]
    assert {(row.kind, row.name) for row in outbox(shop)} == {("contact", "contact_changed")}
    with shop.connect() as conn:
        key = conn.execute(
            "select omnisend_private.ordering_key(%s, %s)", [PROTEA.merchant_id, f"contact:{NOMSA}"]
        ).fetchone()
    assert {(row.ordering_key,) for row in outbox(shop)} == {key}


@pytest.mark.parametrize(
    ("contact", "sentence"),
    [
        ("null", "p_contact"),
        ("{}", "email or a phone"),
        ('{"mail": "a@b.co"}', "mail"),
        ('{"email": "a@b.co", "customProperties": {"": 1}}', "customProperties"),
    ],
)
def test_a_contact_that_nobody_could_be_is_refused(shop: Database, contact: str, sentence: str) -> None:
    with shop.connect() as conn, pytest.raises(psycopg.errors.InvalidParameterValue, match=sentence):
        conn.execute("select public.omnisend_contact_changed(%s, %s::jsonb)", [PROTEA.merchant_id, contact])


def test_contacts_that_are_not_synchronised_are_not_told(database: Database) -> None:
    connect_shop(database)
    with database.connect() as conn:
        found = conn.execute(
            'select public.omnisend_contact_changed(%s, \'{"email": "a@b.co"}\')', [PROTEA.merchant_id]
        ).fetchone()
    assert found == (None,)
    assert outbox(database) == []


# Append-only ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "update public.integrations_omnisend_consents set given = true",
        "delete from public.integrations_omnisend_consents",
        "truncate public.integrations_omnisend_consents",
    ],
)
@pytest.mark.parametrize("role", ["postgres", "service_role", "authenticated", "anon", "omnisend_worker"])
def test_nobody_changes_or_removes_a_consent(shop: Database, role: str, statement: str) -> None:
    with shop.connect() as conn:
        record(conn)
    refusal = (
        psycopg.errors.ObjectNotInPrerequisiteState
        if role == "postgres"
        else psycopg.errors.InsufficientPrivilege
    )
    claims = {"sub": PROTEA.owner_id} if role == "authenticated" else None
    with shop.connect(role, claims=claims) as conn, pytest.raises(refusal):
        conn.execute(statement)  # type: ignore[call-overload]
    assert len(consents(shop)) == 1


def test_the_worker_writes_back_what_omnisend_said_and_nothing_in_the_shops_name(shop: Database) -> None:
    insert = (
        "insert into public.integrations_omnisend_consents (merchant_id, channel, identifier, given, occurred_at, source{})"
        " values (%s, 'email', %s, true, now(), 'checkout'{})"
    )
    for column, value in (("", ""), (", origin", ", 'import'"), (", created_at", ", now()")):
        with (
            shop.connect("omnisend_worker") as worker,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            worker.execute(insert.format(column, value), [PROTEA.merchant_id, NOMSA])  # type: ignore[arg-type]
    with shop.connect("omnisend_worker") as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute("select from public.integrations_omnisend_consents")


@pytest.mark.parametrize(
    "wrong",
    [
        {"identifier": "Nomsa@example.com"},
        {"identifier": " nomsa@example.com"},
        {"channel": "sms"},
        {"channel": "sms", "identifier": "0821234567"},
        {"occurred_at": "2999-01-01"},
        {"occurred_at": "1999-01-01"},
        {"source": ""},
        {"origin": "elsewhere"},
        {"user_agent": "x" * 201},
    ],
    ids=str,
)
def test_the_table_itself_takes_no_address_that_could_not_be_found_again(
    shop: Database, wrong: dict[str, Any]
) -> None:
    row = {
        "merchant_id": PROTEA.merchant_id,
        "channel": "email",
        "identifier": NOMSA,
        "given": False,
        "occurred_at": "2026-01-01",
        "source": "omnisend",
        "origin": "omnisend",
    } | wrong
    columns, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    with shop.connect() as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            f"insert into public.integrations_omnisend_consents ({columns}) values ({values})",  # type: ignore[arg-type]
            row,
        )
