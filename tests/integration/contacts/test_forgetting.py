"""A person forgotten on request: all that is held of them goes, and nothing of anybody else."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from sandbox.shops import KAROO, PROTEA, Shop
from sandbox.world import Database
from soldt_outbox.omnisend.mapping.people import customer
from soldt_outbox.redaction import contact_hash, mask_email
from tests.support.catalogue import OWN_TABLES
from tests.support.consents import NOMSA, PHONE, consents, record, synchronise
from tests.support.shop import change, claim, outbox, place

THANDI, HER_PHONE = "thandi@example.com", "+27837654321"
TABLES = (
    *(f"public.{table}" for table in OWN_TABLES),
    "omnisend_private.kept_orders",
    "omnisend_private.told_items",
)
NOBODY = {"consents": 0, "rows": 0, "batch_items": 0, "told": 0, "logs": 0, "in_hand": 0}


@pytest.fixture
def shop(database: Database) -> Database:
    synchronise(database)
    synchronise(database, KAROO)
    return database


def forget(
    conn: psycopg.Connection[Any], email: str | None = None, phone: str | None = None, shop: Shop = PROTEA
) -> dict[str, int]:
    found = conn.execute(
        "select public.omnisend_forget_person(%s, %s, %s)", [shop.merchant_id, email, phone]
    ).fetchone()
    assert found is not None
    return found[0]  # type: ignore[no-any-return]


def leave_traces(conn: psycopg.Connection[Any], email: str, phone: str, shop: Shop = PROTEA) -> None:
    """Of one person of a shop: consents, what waits and what is dead, a kept order, what was confirmed, what was logged."""
    said = {"p_merchant_id": shop.merchant_id, "p_ip": "203.0.113.7", "p_user_agent": "Mozilla/5.0"}
    record(conn, email, **said)
    record(conn, email, p_given=False, **said)
    record(conn, phone, **said)
    order = place(conn, merchant_id=shop.merchant_id, customer_email=email, customer_phone=phone)
    change(conn, order, tracking_number="1")  # the order as it was placed is kept
    cart = {"contact": {"email": email, "phone": phone}, "properties": {"cartID": f"cart {order}"}}
    conn.execute(
        "select public.omnisend_enqueue(%s, 'checkout_started', %s)", [shop.merchant_id, Jsonb(cart)]
    )
    conn.execute(
        """update public.integrations_omnisend_outbox
        set state = 'dead', available_at = 'infinity', settled_at = now(), last_error = 'HTTP 400'
        where merchant_id = %s and name = 'consent_withdrawn' and payload ->> 'email' = %s""",
        [shop.merchant_id, email],
    )
    sent = {"contact": {"email": mask_email(email)}}
    conn.execute(
        """insert into public.integrations_omnisend_logs (merchant_id, name, outcome, contact_hash, request, response, error)
        values (%s, 'order_paid', 'dead', %s, %s, '{"error": "no"}', %s)""",
        [shop.merchant_id, contact_hash(email), Jsonb(sent), f"HTTP 400: {mask_email(email)} is no contact"],
    )
    conn.execute(
        "insert into omnisend_private.told_items (merchant_id, resource, item_id, digest) values (%s, 'contacts', %s, '\\x00')",
        [shop.merchant_id, contact_hash(email)],
    )


def everything(database: Database) -> set[tuple[str, str]]:
    """Every row of every table that holds anything of people."""
    with database.connect() as conn:
        return {
            (table, row)
            for table in TABLES
            for (row,) in conn.execute(f"select to_jsonb(t)::text from {table} t")  # type: ignore[arg-type]
        }


@pytest.mark.both_majors
@pytest.mark.parametrize("role", ["postgres", "service_role"])
def test_all_that_is_held_of_a_person_goes_and_nothing_of_anybody_else(shop: Database, role: str) -> None:
    with shop.connect() as conn:
        leave_traces(conn, THANDI, HER_PHONE)
        leave_traces(conn, NOMSA, PHONE, KAROO)
    of_others = everything(shop)
    with shop.connect() as conn:
        leave_traces(conn, NOMSA, PHONE)
    with shop.connect(role) as conn:
        done = forget(conn, " Nomsa@EXAMPLE.com", PHONE)
    assert done == {"consents": 3, "rows": 5, "batch_items": 0, "told": 1, "logs": 1, "in_hand": 0}
    left = everything(shop)
    assert of_others <= left
    traces = " ".join(row for _, row in left - of_others)
    for trace in (NOMSA, PHONE, "821234567", contact_hash(NOMSA), "Nomsa", "203.0.113.7"):
        assert trace not in traces
    rows = [row for row in outbox(shop) if row.state == "skipped"]
    assert {(row.payload, row.ordering_key) for row in rows} == {(None, None)}
    with shop.connect() as conn:
        reasons = conn.execute(
            "select distinct last_error from public.integrations_omnisend_outbox where state = 'skipped'"
        ).fetchall()
    assert reasons == [("forgotten",)]
    with shop.connect() as conn:
        assert forget(conn, NOMSA, PHONE) == NOBODY, "once is enough"


def test_by_one_address_what_is_held_of_that_one_goes(shop: Database) -> None:
    with shop.connect() as conn:
        record(conn, NOMSA)
        record(conn, PHONE)
        assert forget(conn, phone=PHONE) == NOBODY | {"consents": 1, "rows": 1}
    assert [row["identifier"] for row in consents(shop)] == [NOMSA]


def test_an_order_that_waits_is_found_by_its_phone_too(shop: Database) -> None:
    """Its row holds no copy of it."""
    with shop.connect() as conn:
        place(conn, customer_phone="082 123 4567")
        place(conn, customer_phone="083 765 4321")
        assert forget(conn, phone=PHONE) == NOBODY | {"rows": 1}
    assert sorted(row.state for row in outbox(shop)) == ["pending", "skipped"]


SHAPES: list[dict[str, Any]] = [
    {"customer_email": " Nomsa@Example.com "},
    {"customerEmail": NOMSA},
    {"email": "NOMSA@example.com", "channel": "email"},
    {"contact": {"email": f"{NOMSA}\n"}},
    {"contact": json.dumps({"customer_email": NOMSA})},
    {"customer_email": THANDI, "customer_phone": "082 123 4567"},
    {"contact": {"phone": "+27 82 123 4567"}},
    {"contact": {"customerPhone": "(082) 123-4567"}},
    {"contact": json.dumps({"phone": "27821234567"})},
    {"phone": "0027 82 123 4567"},
    {"phone": "+27 (0)82 123 4567"},
]
OTHERS: list[dict[str, Any]] = [
    {"customer_email": THANDI, "customer_phone": "083 123 4567"},
    {"customer_email": f"x{NOMSA}"},
    {"customer_email": f"{NOMSA}.za"},
    {"contact": {"email": THANDI}, "note": f"a gift of {NOMSA}, {PHONE}"},
    {"contact": {"phone": "+44 82 123 4567"}},
    {"contact": {"phone": "123 4567"}},
    {"contact": "no JSON"},
    {"contact": [NOMSA]},
    {},
]


@pytest.mark.parametrize("payload", [*SHAPES, *OTHERS], ids=str)
def test_the_database_reads_whom_a_row_is_about_as_the_mapping_does(
    database: Database, payload: dict[str, Any]
) -> None:
    about = customer(payload, "ZA")
    with database.connect() as conn:
        found = conn.execute(
            "select omnisend_private.names_person(%s, %s, %s)", [Jsonb(payload), NOMSA, PHONE]
        ).fetchone()
    assert found == (payload in SHAPES,)
    assert found == (about.email == NOMSA or about.phone == PHONE,)


def test_what_a_worker_holds_is_left_to_it_and_found_the_next_time(shop: Database) -> None:
    with shop.connect() as conn:
        place(conn)
    with shop.connect("omnisend_worker", autocommit=True) as worker:
        (held,) = claim(worker)
    with shop.connect() as conn:
        assert forget(conn, NOMSA) == NOBODY | {"in_hand": 1}
    (row,) = outbox(shop)
    assert (row.id, row.state, row.payload["customer_email"]) == (held, "pending", NOMSA)
    with shop.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set lease_until = now() - interval '1 second'"
        )
        assert forget(conn, NOMSA) == NOBODY | {"rows": 1}
    (row,) = outbox(shop)
    assert (row.state, row.payload) == ("skipped", None)


# Batches ------------------------------------------------------------------------------------------------------------------


def sync(conn: psycopg.Connection[Any], resource: str, *, state: str = "running", cursor: str = "") -> int:
    found = conn.execute(
        """insert into public.integrations_omnisend_syncs (merchant_id, resource, mode, state, cursor, chunk_size, items)
        values (%s, %s, 'full', %s, %s, 100, 3) returning id""",
        [PROTEA.merchant_id, resource, state, cursor],
    ).fetchone()
    assert found is not None
    return int(found[0])


def batch(conn: psycopg.Connection[Any], name: str, payload: dict[str, Any], lease: str | None = None) -> int:
    found = conn.execute(
        """insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, payload, lease_until)
        values (%s, 'batch', %s, gen_random_uuid()::text, %s, now() + %s::interval) returning id""",
        [PROTEA.merchant_id, name, Jsonb(payload), lease],
    ).fetchone()
    assert found is not None
    return int(found[0])


def test_batches_go_on_without_the_person(shop: Database) -> None:
    """Named by address, by an order of theirs, or by the hash by which Omnisend's answer is read."""
    with shop.connect() as conn:
        hers, anothers = place(conn), place(conn, customer_email=THANDI, customer_phone=HER_PHONE)
        conn.execute("delete from public.integrations_omnisend_outbox")
        contacts, orders = sync(conn, "contacts"), sync(conn, "orders")
        shared = {"sync": contacts, "resource": "contacts"}
        payloads = {
            batch(conn, "batch_submit", one): left
            for one, left in (
                (
                    shared | {"ids": [f"o{hers}", f"o{anothers}", f"c{NOMSA}", f"cx{NOMSA}"]},
                    shared | {"ids": [f"o{anothers}", f"cx{NOMSA}"]},
                ),
                (shared | {"ids": [f"c{PHONE}"]}, None),
                (
                    {
                        "sync": orders,
                        "resource": "orders",
                        "ids": [f"{hers}.1", f"{hers}.2", f"{anothers}.1"],
                    },
                    {"sync": orders, "resource": "orders", "ids": [f"{anothers}.1"]},
                ),
                (
                    {"sync": 9, "resource": "products", "ids": [f"{hers}"]},
                    {"sync": 9, "resource": "products", "ids": [f"{hers}"]},
                ),
            )
        }
        under_way = shared | {"batch": "b1", "method": "POST"}
        items = [["o7", contact_hash(NOMSA), "d1"], ["o8", contact_hash(THANDI), "d2"]]
        payloads[batch(conn, "batch_follow", under_way | {"items": items})] = under_way | {"items": items[1:]}
        held = batch(conn, "batch_follow", under_way | {"items": items[:1]}, lease="1 minute")
        payloads[held] = under_way | {"items": items[:1]}
        assert forget(conn, NOMSA, PHONE) == NOBODY | {"batch_items": 6, "in_hand": 1}
    found = {row.id: row for row in outbox(shop)}
    assert {number: row.payload for number, row in found.items()} == payloads
    emptied = [row.state for row in found.values() if row.payload is None]
    assert emptied == ["skipped"]
    with shop.connect() as conn:
        counted = conn.execute(
            "select id, items_skipped from public.integrations_omnisend_syncs order by id"
        ).fetchall()
    assert counted == [(contacts, 4), (orders, 2)]


