"""What the catalogs say about privileges: every table, column, sequence and function, for every role."""

from __future__ import annotations

from itertools import product

import psycopg
import pytest

from sandbox.shops import PROTEA
from sandbox.world import Database
from tests.support.catalogue import API_ROLES, OWN_TABLES
from tests.support.shop import connect_shop, place

pytestmark = [pytest.mark.both_majors, pytest.mark.both_regimes]

WORKER = "omnisend_worker"
_ENQUEUE = "(uuid,text,jsonb,text,timestamp with time zone,text,text)"
_CONSENT = "(uuid,text,text,boolean,text,timestamp with time zone,jsonb,text,text,text)"
_CHANGED = "(uuid,jsonb,timestamp with time zone)"
CALLABLE = {
    f"public.omnisend_enqueue{_ENQUEUE}": {"service_role", WORKER},
    "public.omnisend_retry(bigint[])": {"authenticated"},
    f"omnisend_private.enqueue{_ENQUEUE}": {"service_role", WORKER},
    "omnisend_private.retry(bigint[])": {"authenticated"},
    "omnisend_private.administered_merchants()": {"authenticated"},
    "omnisend_private.merchant_profiles(uuid[])": {WORKER},
    "omnisend_private.merchant_by_slug(text)": {WORKER},
    "omnisend_private.placed_order(bigint)": {WORKER},
    "omnisend_private.forget_kept_orders(integer)": {WORKER},
    "omnisend_private.catalogue(uuid[],bigint[])": {WORKER},
    "omnisend_private.oldest_snapshot_seconds()": {WORKER},
    "omnisend_private.ordering_key(uuid,text)": {WORKER},
    "omnisend_private.shop_products(uuid[],bigint[])": {WORKER},
    "omnisend_private.shop_collections(uuid[],bigint[])": {WORKER},
    f"public.omnisend_record_consent{_CONSENT}": {*API_ROLES, WORKER},
    f"omnisend_private.record_consent{_CONSENT}": {"service_role", WORKER},
    "omnisend_private.record_consent_in_browser(uuid,text,text,boolean,text,jsonb)": {
        "anon",
        "authenticated",
    },
    f"public.omnisend_contact_changed{_CHANGED}": {"service_role", WORKER},
    f"omnisend_private.contact_changed{_CHANGED}": {"service_role", WORKER},
    "omnisend_private.consent_states(uuid[],text[],text[])": {WORKER},
    "public.omnisend_forget_person(uuid,text,text)": {"service_role"},
    "omnisend_private.forget_person(uuid,text,text)": {"service_role"},
    "omnisend_private.write_sync(bigint,integer)": {WORKER},
    "omnisend_private.sync_orders(bigint,bigint[])": {WORKER},
    "omnisend_private.note_unsubscribed(uuid,text,text,timestamp with time zone)": {WORKER},
    "omnisend_private.reconcile(uuid,timestamp with time zone,bigint,integer,boolean)": {WORKER},
}
"""Who may call which function; every other function of ours nobody may."""

READABLE = {
    # table: (roles that read all of it, roles that read some columns)
    "integrations_omnisend": ({WORKER}, {"authenticated", "service_role"}),
    "integrations_omnisend_logs": ({"authenticated", "service_role", WORKER}, set()),
    "integrations_omnisend_outbox": ({WORKER}, {"authenticated", "service_role"}),
    "integrations_omnisend_lanes": ({"authenticated", "service_role", WORKER}, set()),
    "integrations_omnisend_workers": ({"service_role", WORKER}, set()),
    "integrations_omnisend_consents": ({"authenticated"}, set()),
    "integrations_omnisend_syncs": ({"authenticated", "service_role", WORKER}, set()),
}
WORKER_WRITES = {
    "integrations_omnisend": {"INSERT", "UPDATE"},
    "integrations_omnisend_logs": {"INSERT", "DELETE"},
    "integrations_omnisend_outbox": {"INSERT", "UPDATE", "DELETE"},
    "integrations_omnisend_lanes": {"INSERT", "UPDATE", "DELETE"},
    "integrations_omnisend_workers": {"INSERT", "UPDATE", "DELETE"},
    "integrations_omnisend_syncs": {"INSERT", "UPDATE"},
}
OTHER_THAN_SELECT = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
HIDDEN = {
    ("integrations_omnisend", column)
    for column in (
        "api_key_enc",
        "access_token_enc",
        "refresh_token_enc",
        "token_refreshed_at",
        "refresh_lease_token",
        "refresh_lease_until",
    )
} | {
    ("integrations_omnisend_outbox", column)
    for column in ("payload", "dedup_key", "ordering_key", "lease_token", "lease_until", "leased_by")
}


