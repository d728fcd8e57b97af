"""The worker: its parts put together, started, and stopped in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg
import structlog

from soldt_outbox.backoff import DEFAULT_POLICY, RetryPolicy
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase, open_database
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.rows import OutboxRow, Outcome, Verdict
from soldt_outbox.settings import Settings
from soldt_outbox.store import Breaker, Budget, Store
from soldt_outbox.version import __version__
from worker import outcomes, processes, startup
from worker.claiming import Claimer
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.leases import keep_leases
from worker.maintenance import Maintenance
from worker.sending import MAX_RESCUES, SUSPECT_RESCUES, Sender, UnderWay
from worker.settling import PASSING, Settler
from worker.shops import Shops, Surroundings
from worker.telemetry import Statistics
from worker.waking import Listener

log = structlog.get_logger()

# The way out, beside the wait for what is under way. Together they end well before the platform's 30 s.
LAST_CLAIM_S: Final = 2.0  # for a claim that was being made
LAST_SETTLE_S: Final = 4.0  # for outcomes and rows handed back
SIGN_OFF_S: Final = 2.0

_LOOK_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Numbers that are no settings, because only tests have a reason to change them."""

    policy: RetryPolicy = DEFAULT_POLICY
    breaker: Breaker = field(default_factory=Breaker)
    lease: timedelta | None = None  # else the setting's, which may not be this short
    request_timeout: timedelta = timedelta(seconds=10)

    @property
    def margin(self) -> timedelta:
        """What must be left of a lease for a request to begin: the request's time-out, and some for the clock."""
        return self.request_timeout * 1.2


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
        tuning: Tuning | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        tuning = tuning or Tuning()
        self._settings = settings
        self._worker_id = worker_id
        self.statistics = statistics or Statistics()
        self._lease = tuning.lease or settings.lease
        self._policy = tuning.policy
        self._store = Store(
            database, budget=Budget.below(settings.omnisend_requests_per_minute), breaker=tuning.breaker
        )
        self._keys = keys
        self._client = client
        self._holdings = Holdings(self._lease, margin=tuning.margin)
        self._lanes = Lanes()
        self._queue: asyncio.Queue[tuple[OutboxRow, Surroundings]] = asyncio.Queue()
        self._suspects: asyncio.Queue[tuple[OutboxRow, Surroundings]] = asyncio.Queue()
        self._under_way: set[UnderWay] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._quiet = asyncio.Event()  # nothing under way; looked at while stopping
        self._settler = Settler(self._store, self._holdings, self.statistics, on_settled=self._settled)

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
        sender = Sender(
            self._client,
            DIALECTS[self._settings.omnisend_api_version],
            self._lanes,
            self._holdings,
            shops,
            policy=self._policy,
        )
        claimer = self._claimer(shops)
        maintenance = Maintenance(
            self._store,
            self._settings,
            self.statistics,
            self._holdings,
            claimer,
            worker_id=self._worker_id,
            version=__version__,
        )
        listener = self._listener(claimer)
        log.info(
            "started",
            worker_id=self._worker_id,
            version=__version__,
            concurrency=self._settings.worker_concurrency,
        )
        async with asyncio.TaskGroup() as tasks:
            settling = tasks.create_task(self._settler.run(), name="settler")
            leases = keep_leases(self._store, self._holdings, self.statistics, lease=self._lease)
            background = [tasks.create_task(chore) for chore in (*maintenance.chores(), leases)]
            if listener is not None:
                background.append(tasks.create_task(listener.run(), name="listener"))
            senders = [
                tasks.create_task(self._send_for_ever(sender), name=f"sender-{n}")
                for n in range(self._settings.worker_concurrency)
            ]
            senders.append(tasks.create_task(self._send_suspects_for_ever(sender, claimer), name="suspects"))
            claiming = tasks.create_task(claimer.run(self._stopping), name="claimer")
            await self._stopping.wait()
            in_order = await self._wind_down(claiming, senders, settling)
            await asyncio.gather(*map(_end, background))
        if in_order:
            await self._sign_off()

    def _claimer(self, shops: Shops) -> Claimer:
        async def hand_on(rows: Sequence[OutboxRow]) -> None:
            surroundings = await self._around(shops, rows)
            for row in rows:
                if claimer.paused:  # a claim that was under way when a row went out alone
                    self._settler.add(outcomes.handed_back(row))
                elif SUSPECT_RESCUES <= row.rescues < MAX_RESCUES:
                    self._suspects.put_nowait((row, surroundings))
                else:
                    self._queue.put_nowait((row, surroundings))

        claimer = Claimer(
            self._store,
            self._holdings,
            self._lanes,
            self.statistics,
            worker_id=self._worker_id,
            lease=self._lease,
            concurrency=self._settings.worker_concurrency,
            hand_on=hand_on,
        )
        return claimer

    def _listener(self, claimer: Claimer) -> Listener | None:
        if self._settings.worker_wake_up != "notify":
            return None
        url = self._settings.listen_database_url
        if not url.get_secret_value():
            url = self._settings.database_url
        return Listener(
            url.get_secret_value(), claimer.wake, notify=self._store.notify, application_name=self._worker_id
        )

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

    async def _send_for_ever(self, sender: Sender) -> None:
        while True:
            await self._send(sender, *await self._queue.get())

    async def _send_suspects_for_ever(self, sender: Sender, claimer: Claimer) -> None:
        """Rows in whose hands workers died before, one at a time and with no other row in hand.

        It may be that none of them, or one, is to blame: the others were merely there. If a worker dies of this one, it
        alone counts another rescue.
        """
        while True:
            row, surroundings = await self._suspects.get()
            log.warning("sent alone: workers ended with it in hand", outbox_id=row.id, rescues=row.rescues)
            claimer.paused = True
            begun = False
            try:
                await self._until_alone_with(row)
                begun = True
                await self._send(sender, row, surroundings)
                await self._holdings.wait_for_fewer(1, 1)  # until it is settled
            except asyncio.CancelledError:
                if not begun:
                    self._settler.add(outcomes.handed_back(row))
                raise
            finally:
                claimer.paused = False

    async def _until_alone_with(self, row: OutboxRow) -> None:
        """Hand back what waits, and let what is under way end and be settled, as long as the lease leaves time."""
        while len(self._holdings) > 1 and self._holdings.may_send(row):
            self._hand_back_the_queue()
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._holdings.wait_for_fewer(2, 2)
            except TimeoutError:
                pass

    async def _send(self, sender: Sender, row: OutboxRow, surroundings: Surroundings) -> None:
        if not self._holdings.may_send(row):
            self.statistics.count("too_late_to_send")
            self._settler.add(outcomes.handed_back(row))
            return
        attempt = UnderWay(row)
        self._under_way.add(attempt)
        self._quiet.clear()
        try:
            outcome = await sender.deliver(attempt, surroundings)
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
        if outcome.pause is not None:
            self._lanes.pause_stored(outcome.row.merchant_id)

    async def _wind_down(
        self,
        claiming: asyncio.Task[None],
        senders: Sequence[asyncio.Task[None]],
        settling: asyncio.Task[None],
    ) -> bool:
        """Hand back what was not begun, wait for what is under way, settle everything; whether it was settled."""
        started = time.monotonic()
        handed_back = self._hand_back_the_queue()
        await asyncio.wait([claiming], timeout=LAST_CLAIM_S)
        if not claiming.done():
            log.warning("a claim was cut off; what it took, if anything, waits for its lease to run out")
            await _end(claiming)
        handed_back += self._hand_back_the_queue()
        log.info("stopping", under_way=len(self._under_way), handed_back=handed_back)
        await self._wait_for_those_under_way()
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        self._settler.close()
        await asyncio.wait([settling], timeout=LAST_SETTLE_S)
        settled = settling.done()
        if not settled:
            log.error("outcomes could not be stored; their rows will be sent again", rows=len(self._holdings))
            await _end(settling)
        log.info("stopped", seconds=round(time.monotonic() - started, 1))
        return settled

    def _hand_back_the_queue(self) -> int:
        rows = 0
        for queue in (self._queue, self._suspects):
            while not queue.empty():
                self._settler.add(outcomes.handed_back(queue.get_nowait()[0]))
                rows += 1
        return rows

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
        signing_off = asyncio.create_task(self._store.sign_off(self._worker_id))
        await asyncio.wait([signing_off], timeout=SIGN_OFF_S)
        if not signing_off.done():
            await _end(signing_off)
        if signing_off.cancelled() or signing_off.exception() is not None:
            log.info("could not sign off; the heartbeat will be found stale")


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel, and do not take patience for an answer.

    Told once, psycopg asks the server to cancel the statement and waits up to ten seconds for it, which a server out
    of reach never does; told again, it closes the connection.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)


async def run(settings: Settings, tuning: Tuning | None = None, *, commanded: bool = False) -> None:
    """Run a worker under these settings until SIGTERM or SIGINT or, ``commanded``, until its parent says so.

    Raises ``OutboxError`` with a sentence where it cannot start.
    """
    tuning = tuning or Tuning()
    keys = KeyRing.parse(settings.outbox_encryption_keys.get_secret_value())
    worker_id = startup.new_worker_id()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            OmnisendClient(
                settings.omnisend_base_url,
                DIALECTS[settings.omnisend_api_version],
                timeout=tuning.request_timeout,
                max_connections=settings.worker_concurrency,
            )
        )
        try:
            database = await stack.enter_async_context(
                open_database(settings.database_url.get_secret_value(), application_name=worker_id)
            )
        except psycopg.OperationalError as error:
            raise startup.unreachable(settings, error) from None
        worker = Worker(database, client, keys, settings, worker_id=worker_id, tuning=tuning)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, _pass_over if commanded else worker.stop)
        obeying = asyncio.create_task(processes.obey(worker.stop)) if commanded else None
        try:
            await worker.run()
        finally:
            if obeying is not None:
                await _end(obeying)


def _pass_over() -> None:
    """The parent got the same signal, and says what to do."""