@pytest.mark.parametrize(("state", "cursor"), [("finished", ""), ("writing", "canna@example.com")])
def test_a_sync_s_cursor_holds_the_address_no_more_and_passes_nobody_over(
    shop: Database, state: str, cursor: str
) -> None:
    """One that is still written goes on after whoever comes before."""
    with shop.connect() as conn:
        for who in ("anna@example.com", NOMSA, THANDI):
            record(conn, who)
        sync(conn, "contacts", state=state, cursor=f"c{NOMSA}")
        forget(conn, NOMSA)
        assert conn.execute("select cursor from public.integrations_omnisend_syncs").fetchone() == (cursor,)


# Who may, and what stays -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["anon", "authenticated", "omnisend_worker"])
def test_nobody_but_the_server_and_the_owner_forgets_anybody(shop: Database, role: str) -> None:
    with shop.connect(role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        forget(conn, NOMSA)


def test_whoever_gives_themselves_the_setting_removes_no_consent(shop: Database) -> None:
    with shop.connect() as conn:
        record(conn)
        conn.execute("grant select, delete on public.integrations_omnisend_consents to service_role")
    with shop.connect("service_role") as conn:
        conn.execute("select set_config('omnisend.forgetting', %s, true)", [str(PROTEA.merchant_id)])
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            conn.execute("delete from public.integrations_omnisend_consents")
    assert len(consents(shop)) == 1


def test_after_somebody_is_forgotten_consents_stay_as_before(shop: Database) -> None:
    with shop.connect() as conn:
        record(conn)
        record(conn, THANDI)
        forget(conn, NOMSA)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            conn.execute("delete from public.integrations_omnisend_consents")


@pytest.mark.parametrize(
    ("email", "phone", "sentence"),
    [
        (None, None, "whom to forget"),
        (" ", "", "whom to forget"),
        ("nomsa", None, "p_email must be an e-mail address"),
        (f"{NOMSA}, {THANDI}", None, "p_email must be an e-mail address"),
        (None, "082 123 4567", r"E.164 form, such as \+27821234567"),
        (NOMSA, NOMSA, "E.164"),
    ],
)
def test_who_is_not_named_well_is_not_looked_for(
    shop: Database, email: str | None, phone: str | None, sentence: str
) -> None:
    with (
        shop.connect() as conn,
        pytest.raises(psycopg.errors.InvalidParameterValue, match=sentence) as refused,
    ):
        forget(conn, email, phone)
    assert NOMSA not in str(refused.value)
