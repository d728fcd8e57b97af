import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

import soldt_outbox.database
from cli import looking
from sandbox.omnisend import BrandKey
from sandbox.shops import KAROO, PROTEA
from sandbox.tcp_proxy import TcpProxy
from sandbox.world import Database
from soldt_outbox.administration import status
from soldt_outbox.redaction import contact_hash
from tests.integration.cli.conftest import Cli


def worker_alive(admin: psycopg.Connection, seconds_ago: int = 0) -> None:
    admin.execute(
        """insert into public.integrations_omnisend_workers (worker_id, version, last_seen_at)
        values ('w1', '0.1.0', now() - make_interval(secs => %s))""",
        [seconds_ago],
    )


def log(admin: psycopg.Connection, merchant_id: UUID = PROTEA.merchant_id, **values: object) -> int:
    row = {
        "merchant_id": merchant_id,
        "kind": "event",
        "name": "order_placed",
        "outcome": "delivered",
    } | values
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    written = admin.execute(
        f"insert into public.integrations_omnisend_logs ({names}) values ({places}) returning id",
        list(row.values()),
    ).fetchone()
    assert written is not None
    return int(written[0])


def test_all_well_is_0(cli: Cli, connected: BrandKey, admin: psycopg.Connection):
    worker_alive(admin)
    said = cli("status")
    assert said.code == 0
    assert "1 of 1 workers alive" in said.out
    assert "all well" in said.out
    found = cli("status", "--json", "--merchant", str(PROTEA.merchant_id))
    assert (found.code, found.json()["ok"], found.json()["attention"]) == (0, True, [])
    merchant = found.json()["merchants"][0]
    assert (merchant["slug"], merchant["status"], merchant["waiting"], merchant["dead"]) == (
        "protea",
        "connected",
        0,
        0,
    )
    assert found.json()["workers"][0]["alive"] is True


def test_no_worker_needs_a_person(cli: Cli, connected: BrandKey, admin: psycopg.Connection):
    worker_alive(admin, seconds_ago=90)
    said = cli("status", "--json")
    assert said.code == 1
    assert said.json()["attention"] == ["no worker is alive: nothing is being sent; start `python -m worker`"]


def test_errors_dead_letters_and_what_is_due_too_long_need_a_person(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection, dead_row
):
    worker_alive(admin)
    dead_row()
    admin.execute(
        """insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, payload, available_at)
        values (%s, 'order_paid', '1', '{}', now() - interval '20 minutes')""",
        [PROTEA.merchant_id],
    )
    late = cli("status", "--json")
    assert late.code == 1
    assert [sentence.split("; ")[0] for sentence in late.json()["attention"]] == [
        "protea: dead letters: 1",
        "protea: an event has been due for 20 minutes",
    ]
    admin.execute(
        "update public.integrations_omnisend set status = 'error', last_error = 'AUTH', last_error_detail = 'Invalid or revoked key'"
    )
    admin.execute(
        """insert into public.integrations_omnisend_lanes (merchant_id, paused_until, pause_reason, failures_in_row)
        values (%s, now() + interval '1 hour', 'AUTH', 1)""",
        [PROTEA.merchant_id],
    )
    broken = cli("status")
    assert broken.code == 1
    assert "paused: AUTH until" in broken.out
    admin.execute("update public.integrations_omnisend_lanes set paused_until = now() - interval '1 second'")
    assert "probing" in cli("status").out
    assert "protea: AUTH: Invalid or revoked key" in broken.out
    cli("disconnect", "--merchant", PROTEA.slug, "--yes")
    assert cli("status").code == 0, "a disabled merchant needs nobody"


def due(admin: psycopg.Connection, kind: str, ago: str) -> None:
    admin.execute(
        """insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, payload, available_at)
        values (%s, %s, 'something', gen_random_uuid()::text, '{}', now() - %s::interval)""",
        [PROTEA.merchant_id, kind, ago],
    )


def test_a_long_refresh_needs_nobody_for_a_day(cli: Cli, connected: BrandKey, admin: psycopg.Connection):
    worker_alive(admin)
    for kind in ("contact", "product", "category", "batch"):
        due(admin, kind, "3 hours")
    said = cli("status", "--json")
    merchant = said.json()["merchants"][0]
    assert (said.code, merchant["waiting"], merchant["oldest_due_seconds"]) == (0, 4, None)
    assert 3 * 3600 <= merchant["oldest_other_due_seconds"] < 4 * 3600
    assert " 3 h " in cli("status").out
    due(admin, "event", "20 minutes")
    due(admin, "batch", "30 hours")
    assert cli("status", "--json").json()["attention"] == [
        "protea: an event has been due for 20 minutes",
        "protea: contacts, catalogue or batches have been due for 30 hours",
    ]