@pytest.fixture
def conn(database: Database) -> psycopg.Connection:
    with database.connect() as conn:
        yield conn


def test_every_table_of_ours_has_row_level_security(conn: psycopg.Connection) -> None:
    found = conn.execute(
        """
        select relname, relrowsecurity from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'm', 'f') and relname like '%%omnisend%%'
        """
    ).fetchall()
    assert dict(found) == dict.fromkeys(OWN_TABLES, True)


def test_reading_is_granted_by_column_where_something_is_hidden(conn: psycopg.Connection) -> None:
    for table, (whole, part) in READABLE.items():
        for role in (*API_ROLES, WORKER):
            held = conn.execute(
                "select has_table_privilege(%(r)s, %(t)s, 'select'), has_any_column_privilege(%(r)s, %(t)s, 'select')",
                {"r": role, "t": f"public.{table}"},
            ).fetchone()
            assert held == (role in whole, role in whole | part), (role, table)
    unreadable = conn.execute(
        """
        select role, c.relname, a.attname
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        cross join unnest(array['authenticated', 'service_role']) as role
        where c.relnamespace = 'public'::regnamespace and c.relname in ('integrations_omnisend', 'integrations_omnisend_outbox')
          and not has_column_privilege(role, c.oid, a.attnum, 'select')
        """
    ).fetchall()
    assert set(unreadable) == {
        (role, *column) for role, column in product(("authenticated", "service_role"), HIDDEN)
    }


def test_no_api_role_holds_any_other_privilege_on_a_table_view_or_sequence(conn: psycopg.Connection) -> None:
    """TRUNCATE among them, which row level security does not stop, and MAINTAIN where there is one."""
    more = ["MAINTAIN"] if conn.info.server_version >= 170_000 else []
    held = conn.execute(
        """
        select role, c.relname, privilege
        from pg_class c cross join unnest(%(roles)s::text[]) as role cross join unnest(%(privileges)s::text[]) as privilege
        where c.relnamespace = 'public'::regnamespace and c.relname like '%%omnisend%%' and c.relkind in ('r', 'v')
          and (has_table_privilege(role, c.oid, privilege)
            or (privilege in ('INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege(role, c.oid, privilege)))
        union all
        select role, c.relname, privilege
        from pg_class c cross join unnest(%(roles)s::text[]) as role cross join unnest(array['USAGE', 'SELECT', 'UPDATE']) as privilege
        where c.relnamespace = 'public'::regnamespace and c.relname like '%%omnisend%%' and c.relkind = 'S'
          and has_sequence_privilege(role, c.oid, privilege)
        """,
        {"roles": [*API_ROLES, "public"], "privileges": [*OTHER_THAN_SELECT, *more]},
    ).fetchall()
    assert held == []


def test_a_visitor_holds_nothing_of_ours(conn: psycopg.Connection) -> None:
    held = conn.execute(
        """
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relname like '%%omnisend%%' and c.relkind in ('r', 'v')
          and (has_any_column_privilege('anon', c.oid, 'select') or has_any_column_privilege('public', c.oid, 'select'))
        """
    ).fetchall()
    assert held == []
    open_to_them = conn.execute(
        """
        select p.proname from pg_proc p
        where p.pronamespace = 'omnisend_private'::regnamespace and has_function_privilege('anon', p.oid, 'execute')
        """
    ).fetchall()
    assert open_to_them == [("record_consent_in_browser",)], "all that the private schema is open to them for"


# Functions -------------------------------------------------------------------------------------------------------------


