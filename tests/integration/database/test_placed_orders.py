"""A checkout's row holds no copy of the order. Whoever comes first makes it: the claim, or a change of the order.

Whatever happens in between, and in whatever order, what is told is the order as it was placed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from sandbox.shops import PROTEA
from sandbox.world import Database
from tests.support.shop import admin, change, connect_shop, outbox, place, place_unseen
from tests.support.shop import claim as claim_rows

pytestmark = pytest.mark.both_majors

ORDERS = 150


@pytest.fixture
def shop(database: Database) -> Database:
    connect_shop(database)
    return database


def stored(database: Database) -> list[dict[str, object] | None]:
    """What the rows themselves hold."""
    with database.connect() as conn:
        rows = conn.execute("select payload from public.integrations_omnisend_outbox order by id").fetchall()
    return [payload for (payload,) in rows]


def claim(database: Database) -> list[int]:
    with database.connect("omnisend_worker", autocommit=True) as worker:
        return claim_rows(worker)


def test_the_claim_stores_the_order_and_every_later_attempt_tells_the_same(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn, notes="ring twice")
        placed = conn.execute("select to_jsonb(o) from public.orders o where id = %s", [order_id]).fetchone()
        assert placed is not None
        assert stored(shop) == [None]
        (row_id,) = claim(shop)
        assert stored(shop) == [placed[0]]
        change(conn, order_id, notes="do not ring", total=1)
    with shop.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set lease_until = now() - interval '1 second'"
        )
    assert claim(shop) == [row_id]
    assert stored(shop) == [placed[0]]


@pytest.mark.parametrize(
    "happens",
    [
        lambda conn, order_id: change(conn, order_id, notes="leave it at the gate"),
        lambda conn, order_id: change(conn, order_id, status="cancelled", payment_status="failed"),
        lambda conn, order_id: [change(conn, order_id, total=total) for total in (1, 2, 3)],
        lambda conn, order_id: conn.execute("delete from public.orders where id = %s", [order_id]),
    ],
    ids=["a note", "a status", "three changes", "removed"],
)
def test_an_order_that_changes_before_the_claim_is_told_as_it_was_placed(
    shop: Database, happens: Callable[[psycopg.Connection, int], object]
) -> None:
    with shop.connect(autocommit=True) as conn:
        order_id = place(conn)
        before = outbox(shop)[0].payload
        happens(conn, order_id)
        assert stored(shop)[0] == before
        claim(shop)
    assert outbox(shop)[0].payload == before


def test_a_change_passes_over_a_row_that_is_being_claimed_which_stores_what_was_placed(
    shop: Database,
) -> None:
    with admin(shop) as conn:
        order_id = place(conn, notes=None)
        with shop.connect("omnisend_worker") as worker:
            assert len(claim_rows(worker)) == 1  # and does not commit
            conn.execute("set lock_timeout = '1ms'")
            change(conn, order_id, notes="later")
            worker.commit()
    assert outbox(shop)[0].payload["notes"] is None


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_claim_passes_over_a_row_whose_order_is_being_changed(shop: Database, end: str) -> None:
    with admin(shop) as conn:
        order_id = place(conn, notes=None)
    with admin(shop, autocommit=False) as owner:
        change(owner, order_id, notes="later")
        with shop.connect("omnisend_worker", autocommit=True) as worker:
            worker.execute("set lock_timeout = '1ms'")
            assert claim_rows(worker) == []
            getattr(owner, end)()
            assert len(claim_rows(worker)) == 1
    assert outbox(shop)[0].payload["notes"] is None


def test_claims_and_changes_at_once_always_store_what_was_placed(shop: Database) -> None:
    with shop.connect("anon", autocommit=True) as browser:
        for number in range(ORDERS):
            place_unseen(browser, customer_email=f"customer{number}@example.com", notes=None)
    go = threading.Barrier(2)

    def change_them_all() -> None:
        with shop.connect(autocommit=True) as conn:
            go.wait(timeout=30)
            for (order_id,) in conn.execute("select id from public.orders order by id").fetchall():
                change(conn, order_id, notes="later")

    changer = threading.Thread(target=change_them_all)
    changer.start()
    with shop.connect("omnisend_worker", autocommit=True) as worker:
        go.wait(timeout=30)
        while changer.is_alive():
            claim_rows(worker, limit=5)
        changer.join()
        while claim_rows(worker):
            pass
    assert [order["notes"] for order in stored(shop) if order is not None] == [None] * ORDERS


def test_the_worker_reads_no_order_that_waits_to_be_told_no_more(shop: Database) -> None:
    with admin(shop) as conn:
        place(conn)
    with shop.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set state = 'delivered', settled_at = now(), payload = null"
        )
    with shop.connect("omnisend_worker", autocommit=True) as worker:
        read = worker.execute(
            "select omnisend_private.placed_order(id) from public.integrations_omnisend_outbox where merchant_id = %s",
            [PROTEA.merchant_id],
        )
        assert read.fetchall() == [(None,)]
