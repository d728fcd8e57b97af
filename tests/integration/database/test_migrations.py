"""The migrations apply wherever they must, change nothing the second time, and the CLI and this project agree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from sandbox.world import Database
from soldt_outbox.errors import SchemaError
from soldt_outbox.migrations import apply_migrations, migrations, pending_migrations
from tests.support.catalogue import snapshot
from tests.support.programs import SupabaseCli
from tests.support.shop import connect_shop, names, place_unseen

_SUPABASE = Path(__file__).parents[3] / "supabase"


@pytest.fixture
def project(supabase_cli: SupabaseCli) -> SupabaseCli:
    """The CLI in a folder that holds this project's ``supabase/``."""
    shutil.copytree(_SUPABASE, supabase_cli.home / "supabase")
    return supabase_cli


def taken(database: Database) -> dict[str, list[str]]:
    with database.connect() as conn:
        return snapshot(conn)


@pytest.mark.both_majors
@pytest.mark.both_regimes
@pytest.mark.parametrize("legacy", [False, True], ids=["fresh", "legacy"])
def test_applying_twice_changes_nothing(make_database: Callable[..., Database], legacy: bool) -> None:
    database = make_database(legacy=legacy, migrations=False)
    with database.connect(autocommit=True) as conn:
        assert apply_migrations(conn) == [f"{m.version}_{m.name}" for m in migrations()]
        before = taken(database)
        assert apply_migrations(conn) == []
    assert taken(database) == before


@pytest.mark.both_majors
def test_both_kinds_of_default_privileges_end_alike(make_database: Callable[..., Database]) -> None:
    assert taken(make_database(auto_expose=True)) == taken(make_database(auto_expose=False))


@pytest.mark.both_majors
@pytest.mark.world(soldt=False, migrations=False)
def test_without_soldts_tables_the_first_migration_stops_with_a_sentence(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        with pytest.raises(
            SchemaError, match=r"public\.merchants does not exist: apply SOLDT's own migrations first"
        ):
            apply_migrations(conn)
        assert pending_migrations(conn) == migrations()
        assert conn.execute("select to_regnamespace('omnisend_private')").fetchone() == (None,)


@pytest.mark.world(migrations=False)
def test_without_orders_the_first_migration_stops_with_a_sentence(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table public.orders rename to sales")
        with pytest.raises(SchemaError, match=r"public\.orders does not exist"):
            apply_migrations(conn)


@pytest.mark.world(migrations=False)
def test_a_database_without_a_catalogue_can_be_migrated(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        conn.execute(
            "drop table public.collection_products, public.collections, public.product_variants, public.products"
        )
        assert len(apply_migrations(conn)) == len(migrations())


@pytest.mark.world(migrations=False)
def test_a_second_project_on_the_same_server_shares_the_workers_role(
    database: Database, make_database: Callable[..., Database]
) -> None:
    """Roles are the server's: the one that is there is taken as it is."""
    make_database(migrations=True)
    with database.connect(autocommit=True) as conn:
        assert len(apply_migrations(conn)) == len(migrations())


@pytest.mark.world(migrations=False)
def test_a_migration_gives_up_its_locks_rather_than_hold_checkouts_back(database: Database) -> None:
    """Every file that locks a table that checkouts use first limits how long it waits."""
    for migration in migrations():
        statements = [line for line in migration.sql.splitlines() if line and not line.startswith("--")]
        assert statements[0] == "set local lock_timeout = '4s';", migration.name
    with database.connect() as holder, database.connect(autocommit=True) as conn:
        for migration in migrations()[:3]:
            with conn.transaction():
                conn.execute(migration.sql)  # type: ignore[call-overload]
        holder.execute("lock table public.orders in row exclusive mode")
        trigger = migrations()[3].sql.replace("'4s'", "'10ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable), conn.transaction():
            conn.execute(trigger)  # type: ignore[call-overload]


# With the Supabase CLI --------------------------------------------------------------------------------------------------


@pytest.mark.both_majors
@pytest.mark.world(migrations=False)
@pytest.mark.parametrize("command", [("migration", "up"), ("db", "push")], ids=" ".join)
@pytest.mark.parametrize("legacy", [False, True], ids=["fresh", "legacy"])
def test_the_cli_applies_them_and_both_agree_on_the_history(
    make_database: Callable[..., Database], project: SupabaseCli, command: tuple[str, str], legacy: bool
) -> None:
    database, ours = make_database(legacy=legacy), make_database(legacy=legacy, migrations=True)
    done = project.run(*command, "--yes", database=database)
    assert done.returncode == 0, done.stdout + done.stderr
    with database.connect(autocommit=True) as conn:
        assert pending_migrations(conn) == []
        assert apply_migrations(conn) == []
    assert taken(database) == taken(ours)


def test_the_cli_finds_nothing_to_do_after_ours(database: Database, project: SupabaseCli) -> None:
    done = project.run("db", "push", "--dry-run", database=database)
    assert (done.returncode, done.stdout.strip()) == (0, "Remote database is up to date."), done.stderr
    listed = project.run("migration", "list", database=database).stdout
    for migration in migrations():
        assert listed.count(f"`{migration.version}`") == 2, "local and remote"


@pytest.mark.world(soldt=False, migrations=False)
def test_the_cli_shows_the_sentence_too(database: Database, project: SupabaseCli) -> None:
    done = project.run("db", "push", "--yes", database=database)
    assert done.returncode != 0
    assert "public.merchants does not exist: apply SOLDT's own migrations first" in done.stdout + done.stderr


@pytest.mark.both_majors
@pytest.mark.both_regimes
@pytest.mark.world(soldt=False, migrations=False)
def test_a_local_stack_gets_soldts_tables_the_migrations_and_the_seed(
    database: Database, project: SupabaseCli
) -> None:
    """What ``supabase start`` does to its empty database, in its order: roles.sql, migrations, seed.sql."""
    arguments = ("db", "push", "--include-roles", "--include-seed", "--yes")
    done = project.run(*arguments, database=database)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names(database, None) == ["order_placed"], "one of the two shops is connected"

    seed = (_SUPABASE / "seed.sql").read_text()
    with database.connect() as conn:
        conn.execute(seed)  # type: ignore[call-overload]
    assert names(database, None) == ["order_placed"], "a second time changes nothing"
    with database.connect() as conn:
        secrets = conn.execute(
            """
            select (select count(*) from auth.users where encrypted_password is not null),
              (select count(*) from public.integrations_omnisend where api_key_enc is not null)
            """
        ).fetchone()
    assert secrets == (0, 0)


def test_the_seed_does_not_touch_a_shop_that_is_there(database: Database) -> None:
    connect_shop(database)
    with database.connect("anon", autocommit=True) as conn:
        place_unseen(conn)
    with database.connect() as conn:
        conn.execute((_SUPABASE / "seed.sql").read_text())  # type: ignore[call-overload]
    assert names(database) == ["order_placed"]


def test_the_local_api_does_not_expose_the_private_schema() -> None:
    import tomllib

    config = tomllib.loads((_SUPABASE / "config.toml").read_text())
    assert config["api"]["schemas"] == ["public", "graphql_public"]
    assert config["api"]["extra_search_path"] == ["public", "extensions"]
    assert config["db"]["seed"]["sql_paths"] == ["./seed.sql"]
