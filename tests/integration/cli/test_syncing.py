"""``resync``, ``backfill`` and ``reconcile``, with a worker of their own where one is needed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox.omnisend import BrandKey, StandInControl
from sandbox.shops import PROTEA
from tests.integration.cli.conftest import Cli

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 30


@pytest.fixture
def worker(connected: BrandKey, environment: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "worker"], cwd=ROOT, env=os.environ | {"LOG_LEVEL": "warning"}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _orders(admin: psycopg.Connection, count: int, *, age: str = "1 hour") -> None:
    """Orders without rows in the outbox."""
    admin.execute(
        """
        insert into orders (merchant_id, customer_email, customer_name, shipping_address, items, total, payment_status, created_at, updated_at)
        select %s, 'customer-' || n || '@example.com', 'Customer', '{}', '[{"product_id": 102, "title": "Mug", "quantity": 1, "price": 1}]',
          1, 'paid', now() - %s::interval, now() - %s::interval / 2
        from generate_series(1, %s) n
        """,
        [PROTEA.merchant_id, age, age, count],
    )
    admin.execute("delete from integrations_omnisend_outbox")


def _rows(admin: psycopg.Connection) -> list[str]:
    found = admin.execute("select name from integrations_omnisend_outbox order by id").fetchall()
    return [name for (name,) in found]


def test_a_refresh_is_followed_to_its_end(
    cli: Cli, worker: subprocess.Popen[bytes], omnisend: StandInControl, connected: BrandKey
) -> None:
    said = cli("resync", "products", "--merchant", PROTEA.slug)
    assert said.code == 0, said.err
    assert "sent (finished)" in said.out
    assert omnisend.products(connected.brand_id)
    again = cli("resync", "products", "--merchant", PROTEA.slug, "--json").json()
    assert (again["items_sent"], again["items_unchanged"]) == (0, again["items"])


def test_items_that_are_not_at_omnisend_in_the_end_are_said_and_told_by_the_exit_code(
    cli: Cli, worker: subprocess.Popen[bytes], admin: psycopg.Connection
) -> None:
    admin.execute("update products set title = '' where id = 102")
    said = cli("resync", "products", "--merchant", PROTEA.slug)
    assert said.code == 1
    assert "1 rejected" in said.out
    why = cli("logs", "--merchant", PROTEA.slug, "--outcome", "dead")
    assert "title: is missing" in why.out
    assert re.search(r"product_changed +102 +dead ", why.out), "which item it is"


def test_what_is_detached_waits_for_workers_and_can_be_looked_at(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
) -> None:
    said = cli("resync", "products", "--merchant", PROTEA.slug, "--detach")
    assert said.code == 0
    assert "No worker is running" in said.err
    assert "--status" in said.out
    assert _rows(admin) == ["batch_submit"]
    status = cli("resync", "products", "--merchant", PROTEA.slug, "--status", "--json").json()
    assert (status["state"], status["items_done"]) == ("running", 0)
    assert cli("resync", "products", "--merchant", PROTEA.slug, "--detach").code == 0
    assert _rows(admin) == ["batch_submit"], "one that is not finished is gone on with"


def test_a_full_refresh_does_not_pass_for_one_that_leaves_out(cli: Cli, connected: BrandKey) -> None:
    assert cli("resync", "products", "--merchant", PROTEA.slug, "--detach").code == 0
    said = cli("resync", "products", "--merchant", PROTEA.slug, "--full", "--detach")
    assert said.code == 2
    assert "--cancel" in said.err


def test_what_is_canceled_is_not_sent(cli: Cli, connected: BrandKey, admin: psycopg.Connection) -> None:
    assert cli("resync", "products", "--merchant", PROTEA.slug, "--detach").code == 0
    said = cli("resync", "products", "--merchant", PROTEA.slug, "--cancel")
    assert said.code == 1
    assert "(canceled)" in said.out
    assert admin.execute("select state::text from integrations_omnisend_outbox").fetchall() == [("skipped",)]
    assert cli("resync", "products", "--merchant", PROTEA.slug, "--full", "--detach").code == 0


def test_a_merchant_that_is_not_connected_is_said_to_be(cli: Cli) -> None:
    said = cli("resync", "products", "--merchant", PROTEA.slug)
    assert said.code == 2
    assert "is not connected" in said.err


def test_history_is_imported_by_somebody_who_said_that_automations_are_off(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
) -> None:
    _orders(admin, 3)
    arguments = ("backfill", "orders", "--merchant", PROTEA.slug, "--since", "2d", "--detach")
    said = cli(*arguments)
    assert said.code == 2
    assert "runs automations on imported events" in said.err
    refused = cli(*arguments, stdin="n\n", typed=True)
    assert refused.code == 1
    assert "runs automations on imported events" in refused.err
    assert _rows(admin) == []
    assert cli(*arguments, stdin="y\n", typed=True).code == 0
    assert _rows(admin) == ["batch_submit"]


def test_a_script_says_yes(
    cli: Cli, worker: subprocess.Popen[bytes], admin: psycopg.Connection, omnisend: StandInControl
) -> None:
    _orders(admin, 3)
    said = cli("backfill", "orders", "--merchant", PROTEA.slug, "--since", "2d", "--yes", "--json")
    assert said.code == 0, said.err
    assert said.json()["items_sent"] == 6  # placed and paid
    assert omnisend.summary().total.unique == 6


def test_since_bounds_what_is_imported(cli: Cli, connected: BrandKey, admin: psycopg.Connection) -> None:
    _orders(admin, 2, age="1 hour")
    admin.execute(
        "update orders set created_at = now() - interval '9 days' where id = (select min(id) from orders)"
    )
    admin.execute("delete from integrations_omnisend_outbox")
    said = cli(
        "backfill", "orders", "--merchant", PROTEA.slug, "--since", "5d", "--yes", "--detach", "--json"
    )
    assert said.json()["items"] == 2  # of one order
    assert cli("backfill", "orders", "--merchant", PROTEA.slug, "--since", "yesterday", "--yes").code == 2


def test_ctrl_c_says_that_the_workers_go_on(environment: pytest.MonkeyPatch, connected: BrandKey) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "resync", "products", "--merchant", PROTEA.slug],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stderr is not None
        for line in command.stderr:  # said once all rows are written; from then on it waits for workers
            if "No worker is running" in line:
                break
        command.send_signal(signal.SIGINT)
        rest = command.stderr.read()
        assert command.wait(PATIENCE_S) == 130
    assert "The workers go on" in rest
    assert f"resync products --merchant {PROTEA.slug} --status" in rest


def test_orders_without_their_events_get_them(
    cli: Cli, connected: BrandKey, admin: psycopg.Connection
) -> None:
    admin.execute("update integrations_omnisend set created_at = now() - interval '2 days'")
    _orders(admin, 2)
    _orders(admin, 1, age="3 days")  # before the connection
    dry = cli("reconcile", "--dry-run", "--json")
    assert dry.code == 1
    assert dry.json()["missing"][0]["events"] == {"order_placed": 2, "order_paid": 2}
    assert _rows(admin) == []
    said = cli("reconcile", "--merchant", PROTEA.slug)
    assert said.code == 0
    assert "2 orders, written: 2 order_paid, 2 order_placed" in said.out
    assert _rows(admin) == ["order_placed", "order_paid"] * 2
    instants = admin.execute(
        """
        select bool_and(x.occurred_at = case x.name when 'order_placed' then o.created_at else o.updated_at end)
        from integrations_omnisend_outbox x join orders o on o.id::text = x.dedup_key
        """
    ).fetchone()
    assert instants == (True,)
    assert "every order of these days has its events" in cli("reconcile").out
