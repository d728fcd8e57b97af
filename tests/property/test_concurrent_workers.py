"""Many workers at once, on connections of their own: one lease a row, order per customer, no deadlock, nothing lost."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from sandbox.world import Database
from soldt_outbox.rows import Due, OutboxRow, Outcome, Verdict
from soldt_outbox.store import Budget, Store
from tests.property.driver import SyncDatabase, finish

pytestmark = pytest.mark.both_majors

MERCHANTS, CUSTOMERS, EVENTS = 12, 30, 8  # 2,880 rows
WORKERS = 8
LEASE = timedelta(minutes=5)  # no lease runs out unless a test says so
UNBOUNDED = Budget(requests_per_minute=60_000_000, burst=10_000_000)
PATIENCE = 20  # little, so that customers' rows are set aside all the time


@pytest.fixture
def crowded(database: Database) -> Database:
    """Merchants nobody has claimed for yet, each with the rows of a few dozen customers, mixed."""
    with psycopg.connect(database.url(database.superuser)) as conn:
        conn.execute(
            """
            with merchant as (
              insert into public.merchants (id, store_name, slug)
              select gen_random_uuid(), 'Shop ' || n, 'shop-' || n from generate_series(1, %s) n returning id
            ), connected as (
              insert into public.integrations_omnisend (merchant_id) select id from merchant
            )
            insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload)
            select m.id, 'order_placed', c || '-' || e, omnisend_private.ordering_key(m.id, c::text), '{"id": 1}'
            from merchant m, generate_series(1, %s) c, generate_series(1, %s) e
            order by random()
            """,
            [MERCHANTS, CUSTOMERS, EVENTS],
        )
    return database


class Ledger:
    """Who holds what at this moment, as the workers know it."""

    def __init__(self, customers: dict[int, str]) -> None:
        self._customers = customers
        self._lock = threading.Lock()
        self._held: dict[int, OutboxRow] = {}
        self._busy: set[str] = set()
        self._orphans: dict[int, OutboxRow] = {}
        self.stale: list[OutboxRow] = []  # settled, or taken over by somebody else

    def took(self, rows: list[OutboxRow]) -> None:
        with self._lock:
            for row in rows:
                customer = self._customers[row.id]
                assert row.id not in self._held, "a row has two live leases"
                assert customer not in self._busy, "two rows of one customer are under way"
                self._held[row.id] = row
                self._busy.add(customer)
                if row.id in self._orphans:
                    self.stale.append(self._orphans.pop(row.id))
                    assert row.rescues > 0

    def lets_go(self, rows: list[OutboxRow], *, orphaned: bool = False) -> None:
        """To be said before the database is told: from then on others may take them."""
        with self._lock:
            for row in rows:
                del self._held[row.id]
                self._busy.discard(self._customers[row.id])
                if orphaned:
                    self._orphans[row.id] = row

    def held(self) -> list[OutboxRow]:
        with self._lock:
            return list(self._held.values())


class Worker:
    """Claims, holds for a while, and settles, stalls or dies, by the throw of a die."""

    def __init__(self, number: int, store: Store, conn: psycopg.Connection, ledger: Ledger) -> None:
        self._name, self._store, self._conn, self._ledger = f"worker-{number}", store, conn, ledger
        self._rng = random.Random(number)  # noqa: S311 - dice
        self._mine: list[OutboxRow] = []

    def work(self, over: threading.Event) -> None:
        """Until nothing is pending. The first round of all makes the lanes, everybody at once."""
        while not over.is_set():
            merchants = finish(self._store.due_merchants())
            if merchants:
                self._claim(merchants)
            self._rng.shuffle(self._mine)
            count = self._rng.randint(1, 60)
            rows, self._mine = self._mine[:count], self._mine[count:]
            if self._rng.random() < 0.05:
                self._die_with(rows)
            else:
                self._settle(rows)
            self._write_late()
            if not merchants and not self._mine:
                return

    def _claim(self, merchants: list[Due]) -> None:
        asked = self._rng.sample(merchants, self._rng.randint(1, len(merchants)))
        limit = self._rng.randint(1, 60)
        rows = finish(self._store.claim(asked, limit=limit, worker_id=self._name, lease=LEASE))
        assert len(rows) <= limit
        self._ledger.took(rows)
        self._mine += rows

    def _settle(self, rows: list[OutboxRow]) -> None:
        verdicts = self._rng.choices(
            [Verdict.DELIVERED, Verdict.RETRY, Verdict.RELEASE], [8, 1, 1], k=len(rows)
        )
        outcomes = [Outcome(row=row, verdict=verdict) for row, verdict in zip(rows, verdicts, strict=True)]
        self._ledger.lets_go(rows)
        assert finish(self._store.settle(outcomes)) == {row.id for row in rows}
        self._ledger.stale += rows

    def _die_with(self, rows: list[OutboxRow]) -> None:
        """The leases run out."""
        self._ledger.lets_go(rows, orphaned=True)
        self._conn.execute(
            """
            update public.integrations_omnisend_outbox o set lease_until = now() - interval '1 second'
            from unnest(%s::bigint[], %s::uuid[]) as held (id, token) where o.id = held.id and o.lease_token = held.token
            """,
            [[row.id for row in rows], [row.lease_token for row in rows]],
        )

    def _write_late(self) -> None:
        old = self._rng.sample(self._ledger.stale, min(5, len(self._ledger.stale)))
        late = [Outcome(row=row, verdict=Verdict.DEAD, error="late", healthy=True) for row in old]
        assert finish(self._store.settle(late)) == set(), "a stale result was written"


@contextmanager
def store_in(database: Database) -> Iterator[tuple[Store, psycopg.Connection]]:
    with psycopg.connect(database.url("omnisend_worker"), autocommit=True, row_factory=dict_row) as conn:
        yield Store(SyncDatabase(conn), budget=UNBOUNDED, patience=PATIENCE), conn  # type: ignore[arg-type]


def test_workers_that_claim_renew_settle_and_die_at_once(crowded: Database) -> None:
    with crowded.connect("omnisend_worker") as conn:
        customers = dict(
            conn.execute("select id, ordering_key from public.integrations_omnisend_outbox").fetchall()
        )
    ledger, over, start = Ledger(customers), threading.Event(), threading.Barrier(WORKERS)

    def work(number: int) -> None:
        with store_in(crowded) as (store, conn):
            start.wait(timeout=30)
            try:
                Worker(number, store, conn, ledger).work(over)
            except BaseException:
                over.set()  # or the others would wait for what this one holds
                raise

    def keep_leases() -> None:
        """All there are, in any order, while others settle the same rows."""
        rng = random.Random(0)  # noqa: S311 - dice
        with store_in(crowded) as (store, _):
            while not over.is_set():
                rows = list({row.id: row for row in ledger.stale[-100:] + ledger.held()}.values())
                rng.shuffle(rows)
                finish(store.renew(rows, lease=LEASE))

    def keep_house() -> None:
        too_old = {"retention": timedelta(days=30), "after": 0, "limit": 100}
        with store_in(crowded) as (store, conn):
            while not over.is_set():
                finish(store.expire_waiting(limit=100))
                finish(SyncDatabase(conn).run("prune_outbox", too_old))

    with ThreadPoolExecutor(WORKERS + 2) as pool:
        beside = [pool.submit(keep_leases), pool.submit(keep_house)]
        try:
            list(pool.map(work, range(WORKERS)))
        finally:
            over.set()
        for task in beside:
            task.result()

    with crowded.connect("omnisend_worker") as conn:
        states = conn.execute(
            "select state::text, count(*) from public.integrations_omnisend_outbox group by 1"
        ).fetchall()
        delivered = conn.execute(
            "select outbox_id from public.integrations_omnisend_logs where outcome = 'delivered' order by id"
        ).fetchall()
    assert states == [("delivered", len(customers))]
    assert Counter(row_id for (row_id,) in delivered) == dict.fromkeys(customers, 1), "each row once"
    by_customer: dict[str, list[int]] = defaultdict(list)
    for (row_id,) in delivered:
        by_customer[customers[row_id]].append(row_id)
    assert all(ids == sorted(ids) for ids in by_customer.values()), (
        "each customer's events in the order of their ids"
    )
