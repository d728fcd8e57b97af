"""A database that already has SOLDT's earlier Omnisend tables, with rows in them, ends as a fresh one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from postgrest.exceptions import APIError
from psycopg.types.json import Jsonb

from sandbox.shops import BO_KAAP, KAROO, PROTEA, STRANGER_ID
from sandbox.world import Database
from soldt_outbox.administration.plaintext import encrypt_credentials
from soldt_outbox.credentials import KeyRing
from soldt_outbox.migrations import apply_migrations
from tests.support.api import SupabaseClients
from tests.support.catalogue import API_ROLES, snapshot
from tests.support.shop import admin, change, names, outbox, place

pytestmark = [pytest.mark.world(legacy=True), pytest.mark.both_majors]

KEYS = KeyRing.parse(KeyRing.generate("k1"))
PLAINTEXT = {
    PROTEA.merchant_id: "5f0000000000000000000001-legacyProteaKey",
    KAROO.merchant_id: "5f0000000000000000000002-legacyKarooKey",
    BO_KAAP.merchant_id: "5f0000000000000000000003-legacyBoKaapKey",
}
CART = "cart:sess_9c1f6f0e-7b1d-4c58-9d2e-0b6f5d1c2a3b"
SESSION = "sess_9c1f6f0e-7b1d-4c58-9d2e-0b6f5d1c2a3b"


def encrypt(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        assert encrypt_credentials(conn, KEYS).moved == len(PLAINTEXT)


def catalogs(database: Database) -> dict[str, list[str]]:
    with database.connect() as conn:
        return snapshot(conn)


# The schema ------------------------------------------------------------------------------------------------------------


@pytest.mark.both_regimes
def test_fresh_and_migrated_databases_have_the_same_catalogs(make_database: Callable[..., Database]) -> None:
    migrated = make_database()
    encrypt(migrated)
    found, expected = catalogs(migrated), catalogs(make_database(legacy=False))
    for aspect, lines in expected.items():
        assert found[aspect] == lines, aspect
        assert lines or aspect == "publications", f"{aspect} compares nothing"


@pytest.mark.both_regimes
@pytest.mark.world(legacy=True, migrations=False)
def test_whatever_the_earlier_tables_called_things_goes(make_database: Callable[..., Database]) -> None:
    """Policies, checks, keys, indexes and grants under names that nobody wrote down."""
    database = make_database()
    with database.connect(autocommit=True) as conn:
        conn.execute(
            """
            alter table public.integrations_omnisend rename constraint integrations_omnisend_pkey to "Omnisend pk";
            alter table public.integrations_omnisend rename constraint integrations_omnisend_status_check to odd;
            alter table public.integrations_omnisend add constraint one_key unique (api_key);
            create index "By status" on public.integrations_omnisend (status);
            create index on public.integrations_omnisend_logs ((request ->> 'eventName'));
            create policy "all may" on public.integrations_omnisend for all to public using (true) with check (true);
            create policy "all may too" on public.integrations_omnisend_logs for all using (true);
            grant select (api_key), update (api_key) on public.integrations_omnisend to authenticated, anon;
            grant all on public.integrations_omnisend, public.integrations_omnisend_logs to public;
            """
        )
        apply_migrations(conn)
    encrypt(database)
    assert catalogs(database) == catalogs(make_database(legacy=False, migrations=True))


def test_rows_of_the_earlier_tables_are_kept(database: Database) -> None:
    with database.connect() as conn:
        connections = conn.execute(
            "select merchant_id, status, last_error, currency, country_code from public.integrations_omnisend order by 1"
        ).fetchall()
        logs = conn.execute(
            "select kind, count(*) from public.integrations_omnisend_logs group by kind order by kind"
        ).fetchall()
        dedupe = conn.execute("select to_regclass('public.integrations_omnisend_dedupe')").fetchone()
    assert connections == [
        (PROTEA.merchant_id, "connected", None, "ZAR", "ZA"),
        (KAROO.merchant_id, "error", "AUTH", "ZAR", "ZA"),
        (BO_KAAP.merchant_id, "disabled", None, "ZAR", "ZA"),
    ]
    assert logs == [("contact", 1), ("event", 2), ("order", 1), ("product", 1)]
    assert dedupe == (None,)


# The keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.both_regimes
def test_no_api_role_reads_a_plaintext_key_even_before_it_is_encrypted(
    database: Database, supabase_client: SupabaseClients
) -> None:
    with database.connect() as conn:
        for role in API_ROLES:
            for privilege in ("select", "insert", "update", "references"):
                held = conn.execute(
                    "select has_column_privilege(%s, 'public.integrations_omnisend', 'api_key', %s)",
                    [role, privilege],
                ).fetchone()
                assert held == (False,), (role, privilege)
    clients = (
        supabase_client(),
        supabase_client(PROTEA.owner_id),
        supabase_client(PROTEA.member_ids[0]),
        supabase_client(STRANGER_ID),
        supabase_client(secret=True),
    )
    for client in clients:
        table = client.table("integrations_omnisend")
        for request in (
            table.select("api_key"),
            table.select("*"),
            table.select("merchant_id").like("api_key", "5f%"),
            table.select("merchant_id").order("api_key"),
            table.update({"api_key": "x"}).eq("status", "connected"),
            table.insert({"merchant_id": str(KAROO.merchant_id), "api_key": "x"}),
            table.delete().eq("status", "connected"),
        ):
            with pytest.raises(APIError) as refused:
                request.execute()
            assert refused.value.code == "42501"


def test_keys_end_encrypted_each_for_its_own_merchant(database: Database) -> None:
    encrypt(database)
    with database.connect() as conn:
        stored: list[Any] = conn.execute(
            "select merchant_id, api_key_enc from public.integrations_omnisend"
        ).fetchall()
        with pytest.raises(psycopg.errors.UndefinedColumn):
            conn.execute("select api_key from public.integrations_omnisend")
    opened = {
        merchant_id: KEYS.decrypt(sealed, merchant_id=merchant_id, column="api_key_enc")
        for merchant_id, sealed in stored
    }
    assert opened == PLAINTEXT


# What was sent ---------------------------------------------------------------------------------------------------------


def test_rows_of_the_dedupe_table_are_settled_rows_of_the_outbox(database: Database) -> None:
    rows = outbox(database, None)
    assert {(row.state, row.payload, row.ordering_key) for row in rows} == {("delivered", None, None)}
    assert sorted((row.merchant_id == PROTEA.merchant_id, row.name, row.dedup_key) for row in rows) == [
        (False, "order_placed", "9001"),
        (False, "order_placed", "legacy:placed_order:77aa01"),
        (True, "checkout_started", "cart_" + SESSION),
        (True, "order_canceled", "9002"),
        (True, "order_fulfilled", "9001"),
        (True, "order_paid", "9001"),
        (True, "order_placed", "9001"),
        (True, "order_placed", "evt:order_placed:3f2a9c"),
        (True, "order_refunded", "9003"),
        (True, "product_added_to_cart", "cart_" + SESSION + ":101:2"),
        (True, "product_viewed", SESSION + ":102"),
    ]


def test_orders_that_were_told_are_not_told_again(database: Database) -> None:
    before = len(names(database))
    with admin(database) as conn:
        place(conn, id=9001)
        change(conn, 9001, payment_status="paid")
        change(conn, 9001, status="shipped")
        change(conn, 9001, status="delivered", tracking_number="TRK-1")
        assert names(database)[before:] == []
        change(conn, 9001, status="cancelled")
        place(conn, id=9002, status="cancelled")
        place(conn, id=9003, payment_status="refunded")
    assert names(database)[before:] == ["order_canceled", "order_placed", "order_placed"]
    with admin(database, KAROO) as conn:
        place(conn, id=9004, merchant_id=KAROO.merchant_id)
    assert names(database, KAROO)[-1] == "order_placed", "another order of the same shop is news"


@pytest.mark.parametrize(
    ("name", "payload", "dedup_key"),
    [
        (
            "added_to_cart",
            {"properties": {"cartID": CART, "lineItems": [{"productID": 101, "quantity": 2}]}},
            None,
        ),
        (
            "added_product_to_cart",
            {"properties": {"cartID": CART.upper(), "addedItem": {"productID": "101", "productQuantity": 2}}},
            None,
        ),
        ("viewed_product", {"sessionID": SESSION, "properties": {"productID": "102"}}, None),
        ("viewed_product", {"properties": {"sessionID": SESSION, "product": {"id": 102}}}, None),
        ("started_checkout", {"properties": {"cartID": CART}}, None),
        ("placed_order", {"properties": {"orderID": 9001}}, None),
        ("order_placed", {"id": 9001}, None),
        ("paid_for_order", {"properties": {"orderID": "9001"}}, None),
        ("order_fulfilled", {"properties": {"orderID": "9001"}}, None),
        ("order_canceled", {"id": 9002}, None),
        ("order_refunded", {"id": 9003}, None),
        ("placed_order", {"id": 1}, "evt:order_placed:3f2a9c"),
    ],
    ids=str,
)
def test_each_form_of_a_dedupe_id_counts_as_already_sent(
    database: Database, name: str, payload: dict[str, Any], dedup_key: str | None
) -> None:
    with database.connect("service_role") as conn:
        written = conn.execute(
            "select public.omnisend_enqueue(%s, %s, %s, %s)",
            [PROTEA.merchant_id, name, Jsonb(payload), dedup_key],
        ).fetchone()
    assert written == (None,)


@pytest.mark.world(legacy=True, migrations=False)
def test_dedupe_ids_that_nobody_expected_stop_no_migration(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        conn.execute(
            """
            insert into public.integrations_omnisend_dedupe (merchant_id, event_id, event_name) values
              (%(shop)s, '', null), (%(shop)s, ':', null), (%(shop)s, 'no colon', 'viewed product'), (%(shop)s, 'op:', ''),
              (%(shop)s, 'évt:ünïcödé:🛒', 'placed order'), (%(shop)s, repeat('x', 2600), null), (%(shop)s, 'legacy:', null),
              (%(shop)s, 'ful:9001', 'order fulfilled')
            """,
            {"shop": BO_KAAP.merchant_id},
        )
        apply_migrations(conn)
    assert {(row.name, row.dedup_key) for row in outbox(database, BO_KAAP)} == {
        ("unknown", ":"),
        ("product_viewed", "no colon"),
        ("order_placed", ""),
        ("order_placed", "évt:ünïcödé:🛒"),
        ("unknown", "legacy:"),
        ("order_fulfilled", "9001"),
    }
