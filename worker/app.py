"""The worker: its parts put together, started, and stopped in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import psycopg
import structlog

from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase, open_database
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.rows import OutboxRow, Outcome, Verdict
from soldt_outbox.settings import Settings
from soldt_outbox.store import Budget, Store
from soldt_outbox.version import __version__
from worker import outcomes, startup
from worker.claiming import Claimer
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.leases import keep_leases
from worker.maintenance import Maintenance
from worker.sending import Sender, UnderWay
from worker.settling import PASSING, Settler
from worker.shops import Shops, Surroundings
from worker.telemetry import Statistics

log = structlog.get_logger()

LAST_SETTLE_S: Final = 5.0  # on the way out, for outcomes and rows handed back; the platform kills at 30 s


class Worker:
    """Claims, sends and settles until it is told to stop.

    ``run`` ends in order after ``stop``; a second ``stop`` waits for nothing under way.
    """

    def __init__(
        self,
        database: AsyncDatabase,
        client: OmnisendClient,
        keys: KeyRing,
        settings: Settings,
        *,
        worker_id: str,
    ) -> None:
        self._settings = settings
        self._worker_id = worker_id
        self.statistics = Statistics()
        self._store = Store(database, budget=Budget.below(settings.omnisend_requests_per_minute))
        self._keys = keys
        self._client = client
        self._holdings = Holdings(settings.lease)
        self._lanes = Lanes()
        self._queue: asyncio.Queue[tuple[OutboxRow, Surroundings]] = asyncio.Queue()
        self._under_way: set[UnderWay] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._quiet = asyncio.Event()  # nothing under way; looked at while stopping
        self._settler = Settler(self._store, self._holdings, self.statistics, on_settled=self._settled)
        self._sender = Sender(client, DIALECTS[settings.omnisend_api_version], self._lanes)

    def stop(self) -> None:
        """Stop claiming, finish what is under way, hand back the rest. Once more: do not wait for what is under way."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. Raises what no part could recover from."""
        await startup.check(self._store, self._keys)
        shops = Shops(
            self._store,
            self._keys,
            storefront_url=self._settings.storefront_url,
            with_catalogue=await self._store.catalogue_granted(),
        )

        async def hand_on(rows: Sequence[OutboxRow]) -> None:
            surroundings = await self._around(shops, rows)
            for row in rows:
                self._queue.put_nowait((row, surroundings))

        claimer = Claimer(
            self._store,
            self._holdings,
            self._lanes,
            self.statistics,
            worker_id=self._worker_id,
            lease=self._settings.lease,
            concurrency=self._settings.worker_concurrency,
            hand_on=hand_on,
        )
        maintenance = Maintenance(
            self._store,
            self._settings,
            self.statistics,
            self._holdings,
            claimer,
            worker_id=self._worker_id,
            version=__version__,
        )
        log.info(
            "started",
            worker_id=self._worker_id,
            version=__version__,
            concurrency=self._settings.worker_concurrency,
        )
        async with asyncio.TaskGroup() as tasks:
            settling = tasks.create_task(self._settler.run(), name="settler")
            background = [
                tasks.create_task(maintenance.run(), name="maintenance"),
                tasks.create_task(
                    keep_leases(self._store, self._holdings, self.statistics, lease=self._settings.lease),
                    name="leases",
                ),
            ]
            senders = [
                tasks.create_task(self._send_for_ever(), name=f"sender-{n}")
                for n in range(self._settings.worker_concurrency)
            ]
            await claimer.run(self._stopping)
            await self._wind_down(senders, settling)
            for task in background:
                task.cancel()
        await self._sign_off()

    async def _around(self, shops: Shops, rows: Sequence[OutboxRow]) -> Surroundings:
        """What sending takes; waits for a database out of reach as long as the leases last."""
        while True:
            try:
                return await shops.around(rows)
            except PASSING as error:
                log.warning("looking up merchants failed, trying again", error=type(error).__name__)
                if self._stopping.is_set() or not any(map(self._holdings.may_send, rows)):
                    return Surroundings(shops={}, catalogue={})  # each row is then handed back
                await asyncio.sleep(1)

    async def _send_for_ever(self) -> None:
        while True:
            row, surroundings = await self._queue.get()
            if not self._holdings.may_send(row):
                self.statistics.count("too_late_to_send")
                self._settler.add(outcomes.handed_back(row))
                continue
            attempt = UnderWay(row)
            self._under_way.add(attempt)
            self._quiet.clear()
            try:
                outcome = await self._sender.deliver(attempt, surroundings)
            except asyncio.CancelledError:
                self._settler.add(outcomes.of_cut_off(attempt.ended()))
                raise
            finally:
                self._under_way.discard(attempt)
                if not self._under_way:
                    self._quiet.set()
            if outcome.verdict is Verdict.DELIVERED:
                self._lanes.unretire()
            self._settler.add(outcome)

    def _settled(self, outcome: Outcome) -> None:
        self._lanes.something_changed(outcome.row.merchant_id)

    async def _wind_down(self, senders: Sequence[asyncio.Task[None]], settling: asyncio.Task[None]) -> None:
        """Hand back what was not begun, wait for what is under way, settle everything."""
        started = time.monotonic()
        unsent = []
        while not self._queue.empty():
            unsent.append(self._queue.get_nowait()[0])
        for row in unsent:
            self._settler.add(outcomes.handed_back(row))
        log.info("stopping", under_way=len(self._under_way), handed_back=len(unsent))
        await self._wait_for_those_under_way()
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        self._settler.close()
        done, _ = await asyncio.wait([settling], timeout=LAST_SETTLE_S)
        if not done:
            log.error("outcomes could not be stored; their rows will be sent again", rows=len(self._holdings))
            settling.cancel()
        log.info("stopped", seconds=round(time.monotonic() - started, 1))

    async def _wait_for_those_under_way(self) -> None:
        if not self._under_way:
            return
        events = [asyncio.ensure_future(event.wait()) for event in (self._quiet, self._hurry)]
        await asyncio.wait(
            events, timeout=self._settings.shutdown_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for event in events:
            event.cancel()
        if self._under_way:
            log.warning("still under way, cut off", rows=len(self._under_way))

    async def _sign_off(self) -> None:
        try:
            async with asyncio.timeout(2):
                await self._store.sign_off(self._worker_id)
        except PASSING:
            log.info("could not sign off; the heartbeat will be found stale")


async def run(settings: Settings) -> None:
    """Run a worker under these settings until SIGTERM or SIGINT.

    Raises ``OutboxError`` with a sentence where it cannot start.
    """
    keys = KeyRing.parse(settings.outbox_encryption_keys.get_secret_value())
    worker_id = startup.new_worker_id()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            OmnisendClient(
                settings.omnisend_base_url,
                DIALECTS[settings.omnisend_api_version],
                max_connections=settings.worker_concurrency,
            )
        )
        try:
            database = await stack.enter_async_context(
                open_database(settings.database_url.get_secret_value(), application_name=worker_id)
            )
        except psycopg.OperationalError as error:
            raise startup.unreachable(settings, error) from None
        worker = Worker(database, client, keys, settings, worker_id=worker_id)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop)
        await worker.run()
