import psycopg
import pytest

from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.administration import retention, waking
from soldt_outbox.migrations import migrations
from tests.integration.cli.conftest import Cli


@pytest.mark.world(migrations=False)
def test_migrate_applies_what_is_missing_and_says_what_is(cli: Cli):
    names = [f"{m.version}_{m.name}" for m in migrations()]
    before = cli("migrate", "--status", "--json")
    assert (before.code, before.json()) == (1, {"applied": [], "pending": names})
    first = cli("migrate")
    assert first.code == 0
    assert first.out.splitlines() == [
        *(f"applied {name}" for name in names),
        "the outbox's tables are up to date",
    ]
    assert cli("migrate", "--json").json() == {"applied": [], "pending": []}
    after = cli("migrate", "--status")
    assert (after.code, after.out.splitlines()) == (0, [f"applied  {name}" for name in names])


@pytest.mark.world(soldt=False, migrations=False)
def test_migrate_without_soldts_tables_is_refused_in_a_sentence(cli: Cli):
    said = cli("migrate")
    assert said.code == 2
    assert "public.merchants does not exist" in said.err
    assert said.err.count("\n") == 1


def test_migrate_as_another_than_the_owner_is_refused_in_a_sentence(
    cli: Cli, environment: pytest.MonkeyPatch, database: Database
):
    environment.setenv("DATABASE_URL", database.url("omnisend_worker"))
    for arguments in ([], ["--status"]):
        said = cli("migrate", *arguments)
        assert (said.code, "log in as postgres" in said.err) == (2, True)


def test_prune_deletes_what_is_past_its_retention(
    cli: Cli, environment: pytest.MonkeyPatch, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "BATCH", 2)
    admin.execute(
        """insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, state, created_at, settled_at)
        select %s, 'order_placed', n::text, 'delivered', now() - make_interval(days => 5 * n), now() - make_interval(days => 5 * n)
        from generate_series(11, 1, -1) n""",
        [PROTEA.merchant_id],
    )
    admin.execute(
        """insert into public.integrations_omnisend_logs (merchant_id, created_at)
        select %s, now() - make_interval(days => 10 * n) from generate_series(6, 1, -1) n""",
        [PROTEA.merchant_id],
    )
    environment.setenv("LOG_RETENTION_DAYS", "15")
    dry = cli("prune", "--dry-run", "--json")
    assert (dry.code, dry.json()) == (0, {"outbox": 6, "logs": 5, "dry_run": True})
    assert cli("prune").out == "6 settled rows and 5 log rows deleted\n"
    assert cli("prune", "--json").json() == {"outbox": 0, "logs": 0, "dry_run": False}
    left = admin.execute(
        "select (select count(*) from public.integrations_omnisend_outbox), (select count(*) from public.integrations_omnisend_logs)"
    ).fetchone()
    assert left == (5, 1)


def test_prune_removes_every_copy_of_an_order_that_no_row_is_to_tell(
    cli: Cli, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "BATCH", 2)
    (waiting,) = admin.execute(
        """insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key)
        values (%s, 'order_placed', '1') returning id""",
        [PROTEA.merchant_id],
    ).fetchone()
    admin.execute(
        "insert into omnisend_private.kept_orders (outbox_id, payload) select %s + n, '{}' from generate_series(0, 5) n",
        [waiting],
    )
    assert cli("prune").code == 0
    left = admin.execute("select outbox_id from omnisend_private.kept_orders").fetchall()
    assert left == [(waiting,)]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_URL", None, "DATABASE_URL is not set"),
        ("DATABASE_URL", "mysql://shop", "is not a PostgreSQL URL"),
        ("DATABASE_URL", "postgresql://a:b@db.example.com/x?sslmode=disable", "sslmode=disable"),
        ("WORKER_CONCURRENCY", "many", "WORKER_CONCURRENCY is wrong"),
        ("RETENTION_DAYS", "1", "RETENTION_DAYS is wrong"),
    ],
)
def test_a_wrong_setting_is_a_sentence_and_2(cli, environment, name, value, sentence):
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    for command in ("status", "migrate", "prune"):
        said = cli(command)
        assert said.code == 2
        assert said.err.startswith("soldt-outbox: ")
        assert sentence in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


def test_a_missing_database_url_says_how_to_set_it(cli: Cli, environment: pytest.MonkeyPatch):
    environment.delenv("DATABASE_URL")
    assert "DATABASE_URL=postgresql://" in cli("status").err


def test_wake_ups_are_switched_by_the_owner_alone(
    cli: Cli, environment: pytest.MonkeyPatch, database: Database
):
    assert cli("wake-up").out == "events wake nobody: workers poll\n"
    assert cli("wake-up", "on", "--json").json() == {"wake_up": True}
    assert cli("wake-up").out == "events wake the workers that listen (WORKER_WAKE_UP=notify)\n"
    environment.setenv("DATABASE_URL", database.url("omnisend_worker"))
    said = cli("wake-up", "off")
    assert (said.code, "log in as postgres" in said.err) == (2, True)
    environment.setenv("DATABASE_URL", database.url())
    assert cli("wake-up", "off", "--json").json() == {"wake_up": False}


def test_wake_ups_are_not_switched_while_the_outbox_is_in_use(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(waking, "LOCK_TIMEOUT", "10ms")
    with database.connect() as writer:
        writer.execute("lock table public.integrations_omnisend_outbox in row exclusive mode")
        said = cli("wake-up", "on")
    assert (said.code, "try again" in said.err) == (2, True)
