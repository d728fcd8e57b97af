"""A change of the catalogue and a worker that takes the row of an earlier one: the change is always told, and nobody waits.

The sessions under test give up on any lock after a millisecond, while the other one's transaction stays open for as long
as the test wants.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import IsolationLevel

from sandbox.shops import PROTEA
from sandbox.world import Database
from tests.support.selling import (
    MUG,
    SHIRT_M,
    SHIRT_S,
    deliver,
    reprice,
    sync_shop,
    take,
    told,
    update,
)
from tests.support.shop import admin

pytestmark = pytest.mark.both_majors

CHANGES = 150
WRITERS = 2


@pytest.fixture
def shop(database: Database) -> Database:
    """A shop whose mug has changed, and the row waits."""
    sync_shop(database)
    with database.connect() as conn:
        reprice(conn, 1)
    return database


@contextmanager
def impatient(database: Database, isolation: IsolationLevel | None = None) -> Iterator[psycopg.Connection]:
    """A session of the shop's owner, in a transaction, that waits for no lock."""
    with admin(database, autocommit=False) as conn:
        conn.isolation_level = isolation
        conn.execute("set lock_timeout = '1ms'")
        yield conn


@contextmanager
def worker(database: Database, *, autocommit: bool = True) -> Iterator[psycopg.Connection]:
    """A worker's session that waits for no lock."""
    with database.connect("omnisend_worker", autocommit=True) as conn:
        conn.execute("set lock_timeout = '1ms'")
        conn.autocommit = autocommit
        yield conn


def price_read_by(conn: psycopg.Connection) -> float:
    """What the worker would send."""
    row = conn.execute(
        "select product ->> 'price' from omnisend_private.shop_products(%s, %s)",
        [[PROTEA.merchant_id], [MUG]],
    ).fetchone()
    assert row is not None
    return float(row[0])


def test_a_row_that_stands_for_an_open_change_is_not_taken_before_it_is_over(shop: Database) -> None:
    with impatient(shop) as owner, worker(shop) as taker:
        reprice(owner, 2)
        assert take(taker) == []
        owner.commit()
        assert len(take(taker)) == 1
        assert price_read_by(taker) == 2
    assert told(shop) == ["product 102"]


def test_a_change_that_is_taken_back_holds_nothing_up(shop: Database) -> None:
    with impatient(shop) as owner, worker(shop) as taker:
        reprice(owner, 2)
        owner.rollback()
        assert len(take(taker)) == 1
    assert told(shop) == ["product 102"]


def test_nor_does_one_taken_back_to_a_savepoint(shop: Database) -> None:
    with impatient(shop) as owner, worker(shop) as taker:
        owner.execute("savepoint before")
        reprice(owner, 2)
        owner.execute("rollback to savepoint before")
        assert len(take(taker)) == 1
        reprice(owner, 3)
        owner.commit()
    assert told(shop) == ["product 102", "product 102"]


def test_a_row_that_is_being_taken_is_not_enough(shop: Database) -> None:
    """Its claim has not committed: the worker may read the product before this change does."""
    with impatient(shop) as owner, worker(shop, autocommit=False) as taker:
        assert len(take(taker)) == 1
        reprice(owner, 2)
        owner.commit()
        assert price_read_by(taker) == 2
        taker.rollback()
    assert told(shop) == ["product 102", "product 102"]


def test_nor_one_that_was_taken_after_the_statement_began(shop: Database) -> None:
    """The statement sees the row as it was; the lock follows it to what it has become.

    The statement tells of two products. Writing of the first it stops, at a trigger that waits for this test, and the worker takes
    the row of the second.
    """
    with shop.connect() as conn:
        conn.execute(
            "insert into public.products (id, merchant_id, title) values (902, %s, 'Cup')",
            [PROTEA.merchant_id],
        )
        conn.execute("delete from public.products where id = 902")
        conn.execute(
            """
            create function public.wait_for_the_test() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock(1); return new; end $$;
            create trigger wait_for_the_test before insert on public.integrations_omnisend_outbox
              for each row when (new.payload ->> 'product_id' = '901') execute function public.wait_for_the_test();
            """
        )

    def write_of_two() -> None:
        with admin(shop) as owner:
            owner.execute(
                "insert into public.products (id, merchant_id, title) values (901, %(m)s, 'Jug'), (902, %(m)s, 'Cup')",
                {"m": PROTEA.merchant_id},
            )

    with shop.connect(autocommit=True) as holder, worker(shop) as taker, ThreadPoolExecutor(1) as pool:
        holder.execute("select pg_advisory_lock(1)")
        writing = pool.submit(write_of_two)
        while not writing.done() and holder.execute(
            "select not exists (select from pg_locks where locktype = 'advisory' and not granted)"
        ).fetchone() == (True,):
            pass
        assert not writing.done()
        assert [row.payload["product_id"] for row in take(taker)] == ["102", "902"]
        holder.execute("select pg_advisory_unlock(1)")
        writing.result(timeout=30)
    assert told(shop) == ["product 102", "product 902", "product 901", "product 902"]


