"""A merchant that goes takes its outbox, logs, lane and consents along; a connection that goes leaves the ledger and the consents."""

from __future__ import annotations

import pytest

from sandbox.shops import KAROO, PROTEA
from sandbox.world import Database
from tests.support.consents import record
from tests.support.shop import connect_shop, place_unseen, remember

pytestmark = pytest.mark.both_majors

COUNTS = """
    select (select count(*) from public.integrations_omnisend where merchant_id = m),
      (select count(*) from public.integrations_omnisend_outbox where merchant_id = m),
      (select count(*) from public.integrations_omnisend_logs where merchant_id = m),
      (select count(*) from public.integrations_omnisend_lanes where merchant_id = m),
      (select count(*) from public.integrations_omnisend_consents where merchant_id = m),
      (select count(*) from public.integrations_omnisend_syncs where merchant_id = m),
      (select count(*) from omnisend_private.told_items where merchant_id = m),
      (select count(*) from omnisend_private.contact_watermarks where merchant_id = m)
    from (values (%s::uuid)) as merchant (m)
"""


@pytest.fixture
def shops(database: Database) -> Database:
    """Two shops with a row in every table."""
    for shop in (PROTEA, KAROO):
        connect_shop(database, shop)
        with database.connect("anon") as conn:
            place_unseen(conn, merchant_id=shop.merchant_id)
    with database.connect("omnisend_worker") as worker:
        for table in ("logs", "lanes"):
            worker.execute(
                f"insert into public.integrations_omnisend_{table} (merchant_id) select merchant_id from public.integrations_omnisend"  # type: ignore[arg-type]
            )
        for shop in (PROTEA, KAROO):
            record(worker, p_merchant_id=shop.merchant_id)
            worker.execute(
                "insert into public.integrations_omnisend_syncs (merchant_id, resource, mode, chunk_size) values (%s, 'orders', 'full', 100)",
                [shop.merchant_id],
            )
            remember(worker, shop.merchant_id)
    return database


def left(database: Database) -> tuple[object, object]:
    with database.connect() as conn:
        return (
            conn.execute(COUNTS, [PROTEA.merchant_id]).fetchone(),
            conn.execute(COUNTS, [KAROO.merchant_id]).fetchone(),
        )


def test_a_deleted_merchant_leaves_nothing_and_the_others_everything(shops: Database) -> None:
    assert left(shops) == ((1,) * 8, (1,) * 8)
    with shops.connect("service_role") as conn:
        conn.execute("delete from public.merchants where id = %s", [PROTEA.merchant_id])
    assert left(shops) == ((0,) * 8, (1,) * 8)


def test_a_deletion_that_is_rolled_back_deletes_nothing(shops: Database) -> None:
    with shops.connect() as conn:
        conn.execute("delete from public.merchants where id = %s", [PROTEA.merchant_id])
        conn.rollback()
    assert left(shops) == ((1,) * 8, (1,) * 8)


def test_a_connection_that_is_removed_leaves_the_ledger_against_duplicates(shops: Database) -> None:
    with shops.connect() as conn:
        conn.execute("delete from public.integrations_omnisend where merchant_id = %s", [PROTEA.merchant_id])
    assert left(shops) == ((0,) + (1,) * 7, (1,) * 8)
