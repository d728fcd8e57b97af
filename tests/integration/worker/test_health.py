"""What a worker says of the tables it works on."""

from __future__ import annotations

from sandbox.shops import PROTEA
from soldt_outbox.database import open_database
from soldt_outbox.store import Budget, Store
from tests.support.worker import PLENTY, Scene


async def test_it_knows_old_snapshots_dead_tuples_updates_in_place_and_broken_indexes(scene: Scene) -> None:
    scene.connect()
    scene.query(
        "insert into integrations_omnisend_outbox (merchant_id, name, dedup_key) select %s, 'order_placed', n::text from generate_series(1, 40) n",
        [PROTEA.merchant_id],
    )
    async with open_database(scene.database.url("omnisend_worker"), application_name="test") as database:
        store = Store(database, budget=Budget.below(PLENTY))
        well = await store.health()
        assert well["idle_indexes"] == []
        with scene.database.connect() as reader:
            reader.execute("set transaction isolation level repeatable read")
            reader.execute("select pg_sleep(0.2)")
            with scene.database.connect(autocommit=True) as conn:
                conn.execute(
                    "update integrations_omnisend_outbox set attempts = 1 where dedup_key::int % 4 = 0"
                )
                conn.execute("drop index integrations_omnisend_outbox_order_idx")
                conn.execute("select pg_stat_force_next_flush()")
                conn.execute("select 1")
            ill = await store.health()
    assert ill["oldest_snapshot_seconds"] >= 0.2
    assert ill["dead_tuples"] - well["dead_tuples"] == 10
    assert ill["updates"] - well["updates"] == 10
    assert ill["updates_in_place"] - well["updates_in_place"] > 0
    assert ill["idle_indexes"] == ["integrations_omnisend_outbox_order_idx"]