def test_what_the_key_may_not_send_needs_a_person(cli: Cli, connected: BrandKey, admin: psycopg.Connection):
    worker_alive(admin)
    due(admin, "contact", "30 hours")
    admin.execute(
        """insert into public.integrations_omnisend_lanes (merchant_id, forbidden_kinds, forbidden_until)
        values (%s, '{contact,batch}', '2100-01-01 12:00:00Z')""",
        [PROTEA.merchant_id],
    )
    said = cli("status", "--json")
    assert said.code == 1
    contact, batch = said.json()["merchants"][0]["forbidden"]
    assert contact == {"kind": "contact", "until": "2100-01-01T12:00:00Z", "needs": "contacts.write"}
    assert batch["kind"] == "batch"
    named, other = said.json()["attention"]
    assert named == (
        "protea: contact rows wait for a permission: the key or token needs contacts.write; "
        "one is tried again from 2100-01-01 12:00Z on"
    )
    assert other.startswith(
        "protea: batch rows wait for a permission: the key or token needs to write and to read"
    )
    assert "contact forbidden until 2100-01-01 12:00:00Z (needs contacts.write)" in " ".join(
        cli("status").out.split()
    )


def test_a_kind_that_was_forbidden_is_named_as_long_as_it_waits(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
):
    worker_alive(admin)
    admin.execute(
        """insert into public.integrations_omnisend_lanes (merchant_id, forbidden_kinds, forbidden_until)
        values (%s, '{product}', now() - interval '1 second')""",
        [PROTEA.merchant_id],
    )
    assert cli("status").code == 0, "nothing waits for it"
    due(admin, "product", "1 minute")
    assert "product rows wait for a permission" in cli("status").out


@pytest.mark.both_majors
def test_a_transaction_left_open_needs_a_person(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection, database: Database, monkeypatch
):
    worker_alive(admin)
    with database.connect() as forgotten:
        forgotten.execute("set transaction isolation level repeatable read")
        forgotten.execute("select 1 from public.orders")
        seconds = cli("status", "--json").json()["health"]["oldest_snapshot_seconds"]
        assert seconds is not None, "the worker's role sees how old it is"
        assert seconds > 0
        monkeypatch.setattr(status, "SNAPSHOT_TOO_OLD", timedelta())
        said = cli("status", "--json")
    assert said.code == 1
    assert "it keeps vacuum from cleaning" in said.json()["attention"][0]


@pytest.mark.world(legacy=True)
def test_plaintext_keys_need_a_person(cli: Cli, admin: psycopg.Connection):
    worker_alive(admin)
    said = cli("status", "--merchant", PROTEA.slug, "--json")
    assert said.code == 1
    assert "encrypt-credentials" in said.json()["attention"][0]


def test_a_merchant_that_was_never_connected(cli: Cli, admin: psycopg.Connection):
    worker_alive(admin)
    assert cli("status").code == 0
    said = cli("status", "--merchant", KAROO.slug, "--json")
    assert (said.code, said.json()["attention"][0]) == (
        1,
        "karoo-leather was never connected; see `soldt-outbox connect --help`",
    )


@pytest.mark.parametrize(
    "customer", ["nomsa@example.com", " Nomsa@Example.COM ", "082 123 4567", "+27 82 123 4567", "27821234567"]
)
def test_a_customers_attempts_are_found_by_address(cli: Cli, admin: psycopg.Connection, customer: str):
    known_as = "+27821234567" if "@" not in customer else "nomsa@example.com"
    wanted = log(admin, contact_hash=contact_hash(known_as))
    log(admin, contact_hash=contact_hash("somebody@else.com"))
    log(admin)
    said = cli("logs", "--customer", customer, "--json")
    assert said.code == 0
    assert [record["id"] for record in said.json()] == [wanted]


def test_a_phone_is_read_in_the_merchants_country(cli: Cli, brand: BrandKey, admin: psycopg.Connection):
    cli("connect", "--merchant", PROTEA.slug, "--country", "GB", stdin=brand.key)
    wanted = log(admin, contact_hash=contact_hash("+447911123456"))
    found = cli("logs", "--merchant", PROTEA.slug, "--customer", "07911 123456", "--json")
    assert [record["id"] for record in found.json()] == [wanted]


def test_what_is_no_address_is_refused(cli: Cli):
    said = cli("logs", "--customer", "Nomsa")
    assert (said.code, "neither an e-mail address nor a phone number" in said.err) == (2, True)


