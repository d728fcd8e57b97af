"""A merchant's rows have classes: live events before contacts before the catalogue before batches, and none is starved."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.rows import Kind
from soldt_outbox.sql import queries
from tests.support.shop import LONG_AGO, claim_parameters

pytestmark = pytest.mark.both_majors

EACH = 100


@pytest.fixture
def worker(shop: Database) -> Any:
    """With as many rows of each kind due, the last class written first."""
    with shop.connect() as conn:
        for kind in reversed(Kind):
            conn.execute(
                """insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, available_at)
                select %s, %s::public.omnisend_outbox_kind, 'something', n::text, now() - interval '1 hour' * array_position(enum_range(null::public.omnisend_outbox_kind), %s::public.omnisend_outbox_kind)
                from generate_series(1, %s) n""",
                [PROTEA.merchant_id, kind, kind, EACH],
            )
    with shop.connect("omnisend_worker", autocommit=True) as conn:
        conn.execute(queries["due_merchants"])
        yield conn


def claimed(worker: psycopg.Connection, *, limit: int, kinds: list[Kind] | None = None) -> list[str]:
    """The kinds of the rows that one claim gives."""
    kinds = kinds or list(Kind)
    parameters = claim_parameters([PROTEA.merchant_id] * len(kinds), limit=limit) | {
        "kinds": kinds,
        "since": [LONG_AGO] * len(kinds),
    }
    with worker.cursor(row_factory=dict_row) as cursor:
        return [row["kind"] for row in cursor.execute(queries["claim"], parameters).fetchall()]


def test_they_are_taken_in_the_order_of_their_classes_and_now_and_then_in_the_opposite(
    worker: psycopg.Connection,
) -> None:
    """The seed makes of chance something that can be told: without it, one claim in ten begins with the last."""
    worker.execute("select setseed(0.5)")
    first = Counter(claimed(worker, limit=2)[0] for _ in range(40))
    assert set(first) == {"event", "batch"}
    assert 1 <= first["batch"] <= 10


def test_where_one_class_leaves_room_the_next_has_it(worker: psycopg.Connection) -> None:
    assert Counter(claimed(worker, limit=5 * EACH)) == dict.fromkeys(Kind, EACH)


def test_of_kinds_that_were_not_asked_for_nothing_is_given(worker: psycopg.Connection) -> None:
    assert set(claimed(worker, limit=5 * EACH, kinds=[Kind.CONTACT])) == {"contact"}


def test_the_scan_names_each_kind_that_is_due_and_where_it_begins(worker: psycopg.Connection) -> None:
    found = worker.execute(queries["due_merchants"]).fetchall()
    assert [kind for _, kind, _ in found] == ["batch", "category", "product", "contact", "event"]
    assert claimed(worker, limit=EACH, kinds=[Kind.BATCH])
    again = worker.execute(queries["due_merchants"]).fetchall()
    assert [kind for _, kind, _ in again] == ["category", "product", "contact", "event"], (
        "of what is all in hand nothing is due"
    )