def test_two_changes_at_once_share_a_row_and_it_waits_for_both(shop: Database) -> None:
    with shop.connect() as conn:
        update(conn, "product_variants", SHIRT_S, product_id=MUG)
        update(conn, "product_variants", SHIRT_M, product_id=MUG)
        deliver_shirt = (
            "delete from public.integrations_omnisend_outbox where payload ->> 'product_id' = '101'"
        )
        conn.execute(deliver_shirt)
    # As the shop's server, since an admin's page writes variants by way of it.
    with shop.connect("service_role") as first, shop.connect("service_role") as second, worker(shop) as taker:
        update(first, "product_variants", SHIRT_S, price=5)
        update(second, "product_variants", SHIRT_M, price=5)
        first.commit()
        assert take(taker) == []
        second.commit()
        assert len(take(taker)) == 1
    assert told(shop) == ["product 102"]


@pytest.mark.parametrize("isolation", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
def test_a_transaction_with_an_old_snapshot_is_not_aborted(shop: Database, isolation: IsolationLevel) -> None:
    """The row that its snapshot sees was taken and settled since."""
    with impatient(shop, isolation) as owner, worker(shop) as taker:
        owner.execute("select from public.products")
        assert len(take(taker)) == 1
        reprice(owner, 2)
        deliver(taker)
        reprice(owner, 3)
        owner.commit()
        assert len(take(taker)) == 1
        assert price_read_by(taker) == 3


@pytest.mark.parametrize(
    "lock",
    [
        "select from public.integrations_omnisend_outbox for update",
        "update public.integrations_omnisend_outbox set attempts = attempts + 1",
        "delete from public.integrations_omnisend_outbox",
        "update public.integrations_omnisend set status = 'error', updated_at = now()",
        "delete from public.integrations_omnisend",
        "lock table public.integrations_omnisend_lanes, public.integrations_omnisend_logs in access exclusive mode",
    ],
)
def test_a_change_does_not_wait_for_whoever_holds_the_outbox(shop: Database, lock: str) -> None:
    with shop.connect() as holder, impatient(shop) as owner:
        holder.execute(lock)  # type: ignore[call-overload]
        reprice(owner, 2)
        update(owner, "products", MUG, inventory=0)
        owner.execute(
            "insert into public.products (merchant_id, title) values (%s, 'Cup')", [PROTEA.merchant_id]
        )
        owner.commit()
    assert "product 1001" in told(shop)


def test_a_worker_does_not_wait_for_a_change(shop: Database) -> None:
    with impatient(shop) as owner, worker(shop) as taker:
        reprice(owner, 2)
        reprice(owner, 2, 101)
        assert take(taker) == []
        owner.commit()
        assert len(take(taker)) == 2


def test_changes_and_claims_at_once_end_with_the_last_price(shop: Database) -> None:
    """Whoever changes a price and whatever a worker is doing meanwhile, the last price read is the last one written."""
    go = threading.Barrier(WRITERS + 1)

    def change_it_over_and_over(writer: int) -> None:
        with admin(shop) as owner:
            go.wait(timeout=30)
            for number in range(CHANGES):
                reprice(owner, 1 + writer * CHANGES + number)

    with ThreadPoolExecutor(WRITERS) as pool, worker(shop) as taker:
        writers = [pool.submit(change_it_over_and_over, writer) for writer in range(WRITERS)]
        go.wait(timeout=30)
        read: list[float] = []
        busy = True
        while busy:
            busy = not all(writer.done() for writer in writers)
            while take(taker):
                read.append(price_read_by(taker))
                deliver(taker)
        for writer in writers:
            writer.result()
        assert read[-1] == price_read_by(taker)
    assert len(read) <= WRITERS * CHANGES + 1
