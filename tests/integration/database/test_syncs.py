"""What writes a sync's rows: every item once and in order, whoever writes, and whoever is killed; and who may see it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from sandbox.shops import KAROO, PROTEA
from sandbox.world import Database
from soldt_outbox.sql import queries
from tests.support.shop import connect_shop

pytestmark = pytest.mark.both_majors

WORKER = "omnisend_worker"


@pytest.fixture
def worker(database: Database) -> Iterator[psycopg.Connection]:
    connect_shop(database)
    with database.connect(WORKER) as conn:
        yield conn


def _start(
    worker: psycopg.Connection, resource: str, *, mode: str = "delta", chunk_size: int = 10, since: Any = None
) -> int:
    row = worker.execute(
        queries["start_sync"],
        {
            "merchant_id": PROTEA.merchant_id,
            "resource": resource,
            "mode": mode,
            "since": since,
            "chunk_size": chunk_size,
        },
    ).fetchone()
    worker.commit()
    assert row is not None
    return int(row[0])


def _write(worker: psycopg.Connection, sync: int, chunks: int = 3) -> bool:
    row = worker.execute(queries["write_sync"], {"sync": sync, "chunks": chunks}).fetchone()
    assert row is not None
    return bool(row[0])


def _written(database: Database) -> list[list[str]]:
    with database.connect() as conn:
        rows = conn.execute(
            "select payload -> 'ids' from integrations_omnisend_outbox where name = 'batch_submit' order by id"
        ).fetchall()
    return [ids for (ids,) in rows]


def _products(database: Database, count: int) -> list[str]:
    with database.connect() as conn:
        conn.execute("delete from products where merchant_id = %s", [PROTEA.merchant_id])
        conn.execute(
            "insert into products (id, merchant_id, title, price) select 5000 + n, %s, 'P', 1 from generate_series(1, %s) n",
            [PROTEA.merchant_id, count],
        )
    return [str(5000 + n) for n in range(1, count + 1)]


def test_each_item_is_named_once_in_chunks_of_the_size_asked_for(
    database: Database, worker: psycopg.Connection
) -> None:
    ids = _products(database, 95)
    sync = _start(worker, "products")
    while _write(worker, sync):
        worker.commit()
    worker.commit()
    chunks = _written(database)
    assert [item for chunk in chunks for item in chunk] == ids
    assert [len(chunk) for chunk in chunks] == [10] * 9 + [5]


def test_people_known_from_a_consent_alone_are_named_once_however_many_calls_it_takes(
    database: Database, worker: psycopg.Connection
) -> None:
    """Where one call ends, the next goes on after an address, whose domain is no number."""
    with database.connect() as conn:
        conn.execute("delete from orders")
        conn.execute(
            """
            insert into integrations_omnisend_consents (merchant_id, channel, identifier, given, occurred_at, source)
            select %s, 'email', 'reader-' || n || '@example.com', true, now(), 'newsletter'
            from generate_series(1, 5) n
            """,
            [PROTEA.merchant_id],
        )
    sync = _start(worker, "contacts", chunk_size=2)
    while _write(worker, sync, chunks=1):
        worker.commit()
    worker.commit()
    named = [item for chunk in _written(database) for item in chunk]
    assert named == [f"creader-{n}@example.com" for n in range(1, 6)]


def test_what_was_not_committed_is_written_by_whoever_comes_next(
    database: Database, worker: psycopg.Connection
) -> None:
    ids = _products(database, 95)
    sync = _start(worker, "products")
    _write(worker, sync)
    worker.commit()
    _write(worker, sync)
    worker.rollback()  # as one that is killed leaves it
    while _write(worker, sync):
        worker.commit()
    worker.commit()
    assert [item for chunk in _written(database) for item in chunk] == ids


def test_several_writers_at_once_write_each_item_once(database: Database, worker: psycopg.Connection) -> None:
    ids = _products(database, 400)
    sync = _start(worker, "products")

    def write_all() -> None:
        with database.connect(WORKER, autocommit=True) as conn:
            while _write(conn, sync, chunks=1):
                pass

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write_all) for _ in range(4)]:
            done.result()
    assert sorted(item for chunk in _written(database) for item in chunk) == ids


def test_an_order_is_named_once_for_each_thing_that_happened_to_it(
    database: Database, worker: psycopg.Connection
) -> None:
    with database.connect() as conn:
        conn.execute("delete from orders")
        for number, (status, paid) in enumerate(
            [("pending", "pending"), ("delivered", "paid"), ("cancelled", "refunded"), ("refunded", "paid")],
            1,
        ):
            conn.execute(
                """insert into orders (id, merchant_id, customer_email, customer_name, shipping_address, items, status, payment_status)
                values (%s, %s, 'a@example.com', 'A', '{}', '[]', %s, %s)""",
                [number, PROTEA.merchant_id, status, paid],
            )
    sync = _start(worker, "orders", mode="full", chunk_size=4)
    while _write(worker, sync, chunks=1):  # an order's events may stand in two chunks
        worker.commit()
    worker.commit()
    assert [item for chunk in _written(database) for item in chunk] == [
        "1.1",
        *("2.1", "2.2", "2.3"),
        *("3.1", "3.4", "3.5"),
        *("4.1", "4.2", "4.5"),
    ]


def test_one_sync_of_a_resource_is_under_way_at_a_time(worker: psycopg.Connection) -> None:
    first = _start(worker, "products")
    assert _start(worker, "products", mode="full") == first
    assert _start(worker, "categories") != first
    worker.execute("update integrations_omnisend_syncs set state = 'finished' where id = %s", [first])
    worker.commit()
    assert _start(worker, "products") != first


def test_nothing_is_written_for_a_merchant_that_was_disconnected(
    database: Database, worker: psycopg.Connection
) -> None:
    _products(database, 5)
    sync = _start(worker, "products")
    with database.connect() as conn:
        conn.execute("update integrations_omnisend set status = 'disabled'")
    assert not _write(worker, sync)
    worker.commit()
    assert _written(database) == []
    state = worker.execute("select state from integrations_omnisend_syncs").fetchone()
    assert state == ("canceled",)


def test_a_sync_is_over_when_nothing_of_it_waits(database: Database, worker: psycopg.Connection) -> None:
    _products(database, 5)
    sync = _start(worker, "products")
    _write(worker, sync)
    worker.commit()
    assert worker.execute(queries["finish_syncs"]).fetchall() == []
    with database.connect() as conn:
        conn.execute("update integrations_omnisend_outbox set state = 'dead', available_at = 'infinity'")
    assert worker.execute(queries["finish_syncs"]).fetchall() == [(sync,)]


def test_orders_are_looked_up_for_a_sync_of_theirs_and_no_other(
    database: Database, worker: psycopg.Connection
) -> None:
    with database.connect() as conn:
        conn.execute(
            """insert into orders (id, merchant_id, customer_email, customer_name, shipping_address, items) values
            (901, %s, 'a@example.com', 'A', '{}', '[]'), (902, %s, 'b@example.com', 'B', '{}', '[]')""",
            [PROTEA.merchant_id, KAROO.merchant_id],
        )
    look_up = "select order_id from omnisend_private.sync_orders(%s, array[901, 902])"
    orders, products = _start(worker, "orders", mode="full"), _start(worker, "products")
    assert worker.execute(look_up, [orders]).fetchall() == [(901,)], "another shop's order is not given away"
    assert worker.execute(look_up, [products]).fetchall() == []


@pytest.mark.parametrize("brand", [None, "5f0000000000000000000abc"], ids=["no brand", "a brand"])
def test_what_was_told_and_read_is_kept_for_the_brand_it_is_of(
    database: Database, worker: psycopg.Connection, brand: str | None
) -> None:
    with database.connect() as conn:
        conn.execute("update integrations_omnisend set brand_id = %s", [brand])
    row = worker.execute(
        """insert into integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, lease_token)
        values (%s, 'batch', 'batch_follow', '1', gen_random_uuid()) returning id, lease_token::text""",
        [PROTEA.merchant_id],
    ).fetchone()
    assert row is not None
    for told_to, kept in (("5f0000000000000000000def", (0, 0)), (brand, (1, 1))):
        held = {"after_id": row[0], "token": row[1], "brand": told_to}
        told = held | {"resource": "products", "items": {"1": "00", "2": None}}
        read = held | {"updated_from": "2026-01-01T00:00:00Z"}
        worker.execute(queries["keep_told"], {"rows": Jsonb([told])})
        worker.execute(queries["move_watermark"], {"rows": Jsonb([read])})
        counted = worker.execute(
            "select (select count(*) from omnisend_private.told_items), (select count(*) from omnisend_private.contact_watermarks)"
        ).fetchone()
        assert counted == kept


def test_an_admin_sees_their_own_merchants_syncs(database: Database, worker: psycopg.Connection) -> None:
    _start(worker, "products")
    connect_shop(database, KAROO)
    worker.execute(
        "insert into integrations_omnisend_syncs (merchant_id, resource, mode, chunk_size) values (%s, 'products', 'full', 100)",
        [KAROO.merchant_id],
    )
    worker.commit()
    with database.connect("authenticated", claims={"sub": PROTEA.owner_id}) as admin:
        assert admin.execute("select merchant_id from integrations_omnisend_syncs").fetchall() == [
            (PROTEA.merchant_id,)
        ]
    with (
        database.connect("anon") as visitor,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        visitor.execute("select from integrations_omnisend_syncs")
