"""Real workers before a real database and Omnisend's stand-in, and signals to wait for: nothing here sleeps."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from sandbox.omnisend import BrandKey, OmnisendStandIn, Received, new_brand_id, new_key
from sandbox.shops import PROTEA, Shop
from sandbox.world import Database
from soldt_outbox.backoff import RetryPolicy
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import open_database
from soldt_outbox.oauth.client import OAuthClient, oauth_app
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.settings import Settings
from worker.app import Tuning, Worker
from worker.telemetry import Statistics

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0  # how long a signal may take before the test fails; it never takes this long

QUICK = Tuning(
    policy=RetryPolicy(base=timedelta(milliseconds=200), factor=2, cap=timedelta(seconds=1), max_attempts=4)
)
"""Waits in the table that a test can sit out."""

SHORT = Tuning(policy=QUICK.policy, lease=timedelta(seconds=3), request_timeout=timedelta(seconds=1))
"""A lease and a request's time-out that a test can sit out."""

PLENTY = 1_000_000  # requests a minute, where the budget is not what is tested


class Signals(Statistics):
    """A worker's counters, which wake whoever waits for them. Several workers may share one."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    def count(self, name: str, by: int = 1) -> None:
        super().count(name, by)
        for wanted, least, woken in self._waiting:
            if wanted == name and self.counts[name] >= least and not woken.done():
                woken.set_result(None)

    async def reached(self, name: str, least: int) -> None:
        if self.counts[name] >= least:
            return
        waiting = (name, least, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting[2]
        finally:
            self._waiting.remove(waiting)


@dataclass
class Fleet:
    """Workers of this process, and what they counted together."""

    workers: list[Worker]
    signals: Signals
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.signals.counts)

    async def reached(self, name: str, least: int = 1) -> None:
        """Wait until ``name`` was counted so often; fails at once when a worker fails."""
        reached = asyncio.ensure_future(self.signals.reached(name, least))
        try:
            await asyncio.wait(
                [reached, *self.tasks], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
            )
            for task in self.tasks:
                if task.done() and not reached.done():
                    task.result()
            assert reached.done(), f"{self.counts} after {PATIENCE_S:g} s; waited for {least} {name}"
        finally:
            reached.cancel()

    def start(self, worker: Worker) -> None:
        self.workers.append(worker)
        self.tasks.append(asyncio.create_task(worker.run()))

    async def stop(self) -> None:
        """Stop all of them in order and raise what any of them raised."""
        for worker in self.workers:
            worker.stop()
        await asyncio.gather(*self.tasks)


@dataclass
class WorkerProcess:
    """A worker in a process of its own, and what it says on standard error."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())
            self._more.set()
        self._more.set()

    @property
    def said(self) -> str:
        """All of its standard error."""
        return "".join(self.lines)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of this name."""
        logged = (json.loads(line) for line in self.lines if line.startswith("{"))
        return [line for line in logged if line["event"] == name]

    async def says(self, name: str, times: int = 1) -> dict[str, Any]:
        """Wait for a log line; the line."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.events(name)) < times:
                assert self._reading is not None
                assert not self._reading.done(), f"it ended without {name!r}:\n{self.said}"
                self._more.clear()
                await self._more.wait()
        return self.events(name)[times - 1]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within: float = PATIENCE_S) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(within):
            code = await self.process.wait()
            assert self._reading is not None
            await self._reading
        return code

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()


