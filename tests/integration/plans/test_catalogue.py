"""What the triggers on the catalogue read: in proportion to what a statement changed, and nothing for each merchant or row that waits.

Plans are those of the statements within the trigger functions, as `auto_explain` tells them. A session keeps its plans: here they
are made for changes of a single product, on tables without statistics, and must do for ten thousand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from sandbox.shops import PROTEA
from sandbox.world import Database
from tests.integration.plans.tables import Plan
from tests.support.selling import MUG, reprice, sync_shop

pytestmark = pytest.mark.both_majors

MANY = 10_000
PROBE = 4  # what one probe of an index of three levels and its row cost
WRITTEN = (
    8 * PROBE
)  # a row of the outbox: the table and four indexes, whose pages split, and the conflict that is looked for
ORDER = "integrations_omnisend_outbox_order_idx"


@dataclass
class Watched:
    """A superuser's session that tells the plan of every statement within a function."""

    conn: psycopg.Connection
    plans: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conn.execute("load 'auto_explain'")
        for name, value in (
            ("log_min_duration", "0"),
            ("log_analyze", "on"),
            ("log_buffers", "on"),
            ("log_timing", "off"),
            ("log_format", "json"),
            ("log_nested_statements", "on"),
        ):
            self.conn.execute("select set_config(%s, %s, false)", [f"auto_explain.{name}", value])
        self.conn.add_notice_handler(self._note)
        self.conn.execute("set client_min_messages = log")

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        _, found, plan = (notice.message_primary or "").partition("plan:\n")
        if (
            found and " FROM ONLY " not in (told := json.loads(plan))["Query Text"]
        ):  # PostgreSQL's own, of foreign keys
            self.plans.append(Plan(told["Plan"]))

    def run(self, statement: str) -> list[Plan]:
        """The plans of what the triggers ran for it."""
        self.plans.clear()
        self.conn.execute(statement)  # type: ignore[call-overload]
        return self.plans[:-1]  # the statement itself ends last

    def rows_of_the_statement(self, plans: list[Plan]) -> int:
        """How often a row that the statement changed was read, or compared with another one."""
        return sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Join Filter", 0)) * node["Actual Loops"])
            for plan in plans
            for node in plan.nodes
            if node["Node Type"] == "Named Tuplestore Scan" or "Rows Removed by Join Filter" in node
        )


@pytest.fixture
def session(database: Database) -> Iterator[Watched]:
    """A shop with ten thousand more products than the sandbox's, in a session that has changed a few one by one."""
    sync_shop(database)
    with psycopg.connect(database.url(database.superuser), autocommit=True) as conn:
        conn.execute(
            "insert into public.merchants (store_name, slug) select 'Shop ' || n, 'shop-' || n from generate_series(1, 500) n"
        )
        conn.execute(
            "insert into public.integrations_omnisend (merchant_id, sync_catalogue) select id, true from public.merchants on conflict do nothing"
        )
        for price in range(6):
            reprice(conn, price)
            conn.execute("update public.product_variants set price = %s where id = 1011", [price])
            conn.execute("update public.collection_products set collection_id = collection_id")
            conn.execute(
                "insert into public.products (merchant_id, title) values (%s, 'Cup')", [PROTEA.merchant_id]
            )
        yield Watched(conn)


def insert(session: Watched) -> list[Plan]:
    return session.run(
        f"insert into public.products (merchant_id, title) select '{PROTEA.merchant_id}', 'Jug ' || n from generate_series(1, {MANY}) n"
    )


def test_an_import_is_one_insert_and_one_look_at_the_connection(session: Watched) -> None:
    plans = insert(session)
    writing = [plan for plan in plans if plan.tree["Node Type"] == "ModifyTable"]
    connections = [
        node for plan in plans for node in plan.nodes if node.get("Relation Name") == "integrations_omnisend"
    ]
    assert len(writing) == 1
    assert [node["Actual Loops"] for node in connections] == [1]
    assert not writing[0].whole_tables
    assert ORDER in writing[0].indexes
    assert writing[0].rows_touched <= 10
    assert sum(plan.buffers for plan in plans) <= (WRITTEN + PROBE) * MANY
    assert session.rows_of_the_statement(plans) <= MANY


def test_ten_thousand_prices_are_compared_each_once_and_found_to_wait_already(session: Watched) -> None:
    insert(session)
    for plans in (
        session.run("update public.products set price = price + 1 where id > 1000"),
        session.run("delete from public.products where id > 1000"),
    ):
        written = [plan for plan in plans if plan.tree["Node Type"] == "ModifyTable"]
        assert len(written) == 1
        assert not written[0].whole_tables
        assert written[0].rows_touched <= MANY + 10
        assert session.rows_of_the_statement(plans) <= 4 * (MANY + 10)
        # A probe, the row and its lock.
        assert sum(plan.buffers for plan in plans) <= 3 * PROBE * MANY


def test_ten_thousand_variants_find_their_products_by_id(session: Watched) -> None:
    insert(session)
    plans = session.run(
        "insert into public.product_variants (product_id) select id from public.products where id > 1000"
    )
    scans = [
        node["Node Type"] for plan in plans for node in plan.nodes if node.get("Relation Name") == "products"
    ]
    assert scans == ["Index Scan"]
    plans = session.run("update public.product_variants set price = 5 where product_id > 1000")
    assert session.rows_of_the_statement(plans) <= 4 * (MANY + 10)
    plans = session.run(
        "insert into public.collection_products select 12, id from public.products where id > 1000"
    )
    assert session.rows_of_the_statement(plans) <= MANY + 10


def test_a_stock_that_goes_down_reads_no_table(session: Watched) -> None:
    insert(session)
    plans = session.run(f"update public.products set inventory = inventory - 1 where id = {MUG}")
    assert len(plans) == 1
    assert not [
        node
        for node in plans[0].nodes
        if "Relation Name" in node and node["Node Type"] != "Named Tuplestore Scan"
    ]
    assert plans[0].buffers == 0