def test_nobody_but_the_worker_touches_authorizations_under_way(conn: psycopg.Connection) -> None:
    held = conn.execute(
        """
        select role, privilege
        from unnest(%s::text[]) as role cross join unnest(%s::text[]) as privilege
        where has_table_privilege(role, 'omnisend_private.oauth_authorizations', privilege)
        """,
        [[*API_ROLES, "public"], ["SELECT", *OTHER_THAN_SELECT]],
    ).fetchall()
    assert held == []
    secured = conn.execute(
        "select relrowsecurity from pg_class where oid = 'omnisend_private.oauth_authorizations'::regclass"
    ).fetchone()
    assert secured == (True,)


def test_who_may_call_which_function(conn: psycopg.Connection) -> None:
    found = conn.execute(
        """
        select p.oid::regprocedure::text, role, has_function_privilege(role, p.oid, 'execute')
        from pg_proc p cross join unnest(%s::text[]) as role
        where p.pronamespace = 'omnisend_private'::regnamespace or (p.pronamespace = 'public'::regnamespace and p.proname like '%%omnisend%%')
        """,
        [[*API_ROLES, WORKER, "public"]],
    ).fetchall()
    names = {name if name.startswith("omnisend_private.") else f"public.{name}" for name, _, _ in found}
    assert names >= set(CALLABLE), "a function that the expectations name is missing"
    for name, role, may_call in found:
        qualified = name if name.startswith("omnisend_private.") else f"public.{name}"
        assert may_call == (role in CALLABLE.get(qualified, set())), (qualified, role)


def test_functions_with_their_owners_rights_are_private_and_have_a_fixed_search_path(
    conn: psycopg.Connection,
) -> None:
    """What the advisors of the CLI do not look at. Every function has the path; the API sees none of the definers."""
    rows = conn.execute(
        """
        select p.oid::regprocedure::text, p.pronamespace::regnamespace::text, p.prosecdef, p.proconfig, p.proowner::regrole::text,
          p.proacl is null or exists (select from aclexplode(p.proacl) g where g.grantee = 0)
        from pg_proc p
        where p.pronamespace = 'omnisend_private'::regnamespace or (p.pronamespace = 'public'::regnamespace and p.proname like '%omnisend%')
        """
    ).fetchall()
    assert len(rows) >= 15
    for name, schema, definer, settings, owner, open_to_public in rows:
        assert settings == ['search_path=""'], name
        assert not open_to_public, name
        assert not definer or (schema, owner) == ("omnisend_private", "postgres"), name


def test_no_trigger_of_ours_is_on_a_table_where_it_could_be_called_with_others_rights(
    conn: psycopg.Connection,
) -> None:
    found = conn.execute(
        """
        select t.tgrelid::regclass::text, t.tgname from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where p.pronamespace = 'omnisend_private'::regnamespace order by 1, 2
        """
    ).fetchall()
    catalogue = ["collection_products", "collections", "product_variants", "products"]
    assert found == [
        *[
            (table, f"integrations_omnisend_{table}_{done}")
            for table in catalogue[:2]
            for done in ("deleted", "inserted", "updated")
        ],
        ("integrations_omnisend", "integrations_omnisend_merchant_deleted"),
        ("integrations_omnisend", "integrations_omnisend_syncs_deleted"),
        ("integrations_omnisend_consents", "integrations_omnisend_consents_not_truncated"),
        ("integrations_omnisend_consents", "integrations_omnisend_consents_stay"),
        ("integrations_omnisend_outbox", "integrations_omnisend_wake_workers"),
        ("orders", "integrations_omnisend_order_inserted"),
        ("orders", "integrations_omnisend_order_kept"),
        ("orders", "integrations_omnisend_order_updated"),
        *[
            (table, f"integrations_omnisend_{table}_{done}")
            for table in catalogue[2:]
            for done in ("deleted", "inserted", "updated")
        ],
    ]


# The worker ------------------------------------------------------------------------------------------------------------


