"""Claim after claim, each committed: a customer with ten thousand rows, and somebody who holds an old snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import IsolationLevel

from sandbox.world import Database
from soldt_outbox.sql import queries
from tests.integration.plans.tables import MANY_CUSTOMERS, ONE_CUSTOMER, Session, merchant, merchants
from tests.support.shop import claim_parameters

pytestmark = pytest.mark.xdist_group("plans")

LIMIT = 50


@pytest.fixture
def working(own_copy: Database) -> Iterator[Session]:
    """A worker whose claims and settles are real."""
    with own_copy.connect("omnisend_worker", autocommit=True) as conn:
        yield Session(conn)


def test_a_customer_with_ten_thousand_rows_is_soon_out_of_the_others_way(
    working: Session,
) -> None:
    """Each claim looks at five hundred rows that wait, and sets them aside; then those behind are found at once."""
    ordinary = working.claim(MANY_CUSTOMERS, limit=LIMIT)
    assert ordinary.rows == LIMIT

    first = working.claim(ONE_CUSTOMER, limit=LIMIT)
    rounds = 1
    while working.claim(ONE_CUSTOMER, limit=LIMIT).rows < LIMIT - 1:
        working.settle_everything()
        rounds += 1
        assert rounds <= 25, "those behind are never reached"
    working.settle_everything()
    assert first.rows == 1
    assert first.rows_touched <= 5 * (LIMIT + 500)
    assert rounds >= 15, "one claim did it all: it was not bounded"

    beside = working.claim(ONE_CUSTOMER, limit=LIMIT)
    assert beside.rows == LIMIT
    assert beside.buffers <= 1.25 * ordinary.buffers

    working.settle_everything()
    while working.claim(ONE_CUSTOMER, limit=LIMIT).rows > 1:
        working.settle_everything()
    working.settle_everything()
    alone = working.claim(ONE_CUSTOMER, limit=LIMIT)
    assert alone.rows == 1, "that customer's rows go out one by one"
    assert alone.buffers <= 250, "of the ten thousand that wait none is looked at (43,000 buffers before)"


def test_an_old_snapshot_costs_a_claim_a_little_for_each_row_settled_since(
    own_copy: Database, working: Session
) -> None:
    """What nobody needs any more lies at the front of the queue until it may be forgotten; then it is, by the next scan."""
    rounds = 30
    with own_copy.connect() as reader:
        reader.isolation_level = IsolationLevel.REPEATABLE_READ
        reader.execute("select count(*) from public.merchants")
        before = working.claim(MANY_CUSTOMERS, limit=LIMIT)
        for _ in range(rounds):
            working.settle_everything()
            during = working.claim(MANY_CUSTOMERS, limit=LIMIT)
    working.settle_everything()
    working.claim(MANY_CUSTOMERS, limit=LIMIT)
    working.settle_everything()
    after = working.claim(MANY_CUSTOMERS, limit=LIMIT)
    assert before.rows == during.rows == after.rows == LIMIT
    assert during.buffers <= before.buffers + 3 * rounds * LIMIT
    assert after.buffers <= 1.5 * before.buffers


def test_rows_of_a_later_class_cost_a_claim_of_live_events_nothing(
    working: Session, own_copy: Database
) -> None:
    before = working.claim(MANY_CUSTOMERS, limit=LIMIT)
    with own_copy.connect() as owner:
        owner.execute(
            """insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, available_at)
            select %s, 'batch', 'backfill', n::text, now() - interval '1 day' from generate_series(1, 10000) n""",
            [merchant(MANY_CUSTOMERS)],
        )
    after = working.claim(MANY_CUSTOMERS, limit=LIMIT)
    assert after.rows == before.rows == LIMIT
    assert after.rows_touched <= before.rows_touched + LIMIT + 2, "those in hand by now are passed over"
    assert after.buffers <= 1.25 * before.buffers


def test_a_claim_begins_behind_what_the_scan_found_settled(working: Session, own_copy: Database) -> None:
    """Under an old snapshot the index keeps every entry of what was settled; the scan wades through them, the claim does not."""
    with own_copy.connect() as reader:
        reader.isolation_level = IsolationLevel.REPEATABLE_READ
        reader.execute("select 1 from public.integrations_omnisend limit 1")
        fresh = working.claim(MANY_CUSTOMERS, limit=LIMIT)
        for _ in range(20):
            working.settle_everything()
            working.claim(MANY_CUSTOMERS, limit=LIMIT)
        working.settle_everything()
        since = {m: at for m, _, at in working.conn.execute(queries["due_merchants"]).fetchall()}
        wading = working.claim(MANY_CUSTOMERS, limit=LIMIT)
        working.settle_everything()
        parameters = claim_parameters(merchants(MANY_CUSTOMERS), limit=LIMIT)
        behind = working.explain("claim", **parameters | {"since": [since[merchant(MANY_CUSTOMERS)]]})
    assert fresh.rows == wading.rows == behind.rows == LIMIT
    assert wading.buffers > 1.5 * behind.buffers, "the snapshot makes no difference: this shows nothing"
    assert behind.buffers <= 1.5 * fresh.buffers


def test_ten_thousand_rows_behind_an_open_breaker_cost_nothing(working: Session) -> None:
    working.conn.execute(
        "update public.integrations_omnisend_lanes set paused_until = now() + interval '1 hour', failures_in_row = 10 where merchant_id = any (%s)",
        [merchants(MANY_CUSTOMERS, 9)],
    )
    working.claim(9, limit=LIMIT)  # the first statement after a change reads more
    many, few = working.claim(MANY_CUSTOMERS, limit=LIMIT), working.claim(9, limit=LIMIT)
    assert many.rows == few.rows == 0
    assert many.rows_touched == few.rows_touched == 0
    assert many.buffers <= few.buffers + 2
