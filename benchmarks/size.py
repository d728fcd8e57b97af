"""What taking and settling a row costs as the table, the merchants and the backlog grow. Nothing is sent.

The worker's own claimer and settler, in this process, on databases of one durable server that take turns; each row is
answered the moment it is handed on. So the time per row is what claiming (the scan for due merchants with it) and settling
take, Python's part included.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
import uvloop

from benchmarks.report import Bar, Cell, Rounds, Say, ratio
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.database import open_database
from soldt_outbox.rows import OutboxRow, Outcome, Verdict
from soldt_outbox.store import Budget, Store
from worker.claiming import Claimer
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.settling import Settler
from worker.telemetry import Statistics

CONCURRENCY: Final = 64
LEASE: Final = timedelta(minutes=5)
_UNBOUNDED: Final = Budget(requests_per_minute=1e8, burst=1_000_000)

_MERCHANTS: Final = """
with shop as (
  insert into public.merchants (id, owner_id, store_name, slug)
  select ('c0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, (select min(owner_id::text)::uuid from public.merchants),
    'Size ' || n, 'size-' || n
  from generate_series(0, %(merchants)s - 1) n
  returning id
)
insert into public.integrations_omnisend (merchant_id) select id from shop
"""
_HISTORY: Final = """
with settled as (
  insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, state, attempts, settled_at, created_at, occurred_at)
  select ('c0000000-0000-4000-8000-' || lpad((n %% %(merchants)s)::text, 12, '0'))::uuid, 'order_placed', 'settled-' || n,
    'delivered', 1, now(), now(), now()
  from generate_series(%(from)s::int, %(to)s::int) n
  returning id, merchant_id
)
insert into public.integrations_omnisend_logs (merchant_id, name, status_code, outbox_id, attempt, outcome)
select merchant_id, 'order_placed', 202, id, 1, 'delivered' from settled
"""
_ROWS: Final = """
insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload, available_at)
select m, 'checkout_started', gen_random_uuid()::text,
  omnisend_private.ordering_key(m, case when %(one_customer)s then 'one' else gen_random_uuid()::text end),
  '{"contact": {"email": "someone@example.com"}, "properties": {"cartID": "1"}}', now() + %(ahead)s::interval
from generate_series(1, %(rows)s::int) n
cross join lateral (select ('c0000000-0000-4000-8000-' || lpad((n %% %(merchants)s)::text, 12, '0'))::uuid) as merchant (m)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rounds: int = 3
    rows: int = 10_000  # taken and settled in a round
    histories: Sequence[int] = (200_000,)
    future: int = 50_000
    one_key: int = 10_000
    snapshot_seconds: int = 20


