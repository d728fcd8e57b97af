"""What the trigger costs a checkout: the rate of order inserts, their latency through PostgREST, and that none waits.

Databases of one durable server, alike but for the trigger, take turns in short rounds, so that whatever else the
machine does meets both; each figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.browsers import Browser, orders_per_second
from benchmarks.order_load import OrderLoad, Protocol
from benchmarks.report import Bar, Cell, Rounds, Say, ratio
from benchmarks.the_order import as_json
from sandbox.postgres import PostgresServer
from sandbox.postgrest import HOW_TO_GET_POSTGREST, SupabaseApi, find_postgrest
from sandbox.shops import PROTEA
from sandbox.world import Database, prepare_database
from soldt_outbox.administration.waking import switch_wake_ups

SESSIONS: Final = (1, 8, 16, 32)
WAKING_SESSIONS: Final = (1, 8, 32)
BARS: Final = {16: Bar("at least", 0.65), 32: Bar("at least", 0.70)}
POSTGREST_BAR: Final = Bar("at most", 1.10)
WAITS_BAR: Final = Bar("at most", 0)

# As on a server that has run for a while: write-ahead log files are used again, not made and zeroed while it is measured.
_SETTINGS: Final = {"min_wal_size": "2GB"}
_MERCHANT: Final = PROTEA.merchant_id
# Sessions that wait for a lock of another transaction. An extension lock is held while a page is added to a file,
# within one statement and by every table that grows; it is counted apart.
_WAITING: Final = """
select l.locktype, coalesce(c.relname, '-') as relation, count(*)::int
from pg_catalog.pg_locks l
left join pg_catalog.pg_class c on c.oid = l.relation
where not l.granted
  and l.pid in (select pid from pg_catalog.pg_stat_activity where datname = current_database())
group by 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rounds: int = 7
    seconds: int = 3
    requests: int = 1500  # through PostgREST, to either database
    protocol: Protocol = "extended"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    server: str
    plain: Database
    """Without the trigger."""
    ours: Database
    waking: Database
    """Ours, and workers are woken as an order commits."""
    load: OrderLoad

    @property
    def all(self) -> tuple[Database, Database, Database]:
        return self.plain, self.ours, self.waking

    def what(self, database: Database) -> str:
        """What one of ours is compared as, to the plain one."""
        return "with the trigger and NOTIFY" if database is self.waking else "with the trigger"


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """Every cell about writers, as each is done."""
    with _world(settings) as world:
        say("writers: warming up")
        for database in world.all:
            world.load.run(database, sessions=max(SESSIONS), seconds=settings.seconds)
        for sessions in SESSIONS:
            yield _rate(world, world.ours, sessions, settings, say)
        for sessions in WAKING_SESSIONS:
            yield _rate(world, world.waking, sessions, settings, say)
        for database in (world.ours, world.waking):
            yield _postgrest(world, database, settings, say)
        for sessions in WAKING_SESSIONS:
            for database in (world.ours, world.waking):
                yield _postgrest_rate(world, database, sessions, settings, say)
        for database in (world.ours, world.waking):
            yield _nobody_waits(world, database, settings, say)


@contextmanager
def _world(settings: Settings) -> Iterator[World]:
    with PostgresServer(durable=True, settings=_SETTINGS) as server:
        names = ("without_trigger", "with_trigger", "with_notify")
        plain, ours, waking = (prepare_database(server, name) for name in names)
        with waking.connect(autocommit=True) as conn:
            switch_wake_ups(conn, on=True)
        for database in (plain, ours, waking):
            with database.connect(database.superuser) as conn:
                conn.execute(
                    "insert into public.integrations_omnisend (merchant_id) values (%s)", [_MERCHANT]
                )
        with plain.connect() as conn:
            for name in ("inserted", "updated", "kept"):
                conn.execute(f"drop trigger integrations_omnisend_order_{name} on public.orders")
            version = conn.execute("show server_version").fetchone()
        pgbench = _pgbench(server.bin_dir)
        yield World(
            server=f"PostgreSQL {version[0] if version else server.major}, fsync on, SOLDT's sandbox schema",
            plain=plain,
            ours=ours,
            waking=waking,
            load=OrderLoad(pgbench, _MERCHANT, settings.protocol),
        )


