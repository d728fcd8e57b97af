"""Full tables to plan on, and what EXPLAIN says of a statement there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from sandbox.world import Database
from soldt_outbox.rows import OutboxRow, Outcome
from soldt_outbox.sql import queries
from soldt_outbox.store import Budget, Store
from tests.support.shop import claim_parameters, claimed_row

EVERYBODY: Final = range(1, 503)
DEAD_LETTERS: Final = 7  # the merchant that has them
OWNER_OF_MANY: Final = UUID("d0000000-0000-4000-8000-000000000001")
OWNER_OF_ONE: Final = UUID("d0000000-0000-4000-8000-000000000002")  # of the merchant with the dead letters
ONE_CUSTOMER: Final = 501  # the merchant with 10,000 due rows of a single customer
MANY_CUSTOMERS: Final = 502  # the merchant with as many rows, each another customer's
LARGE: Final = frozenset(
    {"integrations_omnisend_outbox", "integrations_omnisend_logs", "integrations_omnisend_consents"}
)

_HELPERS = """
create function pg_temp.merchant(n bigint) returns uuid language sql immutable as
$$ select ('c0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
create function pg_temp.customer(m bigint, n bigint) returns text language sql immutable as
$$ select omnisend_private.ordering_key(pg_temp.merchant(m), n::text) $$;
"""


def merchant(number: int) -> UUID:
    return UUID(f"c0000000-0000-4000-8000-{number:012}")


def merchants(*numbers: int) -> list[UUID]:
    return [merchant(number) for number in numbers]


def fill(database: Database) -> None:
    """Statistics are as of when there was next to nothing: stale."""
    with psycopg.connect(database.url(database.superuser)) as conn:
        conn.execute(_HELPERS)
        conn.execute(Path(__file__).with_name("data.sql").read_bytes())


@contextmanager
def copy_of(database: Database, name: str) -> Iterator[Database]:
    """Another database with the same content, statistics and all."""
    with psycopg.connect(database.server.url(user=database.superuser), autocommit=True) as conn:
        made, of = sql.Identifier(name), sql.Identifier(database.name)
        conn.execute(
            sql.SQL("create database {} template {} owner postgres strategy file_copy").format(made, of)
        )
        try:
            yield Database(database.server, name)
        finally:
            conn.execute(sql.SQL("drop database {} with (force)").format(made))


def forget_statistics(conn: psycopg.Connection) -> None:
    """As if the tables had never been analyzed."""
    tables = "select oid from pg_class where relnamespace = 'public'::regnamespace"
    conn.execute(f"delete from pg_statistic where starelid in ({tables})")
    conn.execute(f"update pg_class set reltuples = -1, relpages = 0 where oid in ({tables})")


@dataclass(frozen=True)
class Plan:
    """A statement's plan as it was run."""

    tree: dict[str, Any]

    @cached_property
    def nodes(self) -> list[dict[str, Any]]:
        def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
            yield node
            for child in node.get("Plans", ()):
                yield from walk(child)

        return list(walk(self.tree))

    @property
    def buffers(self) -> int:
        return int(self.tree["Shared Hit Blocks"] + self.tree["Shared Read Blocks"])

    @property
    def rows(self) -> int:
        return round(self.tree["Actual Rows"])

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def rows_touched(self) -> int:
        """Rows of the large tables that scans returned or threw away."""
        scans = (
            node for node in self.nodes if node.get("Relation Name") in LARGE and "Scan" in node["Node Type"]
        )
        return sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in scans
        )

    @property
    def whole_tables(self) -> set[str]:
        """Large tables that were read from end to end."""
        return {
            node["Relation Name"]
            for node in self.nodes
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE and node["Actual Loops"]
        }


class Session:
    """One role's session in a transaction that is never committed."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn
        self._before = self._updates()

    def explain(self, statement: str, /, **parameters: Any) -> Plan:
        """The plan of a statement of the library, by name, or of SQL."""
        found = self.conn.execute(
            "explain (analyze, buffers, format json) " + queries.get(statement, statement), parameters
        ).fetchone()
        assert found is not None
        return Plan(found[0][0]["Plan"])

    def claim(self, *numbers: int, limit: int) -> Plan:
        """A claim that no budget bounds."""
        return self.explain("claim", **claim_parameters(merchants(*numbers), limit=limit))

    def claimed(self, *numbers: int, limit: int) -> list[OutboxRow]:
        """The same, for its rows."""
        with self.conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                queries["claim"], claim_parameters(merchants(*numbers), limit=limit)
            ).fetchall()
        return [claimed_row(row) for row in rows]

    def settle(self, outcomes: list[Outcome]) -> Plan:
        """A settle, with the parameters that the store gives it."""
        recorder = _Recorder()
        settling = Store(recorder, budget=Budget.below(400)).settle(outcomes)  # type: ignore[arg-type]
        with suppress(StopIteration):
            settling.send(None)
        return self.explain("settle", **recorder.parameters)

    def settle_everything(self) -> None:
        """All that is leased is delivered."""
        self.conn.execute(
            """
            update public.integrations_omnisend_outbox
            set state = 'delivered', settled_at = now(), payload = null, ordering_key = null, lease_token = null, lease_until = null
            where id = any (array(
              select id from public.integrations_omnisend_outbox where state = 'pending' and lease_until is not null
            ))
            """
        )

    def updates(self) -> tuple[int, int]:
        """Rows of the outbox updated by this session, and how many of them in place."""
        updated, in_place = self._updates()
        return updated - self._before[0], in_place - self._before[1]

    def _updates(self) -> tuple[int, int]:
        found = self.conn.execute(
            """
            select pg_stat_get_xact_tuples_updated(o), pg_stat_get_xact_tuples_hot_updated(o)
            from (select 'public.integrations_omnisend_outbox'::regclass::oid) as outbox (o)
            """
        ).fetchone()
        assert found is not None
        return found[0], found[1]


class _Recorder:
    """Stands where the database stands, and runs nothing."""

    parameters: dict[str, Any]

    async def run(
        self, name: str, parameters: dict[str, Any], *, before: Sequence[object]
    ) -> list[dict[str, Any]]:
        assert (name, len(before)) == ("settle", 0)
        self.parameters = parameters
        return []
