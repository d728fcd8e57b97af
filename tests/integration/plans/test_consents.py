"""What holds of an address is one probe of an index, however much was ever said; a consent is recorded by as much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from sandbox.world import Database
from tests.integration.plans.tables import OWNER_OF_MANY, Plan, Session, merchant

pytestmark = pytest.mark.xdist_group("plans")

NEWEST = "integrations_omnisend_consents_newest_idx"
PROBE = 5  # an index of up to four levels and a row


def asked(*who: tuple[int, str]) -> dict[str, list[Any]]:
    return {
        "merchants": [merchant(number) for number, _ in who],
        "channels": ["email"] * len(who),
        "identifiers": [identifier for _, identifier in who],
    }


def body_of(database: Database, function: str) -> str:
    with database.connect() as conn:
        found = conn.execute("select prosrc from pg_proc where proname = %s", [function]).fetchone()
    assert found is not None
    return str(found[0])


def planned(session: Session, body: str, parameters: dict[str, list[Any]]) -> Plan:
    """The statement inside the function, whose plan EXPLAIN does not show."""
    for name, placeholder in (
        ("p_merchant_ids", "%(merchants)s::uuid[]"),
        ("p_channels", "%(channels)s::text[]"),
        ("p_identifiers", "%(identifiers)s::text[]"),
    ):
        body = body.replace(name, placeholder)
    return session.explain(body, **parameters)


def test_what_holds_of_many_addresses_is_a_probe_each(full_database: Database) -> None:
    people = asked(*((1 + n % 500, f"person-{n}@example.com") for n in range(400)))
    with full_database.connect() as owner:
        plan = planned(Session(owner), body_of(full_database, "consent_states"), people)
    assert not plan.whole_tables
    assert plan.indexes == {NEWEST}
    assert plan.rows == 400
    assert plan.rows_touched == 400, "of the five that each said, the newest"
    assert plan.buffers <= PROBE * 400


def test_the_worker_reads_as_much_by_way_of_the_function(worker: Session) -> None:
    people = asked(*((1 + n % 500, f"person-{n}@example.com") for n in range(400)))
    worker.explain("consent_states", **people)  # the first call reads the catalogs
    plan = worker.explain("consent_states", **people)
    assert plan.rows == 400
    assert plan.buffers <= PROBE * 400


def test_ten_thousand_words_of_one_person_cost_no_more_than_one(worker: Session) -> None:
    undecided, decided = asked((1, "undecided@example.com")), asked((1, "person-500@example.com"))
    for parameters in (undecided, decided):
        worker.explain("consent_states", **parameters)
    assert (
        worker.explain("consent_states", **undecided).buffers
        <= worker.explain("consent_states", **decided).buffers + 1
    )


def test_recording_reads_what_was_said_within_the_minute(worker: Session) -> None:
    def recorded(identifier: str) -> Plan:
        call = "select public.omnisend_record_consent(%(merchant)s, 'email', %(identifier)s)"
        return worker.explain(call, merchant=merchant(1), identifier=identifier)

    recorded("somebody@example.com")
    assert recorded("undecided@example.com").buffers <= recorded("person-500@example.com").buffers + PROBE


def test_an_admins_list_reads_that_merchants_rows(admin: Callable[[UUID], Any]) -> None:
    with admin(OWNER_OF_MANY) as session:
        plan = session.explain(
            "select * from public.integrations_omnisend_consents where merchant_id = %(shop)s and identifier = %(who)s",
            shop=merchant(1),
            who="person-500@example.com",
        )
    assert not plan.whole_tables
    assert plan.indexes & {NEWEST}
    assert plan.rows_touched == plan.rows == 5
