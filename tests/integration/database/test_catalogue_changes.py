"""Which changes of a shop's catalogue write a row, and how many rows many changes write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from sandbox.shops import BO_KAAP, KAROO, PROTEA
from sandbox.world import Database
from tests.support.selling import (
    MUG,
    SHIRT,
    SHIRT_M,
    SHIRT_S,
    SUMMER,
    forget,
    reprice,
    sync_shop,
    take,
    told,
    update,
)
from tests.support.shop import admin, connect_shop

pytestmark = pytest.mark.both_majors

IMPORTED = 10_000


@pytest.fixture
def shop(database: Database) -> Database:
    """A database in which the first shop tells of its catalogue."""
    sync_shop(database)
    return database


# What writes a row -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update public.products set price = price + 1 where id = 102", {"product 102"}),
        ("update public.products set title = 'Beaker' where id = 102", {"product 102"}),
        ("update public.products set status = 'draft' where id = 102", {"product 102"}),
        ("update public.products set images = '{}' where id = 102", {"product 102"}),
        ("update public.products set inventory = 0 where id = 102", {"product 102"}),
        ("update public.products set inventory = 5 where id = 103", {"product 103"}),
        ("update public.products set price = 5 where id < 103", {"product 101", "product 102"}),
        ("delete from public.products where id = 101", {"product 101"}),
        ("update public.products set id = 109 where id = 103", {"product 103", "product 109"}),
        ("update public.product_variants set price = 5 where id = 1011", {"product 101"}),
        ("update public.product_variants set stock_quantity = 0 where id = 1011", {"product 101"}),
        ("update public.product_variants set is_active = false where id = 1011", {"product 101"}),
        ("update public.product_variants set product_id = 102 where id = 1011", {"product 101", "product 102"}),
        ("insert into public.product_variants (product_id) values (102)", {"product 102"}),
        ("delete from public.product_variants where product_id = 101", {"product 101"}),
        ("update public.collections set name = 'Winter' where id = 11", {"category 11"}),
        ("insert into public.collections (id, merchant_id, name) select 19, merchant_id, 'New' from public.products where id = 101", {"category 19"}),
        ("delete from public.collections where id = 11", {"category 11", "product 101", "product 102"}),
        ("insert into public.collection_products values (12, 101)", {"product 101"}),
        ("delete from public.collection_products where product_id = 101", {"product 101"}),
        ("update public.collection_products set product_id = 103 where product_id = 101", {"product 101", "product 103"}),
        ("update public.collection_products set collection_id = 12 where product_id = 101", {"product 101"}),
        ("insert into public.products (merchant_id, title) select merchant_id, 'Cup' from public.products where id = 101", {"product 1001"}),
    ],
)  # fmt: skip
def test_a_change_that_is_sent_writes_a_row(shop: Database, statement: str, expected: set[str]) -> None:
    with shop.connect() as conn:
        conn.execute(statement)  # type: ignore[call-overload]
    assert set(told(shop)) == expected
    assert len(told(shop)) == len(expected)


@pytest.mark.parametrize(
    "statement",
    [
        "update public.products set inventory = inventory - 1 where id = 102",
        "update public.products set inventory = -1 where id = 103",
        "update public.products set inventory = null where id = 102",
        "update public.products set updated_at = now() + interval '1 day' where id = 102",
        "update public.products set has_variants = true where id = 102",
        "update public.products set views = views + 1",
        "update public.products set views = views + 1, inventory = inventory - 1 where id = 102",
        "update public.products set price = price",
        "update public.products set price = 1 where id = 999",
        "update public.product_variants set stock_quantity = stock_quantity - 1 where id = 1011",
        "update public.product_variants set stock_quantity = 3, updated_at = '2020-01-01', created_at = now() where id = 1011",
        "update public.product_variants set price = 7 where id = 1013",
        "update public.product_variants set sku = 'X', stock_quantity = 0 where id = 1013",
        "update public.collections set description = 'Heavy things' where id = 11",
        "update public.collection_products set position = 3",
    ],
)
def test_a_change_that_nothing_is_sent_of_writes_none(shop: Database, statement: str) -> None:
    """The stock of an order, a counter of views, an inactive variant."""
    with shop.connect() as conn:
        conn.execute(
            "alter table public.products add views int not null default 0, alter inventory drop not null"
        )
        conn.execute("alter table public.collection_products add position int")
        update(conn, "product_variants", 1013, is_active=False)
    forget(shop)
    with shop.connect() as conn:
        conn.execute(statement)  # type: ignore[call-overload]
    assert told(shop) == []


def test_every_column_that_the_worker_is_given_writes_a_row_when_it_changes(shop: Database) -> None:
    """What is compared is what is looked up, in a shop that has all of the columns."""
    typed: dict[str, Any] = {
        "price": 7,
        "images": ["https://cdn.example/new.jpg"],
        "created_at": "2026-01-01",
    }
    for table, function, row_id, product in (
        ("products", "product_facts", MUG, MUG),
        ("product_variants", "variant_facts", SHIRT_S, SHIRT),
    ):
        with shop.connect(autocommit=True) as conn:
            facts = conn.execute(f"select jsonb_object_keys(omnisend_private.{function}('{{}}'))").fetchall()
            columns = {name for (name,) in facts} - {"sold_out", "is_active"}
            assert len(columns) >= 7
            for column in sorted(columns):
                conn.execute(f'alter table public.{table} add column if not exists "{column}" text')
                forget(shop)
                value = '{"Size": "XS"}' if column == "option_values" else typed.get(column, "other")
                update(conn, table, row_id, **{column: value})
                assert told(shop) == [f"product {product}"], column


def test_a_shop_without_some_columns_can_still_change_its_products(shop: Database) -> None:
    with shop.connect(autocommit=True) as conn:
        conn.execute(
            """
            alter table public.products drop inventory, drop description, drop images, drop category, drop status cascade,
              alter price type text;
            alter table public.product_variants drop stock_quantity, drop option_values, drop is_active cascade;
            alter table public.collections drop name
            """
        )
        forget(shop)
        update(conn, "products", MUG, price="dear")
        update(conn, "product_variants", SHIRT_S, sku="X")
        update(conn, "collections", SUMMER, description="Heavy things")
    assert told(shop) == ["product 102", "product 101"]


def test_merchants_who_do_not_tell_of_their_catalogue_write_nothing(database: Database) -> None:
    connect_shop(database, PROTEA)
    sync_shop(database, KAROO, status="disabled")
    with database.connect() as conn:
        conn.execute("update public.products set price = price + 1")
        conn.execute("update public.collections set name = name || '!'")
        conn.execute("delete from public.product_variants")
        conn.execute("delete from public.products")
    assert told(database) == []


def test_of_many_merchants_those_who_do_are_told(database: Database) -> None:
    """One whose key was refused too: what changes meanwhile is sent when it has another."""
    connect_shop(database, PROTEA)
    sync_shop(database, KAROO)
    sync_shop(database, BO_KAAP, status="error")
    with database.connect() as conn:
        conn.execute("update public.products set price = price + 1")
    assert sorted(told(database)) == ["product 201", "product 202", "product 301"]


def test_a_product_that_changes_hands_is_told_to_both(database: Database) -> None:
    sync_shop(database, PROTEA)
    sync_shop(database, KAROO)
    with database.connect() as conn:
        update(conn, "products", MUG, merchant_id=KAROO.merchant_id)
        written = conn.execute(
            "select merchant_id from public.integrations_omnisend_outbox where kind = 'product' and payload ->> 'product_id' = '102'"
        ).fetchall()
    assert {merchant for (merchant,) in written} == {PROTEA.merchant_id, KAROO.merchant_id}


def test_an_admin_needs_no_right_on_the_outbox(shop: Database) -> None:
    with admin(shop) as owner:
        reprice(owner, 5)
        owner.execute(
            "insert into public.products (merchant_id, title) values (%s, 'Cup')", [PROTEA.merchant_id]
        )
    assert told(shop) == ["product 102", "product 1001"]


def test_a_merchant_that_is_removed_leaves_nothing(shop: Database) -> None:
    with shop.connect() as conn:
        conn.execute("delete from public.merchants where id = %s", [PROTEA.merchant_id])
    assert told(shop) == []


def test_a_row_says_which_product_changed_and_no_more(shop: Database) -> None:
    with shop.connect() as conn:
        reprice(conn, 5)
        row = conn.execute(
            """
            select kind::text, name, dedup_key = '102:' || pg_current_xact_id(), payload, expires_at - now(),
              ordering_key = omnisend_private.ordering_key(merchant_id, 'product:102')
            from public.integrations_omnisend_outbox
            """
        ).fetchone()
    assert row is not None
    assert (*row[:4], row[4].days, row[5]) == (
        "product",
        "product_changed",
        True,
        {"product_id": "102"},
        30,
        True,
    )


@pytest.mark.parametrize("missing", ["collection_products", "collections", "product_variants", "products"])
@pytest.mark.world(migrations=False)
def test_a_table_that_is_missing_is_watched_when_it_comes(
    make_database: Callable[..., Database], missing: str
) -> None:
    from soldt_outbox.migrations import apply_migrations

    database = make_database()
    with database.connect(autocommit=True) as conn:
        conn.execute(f"alter table public.{missing} rename to later")  # type: ignore[call-overload]
        apply_migrations(conn)
        sync_shop(database)
        if missing != "products":
            reprice(conn, 5)
            assert told(database) == ["product 102"]
            forget(database)
        conn.execute(f"alter table public.later rename to {missing}")  # type: ignore[call-overload]
        conn.execute("select omnisend_private.watch_catalogue()")
        conn.execute("delete from public.collections where id = 11")
        update(conn, "product_variants", SHIRT_M, price=5)
    assert set(told(database)) == {"category 11", "product 101", "product 102"}


# How many --------------------------------------------------------------------------------------------------------------


def test_a_thousand_price_changes_while_the_merchant_is_paused_are_one_row(shop: Database) -> None:
    with shop.connect("omnisend_worker", autocommit=True) as worker, admin(shop) as owner:
        reprice(owner, 1)
        assert len(take(worker)) == 1
        worker.execute(
            "update public.integrations_omnisend_outbox set lease_token = null, lease_until = null, available_at = now() + interval '1 day'"
        )
        worker.execute(
            "update public.integrations_omnisend_lanes set paused_until = now() + interval '1 hour'"
        )
        for price in range(2, 1_002):
            reprice(owner, price)
        assert take(worker) == []
        assert told(shop) == ["product 102"]


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_product_that_is_changed_over_and_over_in_one_transaction_is_one_row(
    shop: Database, isolation: str
) -> None:
    with shop.connect() as conn:
        conn.execute(f"set transaction isolation level {isolation}")  # type: ignore[call-overload]
        for price in range(5):
            reprice(conn, price)
        update(conn, "product_variants", SHIRT_S, price=5)
        update(conn, "product_variants", SHIRT_M, price=5)
        conn.execute("delete from public.products where id = 102")
    assert told(shop) == ["product 102", "product 101"]


@pytest.mark.parametrize(
    ("becomes", "rows"),
    [
        ("available_at = '5000-01-01'", 1),
        ("available_at = now() + interval '3 days', attempts = 12", 1),
        ("expires_at = now() + interval '16 days'", 1),
        ("expires_at = now() + interval '14 days'", 2),
        ("lease_token = gen_random_uuid(), lease_until = now() + interval '1 minute'", 2),
        ("lease_token = gen_random_uuid(), lease_until = now() - interval '1 minute'", 2),
        ("state = 'dead', available_at = 'infinity'", 2),
        ("state = 'delivered', payload = null, ordering_key = null", 1),
        ("payload = '{}'", 1),
    ],
)
def test_a_row_that_will_tell_it_is_enough(shop: Database, becomes: str, rows: int) -> None:
    """One that waits however long; not one that is being sent, or may expire before it goes."""
    with shop.connect(autocommit=True) as conn:
        reprice(conn, 1)
        conn.execute("update public.integrations_omnisend_outbox set " + becomes)  # type: ignore[call-overload]
        reprice(conn, 2)
        count = conn.execute(
            "select count(*) from public.integrations_omnisend_outbox where payload ->> 'product_id' = '102'"
        ).fetchone()
    assert count == (rows,)


def test_another_products_row_with_the_same_ordering_key_is_not_taken_for_its_own(shop: Database) -> None:
    """The key is a hash of 64 bits."""
    with shop.connect(autocommit=True) as conn:
        reprice(conn, 1, SHIRT)
        conn.execute(
            "update public.integrations_omnisend_outbox set ordering_key = omnisend_private.ordering_key(merchant_id, 'product:102')"
        )
        reprice(conn, 1, MUG)
    assert told(shop) == ["product 101", "product 102"]


def test_an_import_writes_a_row_for_each_product_and_its_prices_none_more(shop: Database) -> None:
    with shop.connect(autocommit=True) as conn:
        imported(conn)
        assert len(told(shop)) == IMPORTED
        conn.execute("update public.products set price = price * 2 where id > 1000")
        conn.execute("delete from public.products where id > 1000")
    assert len(told(shop)) == IMPORTED


def imported(conn: psycopg.Connection) -> None:
    conn.execute(
        "insert into public.products (merchant_id, title, price) select %s, 'Cup ' || n, n from generate_series(1, %s) n",
        [PROTEA.merchant_id, IMPORTED],
    )