def _pgbench(bin_dir: Path) -> Path | None:
    binary = bin_dir / "pgbench"
    return binary if binary.exists() else None


def _empty(database: Database) -> None:
    """Both sides start each round from nothing, with a write-ahead log ready to be filled."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("truncate public.orders, public.integrations_omnisend_outbox")
        conn.execute("checkpoint")


def _rate(world: World, measured: Database, sessions: int, settings: Settings, say: Say) -> Cell:
    pair = (world.plain, measured)
    rates: dict[str, list[float]] = {database.name: [] for database in pair}
    for number in range(1, settings.rounds + 1):
        for database in pair if number % 2 else pair[::-1]:
            _empty(database)
            rates[database.name].append(world.load.run(database, sessions=sessions, seconds=settings.seconds))
        plain, ours = (rates[database.name][-1] for database in pair)
        say(
            f"writers, {sessions} sessions, round {number}/{settings.rounds}: {plain:,.0f}/s without, {ours:,.0f}/s {world.what(measured)}"
        )
    without, with_it = (rates[database.name] for database in pair)
    _check_written(measured)
    return ratio(
        f"writers: order inserts at {sessions} session{'s' if sessions > 1 else ''}, {world.what(measured)} / without",
        Rounds("with/s", with_it),
        Rounds("without/s", without),
        bar=BARS.get(sessions) if measured is world.ours else None,
        against=f"{world.server}; {world.load}",
    )


def _check_written(database: Database) -> None:
    """A trigger that writes nothing is cheap: each order of the last round has its row."""
    with database.connect(database.superuser) as conn:
        conn.execute("set enable_nestloop = off")  # without statistics it would compare each row with each
        found = conn.execute(
            """select (select count(*) from public.orders), (select count(*) from public.integrations_omnisend_outbox),
              (select count(*) from public.orders o join public.integrations_omnisend_outbox b
                on b.merchant_id = o.merchant_id and b.kind = 'event' and b.name = 'order_placed' and b.dedup_key = o.id::text)"""
        ).fetchone()
    if found is None or found[0] == 0 or len(set(found)) != 1:
        raise RuntimeError(f"orders, outbox rows and pairs of them should be one number, but are {found}")


# Through PostgREST, as the browser does it ------------------------------------------------------------------------


def _postgrest(world: World, measured: Database, settings: Settings, say: Say) -> Cell:
    name = f"writers: median order insert through PostgREST as anon, {world.what(measured)} / without"
    bar = POSTGREST_BAR if measured is world.ours else None
    pair = (world.plain, measured)
    if find_postgrest() is None:
        note = f"SKIPPED: PostgREST was not found. {HOW_TO_GET_POSTGREST}"
        say(note)
        return Cell(name=name, value=None, bar=bar, against=world.server, note=note)
    taken: dict[str, list[float]] = {database.name: [] for database in pair}
    for database in pair:
        _empty(database)
    with SupabaseApi(world.plain) as plain_api, SupabaseApi(measured) as measured_api:
        browsers = {
            world.plain.name: Browser(plain_api.rest_url, _MERCHANT),
            measured.name: Browser(measured_api.rest_url, _MERCHANT),
        }
        for browser in browsers.values():
            for _ in range(100):  # connections opened, statements prepared
                browser.order()
        for number in range(settings.requests):
            for database in pair if number % 2 else pair[::-1]:
                taken[database.name].append(browsers[database.name].order())
            if (number + 1) % 500 == 0:
                say(f"writers, PostgREST: {number + 1}/{settings.requests} orders each")
    _check_written(measured)
    without, with_it = (statistics.median(taken[database.name]) for database in pair)
    return Cell(
        name=name,
        value=with_it / without,
        bar=bar,
        against=f"{world.server}; PostgREST itself (no gateway), one kept connection, requests in turns",
        figures={"without ms": without * 1000, "with ms": with_it * 1000, "orders each": settings.requests},
    )


def _postgrest_rate(world: World, measured: Database, sessions: int, settings: Settings, say: Say) -> Cell:
    """Orders per second, where several browsers order at once; PostgREST and the browsers take cores too."""
    name = f"writers: order inserts through PostgREST at {sessions} session{'s' if sessions > 1 else ''}, {world.what(measured)} / without"
    if find_postgrest() is None:
        return Cell(
            name=name, value=None, bar=None, against=world.server, note=f"SKIPPED: {HOW_TO_GET_POSTGREST}"
        )
    pair = (world.plain, measured)
    rates: dict[str, list[float]] = {database.name: [] for database in pair}
    with SupabaseApi(world.plain) as plain_api, SupabaseApi(measured) as measured_api:
        urls = {world.plain.name: plain_api.rest_url, measured.name: measured_api.rest_url}
        for number in range(settings.rounds + 1):
            for database in pair if number % 2 else pair[::-1]:
                _empty(database)
                rates[database.name].append(
                    orders_per_second(
                        urls[database.name], _MERCHANT, sessions=sessions, seconds=settings.seconds
                    )
                )
    without, with_it = (rates[database.name][1:] for database in pair)  # the first warms up
    cell = ratio(
        name,
        Rounds("with/s", with_it),
        Rounds("without/s", without),
        bar=None,
        against=f"{world.server}; PostgREST itself (no gateway), its default pool, kept connections",
    )
    say(f"writers, PostgREST, {sessions} sessions: {cell.value:.3f} {world.what(measured)}")
    return cell


# No order waits ---------------------------------------------------------------------------------------------------


def _nobody_waits(world: World, measured: Database, settings: Settings, say: Say) -> Cell:
    """Orders of one merchant while an order of the same merchant stays uncommitted, its locks all held.

    Every session gives up on a lock after 100 ms (which fails the run), and what sessions wait for is sampled.
    """
    say("writers: does any order wait? One stays uncommitted while 16 sessions insert")
    _empty(measured)
    with measured.connect(measured.superuser, autocommit=True) as conn:
        conn.execute(f"alter database {measured.name} set lock_timeout = '100ms'")
    waits: Counter[str] = Counter()
    ended = threading.Event()
    samples = 0

    def watch() -> None:
        nonlocal samples
        with measured.connect(measured.superuser, autocommit=True) as conn:
            while not ended.is_set():
                for locktype, relation, count in conn.execute(_WAITING):
                    waits[f"{locktype} {relation}"] += count
                samples += 1
                time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    with measured.connect() as uncommitted:
        row = as_json(_MERCHANT, "customer1@shopper.example")
        columns = ", ".join(row)
        uncommitted.execute(
            f"insert into public.orders ({columns}) select {columns} from jsonb_populate_record(null::public.orders, %s::jsonb)",
            [json.dumps(row)],
        )
        watcher.start()
        failure = ""
        try:
            rate = world.load.run(measured, sessions=16, seconds=settings.seconds)
        except (RuntimeError, psycopg.Error) as error:
            rate, failure = 0.0, str(error)[-300:]
        ended.set()
        watcher.join()
        uncommitted.rollback()
    lasting = sum(count for wait, count in waits.items() if not wait.startswith("extend "))
    return Cell(
        name=f"writers: orders {world.what(measured)} found waiting for another transaction, 16 sessions and an uncommitted order",
        value=float(lasting + bool(failure)),
        bar=WAITS_BAR,
        against=f"{world.server}; {world.load}; lock_timeout 100 ms",
        figures={
            "orders/s": rate,
            "samples of pg_locks": samples,
            **{f"waits: {wait}": count for wait, count in waits.items()},
        },
        note=failure,
    )