FULL: Final = Settings(rounds=5, histories=(1_000_000, 10_000_000), future=200_000, snapshot_seconds=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A state of the tables. ``backlog`` rows are due in it at the start of each round."""

    name: str
    merchants: int = 50
    history: int = 10_000
    backlog: int = 20_000
    future: int = 0
    one_key: int = 0
    bar: Bar | None = None
    microseconds: list[float] = field(default_factory=list, compare=False)


def scenarios(settings: Settings) -> list[Scenario]:
    """The first is what the others are held against."""
    return [
        Scenario(name="50 merchants, 10,000 settled rows"),
        *(
            Scenario(name=f"{history:,} settled rows", history=history, bar=Bar("at most", 1.25))
            for history in settings.histories
        ),
        Scenario(name="500 merchants due", merchants=500),
        Scenario(name="5,000 merchants due", merchants=5000, backlog=40_000, bar=Bar("at most", 1.5)),
        Scenario(name=f"{settings.future:,} rows of the future", future=settings.future, bar=Bar("at most", 1.25)),
        Scenario(name=f"{settings.one_key:,} rows under one key", one_key=settings.one_key, bar=Bar("at most", 1.25)),
    ]  # fmt: skip


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """Every cell about size, and one about an old snapshot."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with PostgresServer(durable=True, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as server:
        worlds = [
            (scenario, _prepare(server, f"size_{number}", scenario, say))
            for number, scenario in enumerate(scenarios(settings))
        ]
        for number in range(settings.rounds):
            for scenario, database in worlds if number % 2 else worlds[::-1]:
                _top_up(database, scenario)
                scenario.microseconds.append(_per_row(database, settings.rows))
                say(
                    f"size {number + 1}/{settings.rounds}, {scenario.name}: {scenario.microseconds[-1]:.0f} us a row"
                )
        base = worlds[0][0]
        against = "durable embedded PostgreSQL; the worker's claimer and settler, nothing sent; times in turns with the first"
        yield Cell(
            name=f"size: claim and settle, {base.name}, us a row",
            value=statistics.median(base.microseconds),
            bar=None,
            against=against,
        )
        for scenario, _ in worlds[1:]:
            yield ratio(
                f"size: claim and settle per row, {scenario.name} / {base.name}",
                Rounds("us a row", scenario.microseconds),
                Rounds("us a row of the first", base.microseconds),
                bar=scenario.bar,
                against=against,
            )
        yield _under_an_old_snapshot(worlds[0][1], base, settings, say, against)


def _prepare(server: PostgresServer, name: str, scenario: Scenario, say: Say) -> Database:
    say(f"size: filling a database: {scenario.name}")
    database = prepare_database(server, name)
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("delete from public.integrations_omnisend")
        conn.execute(_MERCHANTS, {"merchants": scenario.merchants})
        for start in range(0, scenario.history, 500_000):
            end = min(start + 500_000, scenario.history) - 1
            conn.execute(_HISTORY, {"merchants": scenario.merchants, "from": start, "to": end})
            if scenario.history > 500_000:
                say(f"size: {end + 1:,} of {scenario.history:,} settled rows")
        if scenario.future:
            _insert(conn, scenario.future, scenario.merchants, ahead=timedelta(days=1))
        if scenario.one_key:
            _insert(conn, scenario.one_key, 1, one_customer=True)
        _insert(conn, scenario.backlog, scenario.merchants)
        conn.execute("vacuum analyze")
    if scenario.one_key:  # the first rounds pass these rows over and set them aside, once
        _per_row(database, 4000)
    return database


def _insert(
    conn: psycopg.Connection,
    rows: int,
    merchants: int,
    *,
    ahead: timedelta = timedelta(),
    one_customer: bool = False,
) -> None:
    values: dict[str, Any] = {
        "rows": rows,
        "merchants": merchants,
        "ahead": ahead,
        "one_customer": one_customer,
    }
    conn.execute(_ROWS, values)


def _top_up(database: Database, scenario: Scenario) -> None:
    """As many rows due as the round before found, and the disk at rest."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set lease_token = null, lease_until = null where lease_token is not null"
        )
        found = conn.execute(
            "select count(*) from public.integrations_omnisend_outbox where state = 'pending' and available_at <= now()"
        ).fetchone()
        assert found is not None  # noqa: S101
        missing = scenario.backlog - found[0]
        if missing > 0:
            _insert(conn, missing, scenario.merchants)
        conn.execute("vacuum public.integrations_omnisend_outbox")
        conn.execute("checkpoint")


def _per_row(database: Database, rows: int) -> float:
    """Microseconds a row while ``rows`` are taken and settled."""
    return uvloop.run(_take_and_settle(database.url("omnisend_worker"), rows))


async def _take_and_settle(url: str, rows: int) -> float:
    async with open_database(url, application_name="benchmark") as db:
        store = Store(db, budget=_UNBOUNDED)
        counts = Statistics()
        holdings, lanes = Holdings(LEASE, margin=timedelta(seconds=12)), Lanes()
        stopping, done = asyncio.Event(), 0

        def settled(outcome: Outcome) -> None:
            nonlocal done
            lanes.something_changed(outcome.row.merchant_id)
            done += 1
            if done >= rows:
                stopping.set()

        settler = Settler(store, holdings, counts, on_settled=settled)

        async def answer_at_once(claimed: Sequence[OutboxRow]) -> None:
            for row in claimed:
                settler.add(_delivered(row))

        claimer = Claimer(
            store,
            holdings,
            lanes,
            counts,
            worker_id="benchmark",
            lease=LEASE,
            concurrency=CONCURRENCY,
            hand_on=answer_at_once,
        )
        settling = asyncio.create_task(settler.run())
        began = time.perf_counter()
        await claimer.run(stopping)
        took = time.perf_counter() - began
        settler.close()
        await settling
        return took / done * 1e6


def _delivered(row: OutboxRow) -> Outcome:
    return Outcome(
        row=row,
        verdict=Verdict.DELIVERED,
        status_code=202,
        healthy=True,
        requests_made=1,
        event_id=UUID(int=row.id),
        request_log={"eventName": "started checkout"},
        response_log={"requests": 1, "milliseconds": 1},
    )


def _under_an_old_snapshot(
    database: Database, base: Scenario, settings: Settings, say: Say, against: str
) -> Cell:
    """Somebody's transaction stays open: vacuum may remove nothing that was settled since."""
    seconds = settings.snapshot_seconds
    say(f"size: a snapshot is held for {seconds} s while rows come and go")
    _top_up(database, base)
    before = _per_row(database, settings.rows)
    with _snapshot(database):
        until = time.monotonic() + seconds
        taken = 0
        while time.monotonic() < until:
            _top_up(database, base)
            during = _per_row(database, settings.rows)
            taken += settings.rows
    return Cell(
        name=f"size: claim and settle per row, after {seconds} s under an old snapshot / before it",
        value=during / before,
        bar=None,
        against=against,
        figures={"us a row before": before, "us a row after": during, "rows settled meanwhile": taken},
    )


@contextmanager
def _snapshot(database: Database) -> Iterator[None]:
    with database.connect(database.superuser) as conn:
        conn.execute("set transaction isolation level repeatable read")
        conn.execute("select count(*) from public.integrations_omnisend")
        yield
        conn.rollback()
