"""``omnisend_retry``: an admin puts dead rows of their own shop back, and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from sandbox.shops import KAROO, PROTEA, STRANGER_ID, Shop
from sandbox.world import Database
from tests.support.shop import admin, connect_shop, outbox, place

pytestmark = pytest.mark.both_majors


@pytest.fixture
def dead(database: Database) -> Database:
    """Two shops with a dead row each."""
    for shop in (PROTEA, KAROO):
        connect_shop(database, shop)
        with admin(database, shop) as conn:
            place(conn, merchant_id=shop.merchant_id)
    settle(database, "dead")
    return database


def settle(database: Database, state: str) -> None:
    with database.connect("omnisend_worker") as worker:
        worker.execute(
            """
            update public.integrations_omnisend_outbox
            set state = %(state)s::public.omnisend_outbox_state, settled_at = now(), attempts = 12, rescues = 3, last_error = 'rejected', last_status_code = 400,
              available_at = case when %(state)s::text = 'dead' then 'infinity'::timestamptz else available_at end
            """,
            {"state": state},
        )


def retry(database: Database, ids: list[int], *, shop: Shop = PROTEA) -> int:
    with admin(database, shop) as conn:
        row = conn.execute("select public.omnisend_retry(%s)", [ids]).fetchone()
    assert row is not None
    return int(row[0])


def every_id(database: Database) -> list[int]:
    return [row.id for row in outbox(database, None)]


def test_a_dead_row_is_as_good_as_new_and_keeps_what_it_says(dead: Database) -> None:
    (before,) = outbox(dead)
    assert retry(dead, [before.id]) == 1
    with dead.connect() as conn:
        row = conn.execute(
            """
            select state::text, attempts, rescues, available_at <= clock_timestamp(), settled_at, lease_token, last_error,
              dedup_key = %s, occurred_at = %s
            from public.integrations_omnisend_outbox where id = %s
            """,
            [before.dedup_key, before.occurred_at, before.id],
        ).fetchone()
    assert row == ("pending", 0, 0, True, None, None, "rejected", True, True)
    assert outbox(dead)[0].payload == before.payload


def test_only_rows_of_the_callers_own_shops_are_put_back(dead: Database) -> None:
    assert retry(dead, every_id(dead)) == 1
    assert [row.state for row in outbox(dead, KAROO)] == ["dead"]


def test_a_member_is_an_admin_and_a_stranger_is_not(dead: Database) -> None:
    for user, count in ((STRANGER_ID, 0), (PROTEA.member_ids[0], 1)):
        with dead.connect("authenticated", claims={"sub": user}) as conn:
            assert conn.execute("select public.omnisend_retry(%s)", [every_id(dead)]).fetchone() == (count,)


def test_a_token_without_a_user_puts_nothing_back(dead: Database) -> None:
    with dead.connect("authenticated", claims={}) as conn:
        assert conn.execute("select public.omnisend_retry(%s)", [every_id(dead)]).fetchone() == (0,)


@pytest.mark.parametrize("state", ["pending", "delivered", "skipped", "expired"])
def test_only_dead_rows_are_put_back(dead: Database, state: str) -> None:
    settle(dead, state)
    before = outbox(dead)
    assert retry(dead, every_id(dead)) == 0
    assert outbox(dead) == before


def test_a_row_past_its_expiry_stays_dead(dead: Database) -> None:
    with dead.connect() as conn:
        conn.execute("update public.integrations_omnisend_outbox set expires_at = now()")
    assert retry(dead, every_id(dead)) == 0


def test_rows_of_a_disconnected_merchant_stay_dead(dead: Database) -> None:
    with dead.connect(autocommit=True) as conn:
        conn.execute(
            "update integrations_omnisend set status = 'disabled' where merchant_id = %s",
            [PROTEA.merchant_id],
        )
    assert retry(dead, every_id(dead)) == 0


def test_a_second_call_finds_nothing_left(dead: Database) -> None:
    ids = every_id(dead) * 2
    assert (retry(dead, ids), retry(dead, ids), retry(dead, [])) == (1, 0, 0)


@pytest.mark.parametrize("ids", ["null", "'{}'", "'{null}'", "'{-1,0,9223372036854775807}'"])
def test_ids_that_name_nothing_are_no_error(dead: Database, ids: str) -> None:
    with admin(dead) as conn:
        assert conn.execute(f"select public.omnisend_retry({ids})").fetchone() == (0,)  # type: ignore[call-overload]


def test_at_most_a_thousand_ids_are_taken(dead: Database) -> None:
    (own,) = (row.id for row in outbox(dead))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="At most 1000"):
        retry(dead, [own] + [0] * 1000)
    assert retry(dead, [own] + [0] * 999) == 1


def test_a_rule_of_soldts_own_replaces_who_is_an_admin(dead: Database) -> None:
    """Policies and the function follow the one function that says so."""
    with dead.connect() as conn:
        conn.execute(
            """
            create or replace function omnisend_private.administered_merchants() returns setof uuid
            language sql stable security definer set search_path = ''
            as $$ select m.id from public.merchants m where m.slug = auth.jwt() ->> 'shop' $$
            """
        )
    with dead.connect("authenticated", claims={"sub": STRANGER_ID, "shop": "karoo-leather"}) as conn:
        seen = conn.execute("select merchant_id, status from public.integrations_omnisend_status").fetchall()
        assert seen == [(KAROO.merchant_id, "connected")]
        assert conn.execute("select public.omnisend_retry(%s)", [every_id(dead)]).fetchone() == (1,)
