"""A checkout's row holds no copy of the order; one is kept when the order changes while its row waits.

Whatever happens in between, and in whatever order, what is told is the order as it was placed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from sandbox.shops import PROTEA
from sandbox.world import Database
from tests.support.shop import admin, change, outbox, place, place_unseen
from tests.support.shop import claim as claimed_ids

pytestmark = pytest.mark.both_majors

ORDERS = 150


def kept(database: Database) -> list[Any]:
    """The copies there are."""
    with database.connect() as conn:
        rows = conn.execute("select payload from omnisend_private.kept_orders order by outbox_id").fetchall()
    return [payload for (payload,) in rows]


def claim(database: Database) -> list[int]:
    with database.connect("omnisend_worker", autocommit=True) as worker:
        return claimed_ids(worker)


def let_leases_run_out(database: Database) -> None:
    with database.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set lease_until = now() - interval '1 second'"
        )


def settle(database: Database, state: str) -> None:
    with database.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set state = %s, settled_at = now(), available_at = 'infinity'",
            [state],
        )


def forget(database: Database, limit: int = 100) -> int:
    with database.connect("omnisend_worker", autocommit=True) as worker:
        row = worker.execute("select omnisend_private.forget_kept_orders(%s)", [limit]).fetchone()
    assert row is not None
    return int(row[0])


def test_an_order_that_nobody_changes_is_never_copied(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn, notes="ring twice")
        placed = conn.execute("select to_jsonb(o) from public.orders o where id = %s", [order_id]).fetchone()
    claim(shop)
    assert placed is not None
    assert outbox(shop)[0].payload == placed[0]
    with shop.connect() as conn:
        stored = conn.execute("select payload from public.integrations_omnisend_outbox").fetchall()
    assert (stored, kept(shop)) == ([(None,)], [])


@pytest.mark.parametrize("when", ["before", "during", "dead"])
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
def test_an_order_that_changes_is_told_as_it_was_placed(
    shop: Database, happens: Callable[[psycopg.Connection, int], object], when: str
) -> None:
    """Before a worker takes it, while one is sending it, and while it waits as a dead letter."""
    with shop.connect(autocommit=True) as conn:
        order_id = place(conn)
        before = outbox(shop)[0].payload
        if when == "during":
            claim(shop)
        if when == "dead":
            settle(shop, "dead")
        happens(conn, order_id)
    assert kept(shop) == [before]
    assert outbox(shop)[0].payload == before
    if when != "dead":
        let_leases_run_out(shop)
        assert outbox(shop)[0].id in claim(shop)


def test_a_change_and_a_claim_do_not_see_or_wait_for_each_other(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn, notes=None)
    with admin(shop, autocommit=False) as owner, shop.connect("omnisend_worker") as worker:
        owner.execute("set lock_timeout = '1ms'")
        worker.execute("set lock_timeout = '1ms'")
        change(owner, order_id, notes="later")
        assert len(claimed_ids(worker)) == 1
        change(owner, order_id, notes="later still")
        worker.commit()
        owner.commit()
    assert [order["notes"] for order in kept(shop)] == [None]
    assert outbox(shop)[0].payload["notes"] is None


def test_a_change_that_is_taken_back_keeps_nothing(shop: Database) -> None:
    with admin(shop, autocommit=False) as owner:
        order_id = place(owner)
        owner.commit()
        change(owner, order_id, notes="later")
        owner.rollback()
    assert kept(shop) == []


def test_claims_and_changes_at_once_always_tell_what_was_placed(shop: Database) -> None:
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
    read: list[Any] = []
    with shop.connect("omnisend_worker", autocommit=True) as worker:
        go.wait(timeout=30)
        while changer.is_alive():
            read += claimed_ids(worker, limit=5, column="payload")
        changer.join()
        while some := claimed_ids(worker, column="payload"):
            read += some
    assert [order["notes"] for order in read] == [None] * ORDERS


@pytest.mark.parametrize(
    ("state", "forgotten"), [("pending", 0), ("dead", 0), ("delivered", 3), ("skipped", 3)]
)
def test_copies_stay_as_long_as_something_is_to_be_told(shop: Database, state: str, forgotten: int) -> None:
    with admin(shop) as conn:
        for order_id in [place(conn), place(conn), place(conn)]:
            change(conn, order_id, notes="later")
    settle(shop, state)
    assert forget(shop, limit=2) == min(forgotten, 2)
    assert forget(shop) == max(0, forgotten - 2)
    assert len(kept(shop)) == 3 - forgotten


def test_the_worker_reads_no_order_but_by_a_row_that_is_to_tell_it(shop: Database) -> None:
    with admin(shop) as conn:
        place(conn)
    settle(shop, "delivered")
    with shop.connect("omnisend_worker", autocommit=True) as worker:
        read = worker.execute(
            "select omnisend_private.placed_order(id) from public.integrations_omnisend_outbox where merchant_id = %s",
            [PROTEA.merchant_id],
        )
        assert read.fetchall() == [(None,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("select payload from omnisend_private.kept_orders")
