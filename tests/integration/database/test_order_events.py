"""Which change of an order writes which events: every transition, made by the roles that SOLDT makes them with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from sandbox.shops import BO_KAAP, KAROO, PROTEA
from sandbox.world import Database
from tests.support.shop import admin, change, connect_shop, names, outbox, place, place_unseen

pytestmark = pytest.mark.both_majors

GRACE = timedelta(minutes=2)
PLACED, PAID, FULFILLED, CANCELED, REFUNDED = (
    "order_placed",
    "order_paid",
    "order_fulfilled",
    "order_canceled",
    "order_refunded",
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, [PLACED]),
        ({"status": "pending", "payment_status": "pending"}, [PLACED]),
        ({"status": "processing"}, [PLACED]),
        ({"payment_status": "awaiting_payment"}, [PLACED]),
        ({"payment_status": "failed"}, [PLACED]),
        ({"payment_status": "paid"}, [PLACED, PAID]),
        ({"status": "shipped"}, [PLACED, FULFILLED]),
        ({"status": "delivered"}, [PLACED, FULFILLED]),
        ({"status": "shipped", "payment_status": "paid"}, [PLACED, PAID, FULFILLED]),
        ({"status": "cancelled"}, [PLACED, CANCELED]),
        ({"status": "cancelled", "payment_status": "paid"}, [PLACED, PAID, CANCELED]),
        ({"status": "refunded"}, [PLACED, REFUNDED]),
        ({"payment_status": "refunded"}, [PLACED, REFUNDED]),
        ({"status": "refunded", "payment_status": "refunded"}, [PLACED, REFUNDED]),
        ({"status": "cancelled", "payment_status": "refunded"}, [PLACED, CANCELED, REFUNDED]),
        ({"status": None, "payment_status": None}, [PLACED]),
        ({"status": "PAID", "payment_status": "on the way"}, [PLACED]),
    ],
    ids=str,
)
def test_a_new_order_writes_what_has_happened_to_it(
    shop: Database, order: dict[str, Any], expected: list[str]
) -> None:
    with admin(shop) as conn:
        order_id = place(conn, **order)
    rows = outbox(shop)
    assert [row.name for row in rows] == expected
    assert {(row.kind, row.dedup_key, row.state) for row in rows} == {("event", str(order_id), "pending")}


@pytest.mark.parametrize(
    ("first", "changes", "expected"),
    [
        ({}, [{"status": "processing"}], []),
        ({}, [{"payment_status": "awaiting_payment"}], []),
        ({}, [{"payment_status": "failed"}], []),
        ({}, [{"payment_status": "paid"}], [PAID]),
        ({"payment_status": None}, [{"payment_status": "paid"}], [PAID]),
        ({"payment_status": "awaiting_payment"}, [{"payment_status": "paid"}], [PAID]),
        ({"payment_status": "paid"}, [{"payment_status": "paid"}], []),
        ({}, [{"payment_status": "paid"}, {"payment_status": "failed"}, {"payment_status": "paid"}], [PAID]),
        ({}, [{"status": "shipped"}], [FULFILLED]),
        ({"status": None}, [{"status": "shipped"}], [FULFILLED]),
        ({}, [{"status": "delivered"}], [FULFILLED]),
        ({}, [{"status": "shipped"}, {"status": "delivered"}], [FULFILLED]),
        ({}, [{"status": "shipped"}, {"status": "processing"}, {"status": "shipped"}], [FULFILLED]),
        ({"status": "shipped"}, [{"status": "delivered"}], []),
        ({}, [{"status": "shipped", "payment_status": "paid"}], [PAID, FULFILLED]),
        ({}, [{"status": "cancelled"}], [CANCELED]),
        ({}, [{"status": "cancelled"}, {"status": "pending"}, {"status": "cancelled"}], [CANCELED]),
        ({"payment_status": "paid"}, [{"status": "refunded"}], [REFUNDED]),
        ({"payment_status": "paid"}, [{"payment_status": "refunded"}], [REFUNDED]),
        ({"payment_status": "paid"}, [{"payment_status": "refunded"}, {"status": "refunded"}], [REFUNDED]),
        ({"payment_status": "paid"}, [{"status": "refunded", "payment_status": "refunded"}], [REFUNDED]),
        ({}, [{"status": "cancelled", "payment_status": "refunded"}], [CANCELED, REFUNDED]),
        ({"payment_status": "paid"}, [{"status": None, "payment_status": None}], []),
        (
            {},
            [
                {"payment_status": "paid"},
                {"status": "shipped"},
                {"status": "delivered"},
                {"status": "refunded"},
            ],
            [PAID, FULFILLED, REFUNDED],
        ),
    ],
    ids=str,
)
def test_a_change_writes_each_event_once(
    shop: Database, first: dict[str, Any], changes: list[dict[str, Any]], expected: list[str]
) -> None:
    with admin(shop) as conn:
        order_id = place(conn, **first)
        before = len(names(shop))
        for columns in changes:
            change(conn, order_id, **columns)
    assert names(shop)[before:] == expected


@pytest.mark.parametrize(
    "columns",
    [
        {"notes": "leave it at the gate"},
        {"total": 1},
        {"items": []},
        {"customer_email": "other@example.com", "customer_name": "Other"},
        {"shipping_address": {}},
        {"payment_reference": "ref", "payment_method": "eft"},
        {"status": "pending", "payment_status": "pending"},
        {
            "tracking_number": "TRK-1",
            "tracking_carrier": "The Courier Guy",
            "tracking_url": "https://t.example/1",
        },
    ],
    ids=str,
)
def test_changes_that_tell_nothing_write_nothing(shop: Database, columns: dict[str, Any]) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        before = outbox(shop)
        change(conn, order_id, **columns)
    assert outbox(shop) == before


def test_a_row_holds_the_order_as_it_stands(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, payment_status="paid", notes="thanks")
        row = conn.execute("select to_jsonb(o) from public.orders o where id = %s", [order_id]).fetchone()
    assert row is not None
    placed, paid = outbox(shop)
    assert paid.payload == row[0]
    assert (placed.payload["payment_status"], placed.payload["notes"]) == ("pending", None)
    assert placed.merchant_id == PROTEA.merchant_id
    assert placed.occurred_at == placed.created_at == placed.available_at
    assert placed.expires_at - placed.occurred_at == timedelta(days=14)


def test_events_of_one_customer_share_an_ordering_key_that_names_nobody(shop: Database) -> None:
    connect_shop(shop, KAROO)
    with shop.connect("anon", autocommit=True) as conn:
        for email in ("nomsa@example.com", " Nomsa@Example.COM ", "sipho@example.com"):
            place_unseen(conn, customer_email=email)
        place_unseen(conn, merchant_id=KAROO.merchant_id)
    first, second, other = (row.ordering_key for row in outbox(shop))
    (elsewhere,) = (row.ordering_key for row in outbox(shop, KAROO))
    assert first == second
    assert len({first, other, elsewhere}) == 3
    assert first is not None
    assert "nomsa" not in first


def test_a_browser_that_may_only_insert_orders_writes_the_row(shop: Database) -> None:
    with shop.connect("anon") as conn:
        place_unseen(conn)
    assert names(shop) == [PLACED]


def test_an_upsert_writes_what_a_plain_update_writes(shop: Database) -> None:
    upsert = """
        insert into public.orders (id, merchant_id, customer_email, customer_name, shipping_address, items, payment_status)
        values (%s, %s, 'nomsa@example.com', 'Nomsa Dlamini', '{}', '[]', 'paid')
        on conflict (id) do update set payment_status = excluded.payment_status
    """
    with admin(shop) as conn:
        order_id = place(conn)
        conn.execute(upsert, [order_id, PROTEA.merchant_id])
        conn.execute(upsert, [order_id, PROTEA.merchant_id])
    assert names(shop) == [PLACED, PAID]


def test_many_orders_in_one_statement_write_a_row_each(shop: Database) -> None:
    with shop.connect() as conn:
        conn.execute(
            """
            insert into public.orders (merchant_id, customer_email, customer_name, shipping_address, items)
            select %s, 'customer' || n || '@example.com', 'Customer', '{}', '[]' from generate_series(1, 500) n
            """,
            [PROTEA.merchant_id],
        )
    rows = outbox(shop)
    assert len(rows) == len({row.dedup_key for row in rows}) == len({row.ordering_key for row in rows}) == 500


# Whose orders are told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["connected", "error", "disabled", None])
def test_only_a_shop_that_is_connected_or_in_error_has_its_orders_told(
    database: Database, status: str | None
) -> None:
    if status is not None:
        connect_shop(database, status=status)
    connect_shop(database, KAROO)  # another shop's connection changes nothing
    with admin(database) as conn:
        order_id = place(conn)
        change(conn, order_id, payment_status="paid", status="shipped", tracking_number="TRK-1")
    told = [PLACED, PAID, FULFILLED] if status in ("connected", "error") else []
    assert names(database, None) == told


def test_an_order_of_no_merchant_writes_nothing(shop: Database) -> None:
    with shop.connect() as conn:
        place(conn, merchant_id=None, status="shipped", payment_status="paid")
    assert names(shop, None) == []


def test_an_order_placed_before_the_shop_was_connected_is_told_from_its_next_change_on(
    database: Database,
) -> None:
    with admin(database, BO_KAAP) as conn:
        order_id = place(conn, merchant_id=BO_KAAP.merchant_id)
        connect_shop(database, BO_KAAP)
        change(conn, order_id, payment_status="paid")
    assert names(database, BO_KAAP) == [PAID]


# The grace for the tracking number -------------------------------------------------------------------------------------


def test_a_shipment_without_a_tracking_number_waits_two_minutes(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        place(conn, status="shipped", tracking_number="")
    waiting = [row for row in outbox(shop) if row.name == FULFILLED]
    assert [row.available_at - row.created_at for row in waiting] == [GRACE, GRACE]


def test_a_shipment_saved_with_its_tracking_number_is_due_at_once(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped", tracking_number="TRK-1", tracking_carrier="Pargo")
        place(conn, status="shipped", tracking_number="TRK-2")
    told = [row for row in outbox(shop) if row.name == FULFILLED]
    assert [row.available_at - row.created_at for row in told] == [timedelta(0), timedelta(0)]
    assert [row.payload["tracking_number"] for row in told] == ["TRK-1", "TRK-2"]


def test_a_tracking_number_saved_while_the_shipment_waits_goes_with_it_at_once(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        change(conn, order_id, tracking_number="TRK-1", tracking_url="https://t.example/1")
    placed, fulfilled = outbox(shop)
    assert fulfilled.payload["tracking_number"] == "TRK-1"
    assert fulfilled.payload["tracking_url"] == "https://t.example/1"
    assert timedelta(0) <= fulfilled.available_at - fulfilled.created_at < GRACE
    assert placed.payload["tracking_number"] is None, "what was placed is told as it was"


def test_a_carrier_without_a_number_is_taken_along_and_the_grace_stays(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        change(conn, order_id, tracking_carrier="Pargo")
    fulfilled = outbox(shop)[-1]
    assert fulfilled.payload["tracking_carrier"] == "Pargo"
    assert fulfilled.available_at - fulfilled.created_at == GRACE


def test_delivered_with_a_tracking_number_is_taken_along_by_the_waiting_shipment(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        change(conn, order_id, status="delivered", tracking_number="TRK-1")
    rows = outbox(shop)
    assert [row.name for row in rows] == [PLACED, FULFILLED]
    assert rows[-1].payload["tracking_number"] == "TRK-1"


def test_a_tracking_number_does_not_hurry_a_row_that_backs_off(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        with shop.connect("omnisend_worker") as worker:
            worker.execute(
                "update public.integrations_omnisend_outbox set attempts = 2, available_at = now() + interval '1 hour' "
                "where name = 'order_fulfilled'"
            )
        before = outbox(shop)[-1]
        change(conn, order_id, tracking_number="TRK-1")
    after = outbox(shop)[-1]
    assert after.payload["tracking_number"] == "TRK-1"
    assert after.available_at == before.available_at


@pytest.mark.parametrize("state", ["delivered", "skipped", "expired", "dead"])
def test_a_tracking_number_changes_nothing_once_the_shipment_is_settled(shop: Database, state: str) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
        change(conn, order_id, status="shipped")
        with shop.connect("omnisend_worker") as worker:
            worker.execute(
                "update public.integrations_omnisend_outbox set state = %s, payload = null, settled_at = now()",
                [state],
            )
        before = outbox(shop)
        change(conn, order_id, tracking_number="TRK-1")
    assert outbox(shop) == before


# Together or not at all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"total": -1}, psycopg.errors.CheckViolation),
        ({"customer_email": "no address"}, psycopg.errors.CheckViolation),
        ({"customer_name": None}, psycopg.errors.NotNullViolation),
        ({"total": 10**9}, psycopg.errors.NumericValueOutOfRange),
    ],
    ids=str,
)
def test_an_order_that_a_constraint_refuses_leaves_no_row(
    shop: Database, bad: dict[str, Any], error: type[Exception]
) -> None:
    with shop.connect("anon", autocommit=True) as conn, pytest.raises(error):
        place_unseen(conn, **bad)
    assert names(shop, None) == []


def test_an_order_that_a_later_trigger_or_the_commit_refuses_leaves_no_row(shop: Database) -> None:
    with shop.connect() as conn:
        conn.execute(
            """
            create function public.refuse() returns trigger language plpgsql set search_path = '' as
            $$ begin raise exception 'out of stock' using errcode = 'check_violation'; end $$;
            create constraint trigger zz_refuse after insert on public.orders deferrable initially deferred
              for each row when (new.notes = 'refuse me') execute function public.refuse();
            """
        )
    with shop.connect("anon", autocommit=True) as conn, pytest.raises(psycopg.errors.CheckViolation):
        place_unseen(conn, notes="refuse me")
    with shop.connect("anon") as conn:
        place_unseen(conn)
        conn.rollback()
    assert names(shop, None) == []


def test_a_rolled_back_change_leaves_no_row(shop: Database) -> None:
    with admin(shop) as conn:
        order_id = place(conn)
    with admin(shop, autocommit=False) as conn:
        change(conn, order_id, status="cancelled")
        conn.rollback()
    assert names(shop) == [PLACED]


def test_an_order_restored_from_a_backup_is_not_told_again(shop: Database) -> None:
    with shop.connect() as conn:
        order_id = place(conn, payment_status="paid")
    for _ in range(2):
        with shop.connect() as conn:
            conn.execute("delete from public.orders where id = %s", [order_id])
            place(conn, id=order_id, payment_status="paid", status="delivered", tracking_number="TRK-1")
    assert names(shop) == [PLACED, PAID, FULFILLED]


# Odd data --------------------------------------------------------------------------------------------------------------

_MEGABYTE = 1024 * 1024


def _nested(depth: int) -> Jsonb:
    return Jsonb(None, dumps=lambda _: "[" * depth + "]" * depth)


@pytest.mark.parametrize(
    "columns",
    [
        {"customer_phone": None, "subtotal": None, "shipping": None, "tax": None, "total": None},
        {"total": "NaN", "subtotal": "NaN", "tax": "NaN", "shipping": "NaN"},
        {"subtotal": -5, "tax": -1},
        {"customer_name": "", "customer_phone": "", "notes": "", "tracking_number": ""},
        {"notes": "ünïcödé 🛒🇿🇦 \u202e right-to-left \u0001 \x7f \\u0000 ' \" \\ $$ %s {}"},
        {"customer_name": "🧑‍🚀" * 1000},
        {"notes": "x" * (5 * _MEGABYTE)},
        {"customer_email": "a" * 50_000 + "@example.com"},
        {"customer_email": "İSTANBUL'); drop table orders;--@example.com".replace(" ", "")},
        {"items": Jsonb("two mugs, please")},
        {"items": Jsonb(None)},
        {"items": {}},
        {"items": []},
        {"items": [{"id": n, "price": "free", "quantity": -1} for n in range(10_000)]},
        {"items": _nested(3_000)},
        {"items": Jsonb(None, dumps=lambda _: "[" + "9" * 100_000 + "]")},
        {"shipping_address": Jsonb("somewhere")},
        {"shipping_address": Jsonb(12)},
        {"created_at": None, "updated_at": None},
        {"created_at": "infinity", "updated_at": "-infinity"},
        {"created_at": "0044-03-15 BC"},
        {"status": "x" * 10_000, "payment_status": "betaal"},
        {"tracking_number": "x" * _MEGABYTE, "status": "shipped"},
    ],
    ids=",".join,
)
def test_odd_data_never_aborts_an_order_and_is_kept_as_it_is(shop: Database, columns: dict[str, Any]) -> None:
    with admin(shop) as conn:
        order_id = place(conn, **columns)
        change(conn, order_id, payment_status="paid")
        same = conn.execute(
            "select to_jsonb(o)::text from public.orders o where id = %s", [order_id]
        ).fetchone()
    assert names(shop)[0] == PLACED
    assert names(shop)[-1] == PAID
    with shop.connect() as conn:
        told = conn.execute(
            "select payload::text from public.integrations_omnisend_outbox where name = 'order_paid'"
        ).fetchone()
    assert told == same


@pytest.mark.parametrize("email", ["Nomsa@Example.com", "nomsa@example.com", "o'brien+1@sub.example.co.za"])
def test_the_ordering_key_of_an_order_is_the_one_that_the_function_makes(shop: Database, email: str) -> None:
    """The trigger writes the function's expression out, since every checkout would pay for the call."""
    with admin(shop) as conn:
        order_id = place(conn, customer_email=email)
        change(conn, order_id, payment_status="paid")
    with shop.connect() as conn:
        keys = conn.execute(
            "select ordering_key, omnisend_private.ordering_key(merchant_id, %s) from integrations_omnisend_outbox",
            [email],
        ).fetchall()
    assert len(keys) == 2
    assert all(written == made for written, made in keys)