def test_the_worker_can_touch_its_own_tables_and_no_other(conn: psycopg.Connection) -> None:
    """Over every table, view and column of every schema there is but PostgreSQL's own."""
    held = conn.execute(
        """
        select n.nspname || '.' || c.relname, privilege
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        cross join unnest(%s::text[]) as privilege
        where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
          and (has_table_privilege(%s, c.oid, privilege)
            or (privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege(%s, c.oid, privilege)))
        """,
        [["SELECT", *OTHER_THAN_SELECT], WORKER, WORKER],
    ).fetchall()
    expected = {
        (f"public.{table}", privilege)
        for table, writes in WORKER_WRITES.items()
        for privilege in {"SELECT", *writes}
    }
    copies = {
        ("omnisend_private.kept_orders", privilege) for privilege in ("SELECT", "DELETE")
    }  # by id alone
    written_back = {("public.integrations_omnisend_consents", "INSERT")}  # what holds is read by a function
    authorizations = {
        ("omnisend_private.oauth_authorizations", privilege) for privilege in ("SELECT", "INSERT", "DELETE")
    }
    told = {
        (f"omnisend_private.{table}", privilege)
        for table in ("told_items", "contact_watermarks")
        for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")
    }
    assert set(held) == expected | copies | written_back | authorizations | told
    looked_at = conn.execute(
        "select count(*) from pg_class where relkind = 'r' and relnamespace in ('public'::regnamespace, 'auth'::regnamespace)"
    ).fetchone()
    assert looked_at is not None
    assert looked_at[0] >= 13


def test_the_worker_is_a_role_without_powers(conn: psycopg.Connection) -> None:
    role = conn.execute(
        """
        select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolinherit,
          exists (select from pg_auth_members m where m.member = r.oid)
        from pg_roles r where rolname = %s
        """,
        [WORKER],
    ).fetchone()
    assert role == (False,) * 7
    for schema in ("public", "omnisend_private", "auth", "extensions"):
        assert conn.execute("select has_schema_privilege(%s, %s, 'create')", [WORKER, schema]).fetchone() == (
            False,
        )


def test_the_worker_reads_ciphertexts_and_payloads_and_is_refused_everything_else(database: Database) -> None:
    connect_shop(database, api_key_enc="v1:k1:AAAA")
    with database.connect() as conn:
        place(conn)
    with database.connect(WORKER, autocommit=True) as worker:
        assert worker.execute("select api_key_enc from public.integrations_omnisend").fetchall() == [
            ("v1:k1:AAAA",)
        ]
        read = worker.execute(
            "select omnisend_private.placed_order(id) ->> 'customer_email' from public.integrations_omnisend_outbox"
        )
        assert read.fetchall() == [("nomsa@example.com",)], "an order, by the row that waits to tell it"
        profile = worker.execute(
            "select slug, custom_domain from omnisend_private.merchant_profiles(%s)", [[PROTEA.merchant_id]]
        )
        assert profile.fetchall() == [("protea", "shop.protea.example")]
        catalogue = worker.execute(
            "select product_id, title from omnisend_private.catalogue(%s, %s)",
            [[PROTEA.merchant_id, PROTEA.merchant_id], [102, 201]],
        )
        assert catalogue.fetchall() == [(102, "Enamel mug")], "another shop's product is not given away"
        for look_up in ("shop_products", "shop_collections"):
            theirs = worker.execute(
                f"select * from omnisend_private.{look_up}(%s, %s)",  # type: ignore[arg-type]
                [[PROTEA.merchant_id, PROTEA.merchant_id], [201, 21]],
            )
            assert theirs.fetchall() == []
        for statement in (
            "select from public.orders",
            "select from public.merchants",
            "select from public.products",
            "select from auth.users",
            "delete from public.integrations_omnisend",
            "update public.integrations_omnisend_logs set name = 'forged'",
            "truncate public.integrations_omnisend_outbox",
            "drop table public.integrations_omnisend_outbox",
            "create table public.mine (id int)",
            "set role postgres",
            "set role service_role",
            "select omnisend_private.administered_merchants()",
            "select omnisend_private.product_variants(101)",
            "select omnisend_private.write_catalogue_changes('product', '{}', '{}')",
            "select omnisend_private.watch_catalogue()",
            "select public.omnisend_retry('{1}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement)  # type: ignore[call-overload]
