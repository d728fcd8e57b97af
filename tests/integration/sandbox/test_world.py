"""The database the other tests stand on is what it claims to be."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from sandbox.postgres import OutsideServer
from sandbox.shops import BO_KAAP, KAROO, PROTEA, STRANGER_ID
from sandbox.world import Database

pytestmark = [pytest.mark.both_majors, pytest.mark.both_regimes]

ORDER = """
    insert into public.orders (merchant_id, customer_email, customer_name, shipping_address, items, total)
    values (%s, %s, 'Nomsa Dlamini', '{}', '[]', %s)
"""


def test_the_server_has_the_wanted_major(database: Database, postgres_major: int) -> None:
    if isinstance(database.server, OutsideServer):
        pytest.skip("an outside server has the major it has")
    with database.connect() as conn:
        assert conn.info.server_version // 10_000 == postgres_major


def test_migrations_run_as_a_role_that_is_no_superuser(database: Database) -> None:
    with database.connect() as conn:
        row = conn.execute(
            "select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = current_user"
        ).fetchone()
        assert row == (False, True, True)
        owners = conn.execute(
            "select distinct tableowner from pg_tables where schemaname = 'public'"
        ).fetchall()
        assert owners == [("postgres",)]


@pytest.mark.world(soldt=False, migrations=False)
def test_a_new_table_is_exposed_as_the_regime_says(database: Database, auto_expose: bool) -> None:
    with database.connect() as conn:
        conn.execute("create table public.fresh (id bigint)")
        row = conn.execute(
            """
            select has_table_privilege('anon', 'public.fresh', 'select'),
                   has_table_privilege('service_role', 'public.fresh', 'insert'),
                   has_table_privilege('anon', 'public.fresh', 'truncate')
            """
        ).fetchone()
    assert row == (auto_expose, auto_expose, True), "the official revokes leave TRUNCATE behind"


@pytest.mark.world(migrations=False)
def test_auth_functions_read_the_claims(database: Database) -> None:
    with database.connect(
        "authenticated", claims={"sub": PROTEA.owner_id, "email": "thandi@protea.example"}
    ) as conn:
        row = conn.execute("select auth.uid(), auth.role(), auth.email(), auth.jwt() ->> 'role'").fetchone()
    assert row == (PROTEA.owner_id, "authenticated", "thandi@protea.example", "authenticated")
    with database.connect("anon") as conn:
        assert conn.execute("select auth.uid(), auth.jwt()").fetchone() == (None, None)


@pytest.mark.world(migrations=False)
def test_admins_see_their_own_orders_only(database: Database) -> None:
    with database.connect("anon") as conn:
        conn.execute(ORDER, [PROTEA.merchant_id, " Nomsa@Example.COM ", 10])
    admins = {PROTEA.owner_id, *PROTEA.member_ids}
    for user in (*admins, KAROO.owner_id, STRANGER_ID):
        with database.connect("authenticated", claims={"sub": user}) as conn:
            seen = conn.execute("select customer_email from public.orders").fetchall()
        assert seen == ([("nomsa@example.com",)] if user in admins else []), user


@pytest.mark.world(migrations=False)
def test_a_browser_cannot_read_orders_back(database: Database, auto_expose: bool) -> None:
    with database.connect("anon") as conn:
        conn.execute(ORDER, [PROTEA.merchant_id, "nomsa@example.com", 10])
        if auto_expose:
            assert conn.execute("select * from public.orders").fetchall() == []
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("select * from public.orders")


@pytest.mark.world(migrations=False)
@pytest.mark.parametrize(("email", "total"), [("not-an-address", 10), ("nomsa@example.com", -1)])
def test_a_bad_order_is_refused(database: Database, email: str, total: int) -> None:
    with database.connect("anon") as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(ORDER, [BO_KAAP.merchant_id, email, total])


@pytest.mark.world(legacy=True, migrations=False)
def test_the_earlier_tables_let_browsers_read_keys(database: Database) -> None:
    with database.connect("authenticated", claims={"sub": KAROO.owner_id}) as conn:
        keys = conn.execute("select api_key from public.integrations_omnisend").fetchall()
    assert keys == [("5f0000000000000000000002-legacyKarooKey",)]


@pytest.mark.parametrize("legacy", [False, True])
def test_migrations_apply(make_database: Callable[..., Database], legacy: bool) -> None:
    database = make_database(legacy=legacy)
    with database.connect("omnisend_worker") as conn:
        assert conn.execute("select count(*) from public.integrations_omnisend_outbox").fetchone() is not None
