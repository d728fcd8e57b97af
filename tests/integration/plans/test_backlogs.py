"""Claim after claim, each committed: a customer with ten thousand rows, and somebody who holds an old snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import IsolationLevel

from sandbox.world import Database
from tests.integration.plans.tables import MANY_CUSTOMERS, ONE_CUSTOMER, Session

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
