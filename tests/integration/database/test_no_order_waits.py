"""No checkout waits for another one because of the outbox, and no order ever waits for a worker.

The session under test gives up on any lock after a millisecond, while the other session's transaction stays open for
as long as the test wants: whatever would wait fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from sandbox.shops import PROTEA, Shop
from sandbox.world import Database
from tests.support.shop import admin, change, check_out_together, claim, names, outbox, place, place_unseen

pytestmark = pytest.mark.both_majors

CHECKOUTS = 8


@contextmanager
def impatient(database: Database, role: str = "anon", shop: Shop = PROTEA) -> Iterator[psycopg.Connection]:
    """A session that waits for no lock."""
    claims = {"sub": shop.owner_id} if role == "authenticated" else None
    with database.connect(role, claims=claims, autocommit=True) as conn:
        conn.execute("set lock_timeout = '1ms'")
        yield conn


@pytest.mark.parametrize("email", ["nomsa@example.com", "sipho@example.com"], ids=["same", "other"])
def test_a_checkout_does_not_wait_for_one_that_has_not_committed(shop: Database, email: str) -> None:
    with shop.connect("anon") as slow, impatient(shop) as quick:
        place_unseen(slow, customer_email="nomsa@example.com")
        place_unseen(quick, customer_email=email, payment_status="paid", status="shipped")
        assert names(shop) == ["order_placed", "order_paid", "order_fulfilled"]
        slow.commit()
    assert len(names(shop)) == 4


def test_many_checkouts_of_one_merchant_go_at_once(shop: Database) -> None:
    """All of them are open at the same time, and none is let go before the last has written."""
    check_out_together(shop, CHECKOUTS)
    assert names(shop) == ["order_placed"] * CHECKOUTS


def test_changes_of_two_orders_do_not_wait_for_each_other(shop: Database) -> None:
    with admin(shop) as conn:
        first, second = place(conn), place(conn)
    with admin(shop, autocommit=False) as slow, impatient(shop, "authenticated") as quick:
        change(slow, first, status="shipped", payment_status="paid")
        change(quick, second, status="shipped", payment_status="paid")
        change(quick, second, tracking_number="TRK-1")
        slow.rollback()
    assert names(shop) == ["order_placed", "order_placed", "order_paid", "order_fulfilled"]


@pytest.mark.parametrize(
    "lock",
    [
        "update public.integrations_omnisend_lanes set last_served_at = now()",
        "delete from public.integrations_omnisend_lanes",
        "lock table public.integrations_omnisend_lanes in access exclusive mode",
        "lock table public.integrations_omnisend_logs in access exclusive mode",
        "lock table public.integrations_omnisend_workers in access exclusive mode",
        "update public.integrations_omnisend set status = 'error', last_error = 'AUTH', updated_at = now()",
        "update public.integrations_omnisend set merchant_id = merchant_id",
        "delete from public.integrations_omnisend",
        "select from public.integrations_omnisend for update",
        "lock table public.integrations_omnisend in share row exclusive mode",
        "select from public.integrations_omnisend_outbox for update",
        "update public.integrations_omnisend_outbox set attempts = attempts + 1",
        "delete from public.integrations_omnisend_outbox",
    ],
)
def test_an_order_does_not_wait_for_whoever_holds_the_outbox(shop: Database, lock: str) -> None:
    """Neither a new order nor any change of one that has rows already."""
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        with shop.connect("omnisend_worker", autocommit=True) as worker:
            assert len(claim(worker)) == 1
    with shop.connect() as holder, impatient(shop) as browser, impatient(shop, "authenticated") as owner:
        holder.execute(lock)
        place_unseen(browser, payment_status="paid", status="delivered")
        change(owner, order_id, tracking_number="TRK-1")
        change(owner, order_id, status="delivered", payment_status="paid")
        change(owner, order_id, status="refunded")


def test_an_order_does_not_wait_for_a_claim_or_a_settle_under_way(shop: Database) -> None:
    """Even where the change would write a row that exists and is being rewritten by the worker at this moment."""
    with admin(shop) as conn:
        order_id = place(conn, payment_status="paid", status="shipped", tracking_number="TRK-1")
    with shop.connect("omnisend_worker") as worker, impatient(shop, "authenticated") as owner:
        assert len(claim(worker)) == 1, "one customer's rows go one by one"
        worker.execute(
            "update public.integrations_omnisend_outbox set state = 'delivered', settled_at = now(), payload = null"
        )
        change(owner, order_id, payment_status="failed", status="processing")
        change(owner, order_id, payment_status="paid", status="shipped", tracking_number="TRK-2")
        worker.commit()
    assert names(shop) == ["order_placed", "order_paid", "order_fulfilled"]


def test_a_worker_does_not_wait_for_an_order_and_sees_it_when_it_commits(shop: Database) -> None:
    with admin(shop) as conn:
        place(conn)
    with shop.connect("anon") as browser, shop.connect("omnisend_worker", autocommit=True) as worker:
        worker.execute("set lock_timeout = '1ms'")
        place_unseen(browser, customer_email="sipho@example.com")
        assert len(claim(worker)) == 1
        browser.commit()
        assert len(claim(worker)) == 1


def test_a_tracking_number_passes_over_a_row_that_is_being_sent(shop: Database) -> None:
    """Its request may be on its way: a payload that changed under the worker would be told to nobody."""
    with admin(shop) as conn:
        order_id = place(conn, status="shipped", tracking_url="https://t.example/1")
        with shop.connect("omnisend_worker", autocommit=True) as worker:
            worker.execute(
                "update public.integrations_omnisend_outbox set state = 'delivered' where name = 'order_placed'"
            )
            worker.execute("update public.integrations_omnisend_outbox set available_at = now()")
            assert len(claim(worker)) == 1
            before = outbox(shop)
            change(conn, order_id, tracking_number="TRK-1")
            assert outbox(shop) == before
            worker.execute(
                "update public.integrations_omnisend_outbox set lease_until = now() - interval '1 second' "
                "where name = 'order_fulfilled'"
            )
            change(conn, order_id, tracking_number="TRK-2")
    assert outbox(shop)[-1].payload["tracking_number"] == "TRK-2"