def test_logs_are_filtered_by_whatever_is_given(cli: Cli, admin: psycopg.Connection):
    first = log(admin, outbox_id=7, outcome="retry", error="HTTP 500: no body", status_code=500)
    second = log(admin, outbox_id=7)
    third = log(admin, name="order_paid")
    fourth = log(admin, merchant_id=KAROO.merchant_id)

    def ids(*arguments: str) -> list[int]:
        return [record["id"] for record in cli("logs", "--json", *arguments).json()]

    assert ids() == [fourth, third, second, first]
    assert ids("--limit", "1") == [fourth]
    assert ids("--merchant", KAROO.slug) == [fourth]
    assert ids("--outcome", "retry") == [first]
    assert ids("--name", "order_paid") == [third]
    assert ids("--name", "placed_order", "--merchant", PROTEA.slug) == [second, first]
    assert ids("--outbox-id", "7") == [second, first]
    assert ids("--outbox-id", "99") == []
    table = cli("logs", "--outcome", "retry")
    assert table.code == 0
    assert "protea" in table.out
    assert "HTTP 500: no body" in table.out
    assert cli("logs", "--outcome", "lost").code == 2
    assert cli("logs", "--outbox-id", "99").out == "nothing matched\n"


def test_what_customers_typed_cannot_steer_the_terminal(cli: Cli, admin: psycopg.Connection):
    log(admin, error="\x1b[2Jgone [bold]loud[/bold] \u202eflow")
    out = cli("logs").out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]loud[/bold]" in out


def test_following_shows_what_comes_in_and_ends_with_ctrl_c(
    environment: pytest.MonkeyPatch, admin: psycopg.Connection
):
    first = log(admin)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "logs", "--follow", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    try:
        assert process.stdout is not None
        lines: Iterator[str] = iter(process.stdout)
        assert json.loads(next(lines))["id"] == first
        second, third = log(admin), log(admin)
        assert [json.loads(next(lines))["id"], json.loads(next(lines))["id"]] == [second, third]
        process.send_signal(signal.SIGINT)
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_dead_letters_are_listed_without_their_payload(cli: Cli, connected: BrandKey, dead_row):
    fresh, old = dead_row(key="nomsa@example.com"), dead_row(key="2", expires="-1 day")
    said = cli("dead", "--json")
    assert said.code == 0
    letters = said.json()
    assert [(letter["id"], letter["past_expiry"], letter["slug"]) for letter in letters] == [
        (old, True, "protea"),
        (fresh, False, "protea"),
    ]
    assert letters[0]["last_error"] == "HTTP 400: no items"
    assert "nomsa@example.com" not in said.out
    table = cli("dead", "--merchant", PROTEA.slug)
    assert "needs --extend" in table.out
    assert "nomsa@example.com" not in table.out
    assert cli("dead", "--merchant", KAROO.slug, "--json").json() == []


@pytest.mark.world(migrations=False)
def test_without_tables_it_says_to_migrate(cli: Cli):
    for command in (["status"], ["logs"], ["dead"], ["retry", "1"], ["rotate-keys"], ["prune"]):
        said = cli(*command)
        assert said.code == 2
        assert "run `soldt-outbox migrate`" in said.err


def test_the_worker_role_is_enough_to_look_and_act(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, database: Database, brand: BrandKey, dead_row
):
    with database.connect(autocommit=True) as admin:
        worker_alive(admin)
    monkeypatch.setenv("DATABASE_URL", database.url("omnisend_worker"))
    assert cli("connect", "--merchant", PROTEA.slug, stdin=brand.key).code == 0
    assert cli("status").code == 0
    row = dead_row()
    assert cli("dead", "--json").json()[0]["id"] == row
    assert cli("retry", str(row)).code == 0
    assert cli("rotate-keys").code == 0
    assert cli("prune").code == 0
    assert cli("logs").code == 0
    assert cli("disconnect", "--merchant", PROTEA.slug, "--yes").code == 0


def test_a_database_that_falls_silent_is_said_in_a_sentence(
    cli: Cli,
    connected: BrandKey,
    environment: pytest.MonkeyPatch,
    database: Database,
    tcp_proxy: Callable[[str, int], TcpProxy],
):
    info = psycopg.conninfo.conninfo_to_dict(database.url())
    proxy = tcp_proxy(str(info["host"]), int(info["port"] or 5432))
    environment.setenv("DATABASE_URL", proxy.url(database.url()))
    environment.setattr(soldt_outbox.database, "SILENCE_TIMEOUT", timedelta(seconds=1))

    async def look_in_vain(*asked: Any) -> status.Status:
        proxy.pause()
        return await status.look(*asked)

    environment.setattr(looking, "look", look_in_vain)
    said = cli("status")
    assert (said.code, said.out) == (2, "")
    assert "DATABASE_URL stopped answering" in said.err
    assert said.err.count("\n") == 1