class Scene:
    """A database, Omnisend, and workers between them."""

    def __init__(self, database: Database, omnisend: OmnisendStandIn, *, api_version: str = "v5") -> None:
        self.database = database
        self.api_version = api_version
        self.omnisend = omnisend
        self.key_text = KeyRing.generate("k1")
        self.keys = KeyRing.parse(self.key_text)
        self._numbers = itertools.count(1)

    # -- shops

    def connect(
        self, shop: Shop = PROTEA, *, permissions: list[str] | None = None, known: bool = True
    ) -> BrandKey:
        """Connect a shop to a brand of its own; with ``known=False`` by a key that Omnisend does not know."""
        brand = self.omnisend.add_brand(permissions=permissions)
        if not known:
            brand = BrandKey(brand.brand_id, new_key(brand.brand_id))
        self.store_key(shop, brand.key)
        return brand

    def add_merchants(self, count: int) -> list[UUID]:
        """Many merchants with a brand each."""
        made = [UUID(int=(0xC0FFEE << 96) + n) for n in range(count)]
        with self.database.connect() as conn:
            for merchant_id in made:
                conn.execute(
                    "insert into merchants (id, owner_id, slug, store_name) select %s, owner_id, %s, 'Many' from merchants limit 1",
                    [merchant_id, f"many-{merchant_id}"],
                )
                self._store_key(conn, merchant_id, self.omnisend.add_brand().key)
        return made

    def store_key(self, shop: Shop, key: str) -> None:
        """What `connect` does once the key is verified."""
        with self.database.connect() as conn:
            self._store_key(conn, shop.merchant_id, key)

    def _store_key(self, conn: psycopg.Connection, merchant_id: UUID, key: str) -> None:
        from soldt_outbox.sql import queries

        sealed = self.keys.encrypt(key, merchant_id=merchant_id, column="api_key_enc")
        connection = {
            "merchant_id": merchant_id,
            "api_key_enc": sealed,
            "brand_id": key.partition("-")[0],
            "currency": None,
            "country_code": None,
        }
        for statement in ("leave_brand", "connect"):
            conn.execute(queries[statement], connection)

    def switch_on(self, switch: str, shop: Shop = PROTEA) -> None:
        """Tell Omnisend of more than events: ``sync_contacts``, ``sync_catalogue`` or ``ordered_products``."""
        self.query(
            f"update integrations_omnisend set {switch} = true where merchant_id = %s", [shop.merchant_id]
        )

    # -- the database

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a statement run by ``postgres``, committed."""
        with self.database.connect() as conn, conn.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, parameters: Sequence[Any] = ()) -> dict[str, Any]:
        (row,) = self.query(statement, parameters)
        return row

    def outbox(self, shop: Shop | None = None) -> list[dict[str, Any]]:
        return self.query(
            """
            select id, merchant_id, kind::text, name, dedup_key, ordering_key, payload, state::text, attempts, rescues,
              lease_token, lease_until, leased_by, last_error, last_status_code, created_at, settled_at, occurred_at, expires_at,
              case when isfinite(available_at) then extract(epoch from available_at - now())::float8 end as due_in
            from integrations_omnisend_outbox where %s::uuid is null or merchant_id = %s order by id
            """,
            [shop and shop.merchant_id] * 2,
        )

    def outbox_states(self) -> list[dict[str, Any]]:
        """As `outbox`, but for payloads, which may hold what Python cannot read."""
        return self.query(
            "select id, state::text, attempts, last_error from integrations_omnisend_outbox order by id"
        )

    def states(self) -> dict[str, int]:
        counted = self.query("select state::text, count(*) as n from integrations_omnisend_outbox group by 1")
        return {row["state"]: row["n"] for row in counted}

    def logs(self, outbox_id: int | None = None) -> list[dict[str, Any]]:
        return self.query(
            "select * from integrations_omnisend_logs where %s::bigint is null or outbox_id = %s order by id",
            [outbox_id] * 2,
        )

    def lane(self, shop: Shop = PROTEA) -> dict[str, Any]:
        return self.one(
            "select *, extract(epoch from paused_until - now())::float8 as paused_for from integrations_omnisend_lanes where merchant_id = %s",
            [shop.merchant_id],
        )

    def connection(self, shop: Shop = PROTEA) -> dict[str, Any]:
        return self.one("select * from integrations_omnisend where merchant_id = %s", [shop.merchant_id])

    def end_pause(self, shop: Shop = PROTEA) -> None:
        """As if the pause had run its time."""
        self.query(
            "update integrations_omnisend_lanes set paused_until = now() where merchant_id = %s",
            [shop.merchant_id],
        )

    def let_leases_run_out(self) -> None:
        """As if the time of all leases had passed."""
        self.query(
            "update integrations_omnisend_outbox set lease_until = now() - interval '1 second' where lease_until is not null and state = 'pending'"
        )

    def enqueue(
        self,
        name: str,
        payload: dict[str, Any],
        *,
        shop: Shop = PROTEA,
        dedup_key: str | None = None,
        **more: Any,
    ) -> int | None:
        """The RPC, as SOLDT's server calls it; the row's id."""
        named = {"p_merchant_id": shop.merchant_id, "p_name": name, "p_payload": Jsonb(payload), **more}
        if dedup_key is not None:
            named["p_dedup_key"] = dedup_key
        arguments = ", ".join(f"{parameter} => %({parameter})s" for parameter in named)
        with self.database.connect("service_role") as conn:
            row = conn.execute(f"select public.omnisend_enqueue({arguments})", named).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0]  # type: ignore[no-any-return]

    # -- workers

    def settings(self, **changes: Any) -> Settings:
        given: dict[str, Any] = {
            "database_url": self.database.url("omnisend_worker"),
            "outbox_encryption_keys": self.key_text,
            "omnisend_base_url": self.omnisend.url,
            "omnisend_requests_per_minute": PLENTY,
            "omnisend_api_version": self.api_version,
            **changes,
        }
        return Settings(_env_file=None, **given)

    @asynccontextmanager
    async def workers(
        self, count: int = 1, *, tuning: Tuning = QUICK, **changes: Any
    ) -> AsyncIterator[Fleet]:
        """Workers of this process, stopped in order at the end; a failure of one is the test's."""
        settings = self.settings(**changes)
        fleet = Fleet([], Signals())
        async with AsyncExitStack() as stack:
            for _ in range(count):
                client = await stack.enter_async_context(
                    OmnisendClient(
                        settings.omnisend_base_url,
                        DIALECTS[settings.omnisend_api_version],
                        timeout=tuning.request_timeout,
                        max_connections=settings.worker_concurrency,
                    )
                )
                database = await stack.enter_async_context(
                    open_database(settings.database_url.get_secret_value(), application_name="test")
                )
                oauth = None
                if settings.omnisend_oauth_client_id:
                    oauth = await stack.enter_async_context(OAuthClient(oauth_app(settings)))
                fleet.start(
                    Worker(
                        database,
                        client,
                        self.keys,
                        settings,
                        oauth=oauth,
                        worker_id=f"test-{next(self._numbers)}",
                        tuning=tuning,
                        statistics=fleet.signals,
                    )
                )
            try:
                yield fleet
            finally:
                await fleet.stop()

    @asynccontextmanager
    async def process(self, *, short: bool = False, **environment: str) -> AsyncIterator[WorkerProcess]:
        """``python -m worker``; with ``short`` the same under ``SHORT``. Killed at the end if it still runs."""
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.worker_process" if short else "worker",
            cwd=ROOT,
            env=self.environment(**environment),
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        process = WorkerProcess(started)
        try:
            yield process
        finally:
            await process.kill()

    def environment(self, **changes: str) -> dict[str, str]:
        """What ``python -m worker`` reads."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "DATABASE_URL": self.database.url("omnisend_worker"),
            "OUTBOX_ENCRYPTION_KEYS": self.key_text,
            "OMNISEND_BASE_URL": self.omnisend.url,
            "OMNISEND_REQUESTS_PER_MINUTE": str(PLENTY),
            "OMNISEND_API_VERSION": self.api_version,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
            **changes,
        }


def cart(email: str = "nomsa@example.com", **properties: Any) -> dict[str, Any]:
    """A payload of a cart or checkout event as SOLDT writes it."""
    return {
        "contact": {"email": email},
        "properties": {
            "currency": "ZAR",
            "value": 149.5,
            "cartID": f"cart:{email}",
            "checkoutURL": "https://protea.example/checkout",
            "lineItems": [
                {"productID": 102, "productTitle": "Enamel mug", "productPrice": 149.5, "quantity": 1}
            ],
            **properties,
        },
    }


def names_by_customer(received: Sequence[Received]) -> dict[str, list[str]]:
    """What arrived for each customer, in order."""
    found: dict[str, list[str]] = {}
    for one in received:
        found.setdefault(one.body["contact"]["email"], []).append(str(one.event_name))
    return found


def windows(arrivals: Sequence[float], seconds: float) -> Iterator[int]:
    """How many requests lie in the window that begins with each of them."""
    for first, start in enumerate(arrivals):
        yield sum(1 for instant in arrivals[first:] if instant < start + seconds)


async def until(holds: Callable[[], bool], what: str) -> None:
    """For what gives no signal: look again until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.02)
    assert holds(), what


__all__ = ["PLENTY", "QUICK", "SHORT", "Fleet", "Scene", "Signals", "WorkerProcess", "cart", "new_brand_id"]
