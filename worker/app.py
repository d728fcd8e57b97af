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
from soldt_outbox.catalogue import ShopCatalogue
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase, open_database
from soldt_outbox.oauth.client import OAuthClient, oauth_app
from soldt_outbox.oauth.tokens import Tokens
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.rows import Outcome
from soldt_outbox.settings import Settings
from soldt_outbox.store import Breaker, Budget, Store
from soldt_outbox.sync_items import SyncItems
from soldt_outbox.syncs import Syncs
from soldt_outbox.version import __version__
from worker import processes, startup
from worker.authorizing import Authorizer
from worker.batches import Batches
from worker.claiming import Claimer
from worker.contact_polling import ContactPolling
from worker.dispatching import Dispatcher
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.leases import keep_leases
from worker.maintenance import Maintenance
from worker.preparing import Preparer
from worker.sending import Sender
from worker.settling import Settler
from worker.shops import Shops
from worker.surroundings import Lookups
from worker.telemetry import Statistics
from worker.waking import Listener

log = structlog.get_logger()

# The way out, beside the wait for what is under way. Together they end well before the platform's 30 s.
LAST_CLAIM_S: Final = 2.0  # for a claim that was being made
LAST_SETTLE_S: Final = 4.0  # for outcomes and rows handed back
SIGN_OFF_S: Final = 2.0


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
        oauth: OAuthClient | None = None,
        tuning: Tuning | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        tuning = tuning or Tuning()
        self._settings = settings
        self._worker_id = worker_id
        self.statistics = statistics or Statistics()
        self._lease = tuning.lease or settings.lease
        self._policy = tuning.policy
        self._database = database
        self._store = Store(
            database, budget=Budget.below(settings.omnisend_requests_per_minute), breaker=tuning.breaker
        )
        self._catalogue = ShopCatalogue(database)
        self._keys = keys
        self._client = client
        self._authorizer = Authorizer(Tokens(database, keys, oauth) if oauth is not None else None)
        self._holdings = Holdings(self._lease, margin=tuning.margin)
        self._lanes = Lanes()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._settler = Settler(self._store, self._holdings, self.statistics, on_settled=self._settled)

    def stop(self) -> None:
        """Stop claiming, finish what is under way, hand back the rest. Once more: do not wait for what is under way."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. Raises what no part could recover from."""
        await startup.check(self._store, self._keys)
        await self._store.resume_retired()  # this process may speak another version
        shops = Shops(
            self._store,
            self._keys,
            dialect=DIALECTS[self._settings.omnisend_api_version],
            storefront_url=self._settings.storefront_url,
        )
        lookups = Lookups(
            self._store, shops, self._catalogue, with_line_items=await self._store.catalogue_granted()
        )
        sender = Sender(
            self._client,
            self._lanes,
            self._holdings,
            shops,
            self._authorizer,
            batches=Batches(
                SyncItems(self._database, self._store),
                ContactPolling(self._database, policy=self._policy),
                policy=self._policy,
            ),
            policy=self._policy,
        )
        dispatcher = Dispatcher(sender, self._holdings, self._settler, self.statistics)
        claimer = self._claimer(lookups, dispatcher)
        maintenance = Maintenance(
            self._store,
            self._settings,
            self.statistics,
            self._holdings,
            claimer,
            database=self._database,
            syncs=Syncs(self._database),
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
                tasks.create_task(sending)
                for sending in dispatcher.senders(self._settings.worker_concurrency)
            ]
            claiming = tasks.create_task(claimer.run(self._stopping), name="claimer")
            await self._stopping.wait()
            in_order = await self._wind_down(dispatcher, claiming, senders, settling)
            await asyncio.gather(*map(_end, background), self._authorizer.aclose())
        if in_order:
            await self._sign_off()

    def _claimer(self, lookups: Lookups, dispatcher: Dispatcher) -> Claimer:
        preparer = Preparer(
            lookups,
            dispatcher,
            self._holdings,
            self._settler,
            stopping=self._stopping,
            patience=self._lease,
            policy=self._policy,
        )
        return Claimer(
            self._store,
            self._holdings,
            self._lanes,
            self.statistics,
            worker_id=self._worker_id,
            lease=self._lease,
            concurrency=self._settings.worker_concurrency,
            hand_on=preparer.hand_on,
            may_claim=lambda: not dispatcher.alone,
        )

    def _listener(self, claimer: Claimer) -> Listener | None:
        if self._settings.worker_wake_up != "notify":
            return None
        url = self._settings.listen_database_url
        if not url.get_secret_value():
            url = self._settings.database_url
        return Listener(
            url.get_secret_value(), claimer.wake, notify=self._store.notify, application_name=self._worker_id
        )

    def _settled(self, outcome: Outcome) -> None:
        self._lanes.something_changed(outcome.row.merchant_id)
        if outcome.pause is not None:
            self._lanes.pause_stored(outcome.row.merchant_id)
        if outcome.forbidden is not None:
            self._lanes.pause_stored(outcome.row.merchant_id, outcome.row.kind)

    async def _wind_down(
        self,
        dispatcher: Dispatcher,
        claiming: asyncio.Task[None],
        senders: Sequence[asyncio.Task[None]],
        settling: asyncio.Task[None],
    ) -> bool:
        """Hand back what was not begun, wait for what is under way, settle everything; whether it was settled."""
        started = time.monotonic()
        handed_back = dispatcher.hand_back()
        await asyncio.wait([claiming], timeout=LAST_CLAIM_S)
        if not claiming.done():
            log.warning("a claim was cut off; what it took, if anything, waits for its lease to run out")
            await _end(claiming)
        handed_back += dispatcher.hand_back()
        log.info("stopping", under_way=dispatcher.under_way, handed_back=handed_back)
        await dispatcher.until_quiet(self._hurry, timeout_s=self._settings.shutdown_seconds)
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
        oauth = (
            await stack.enter_async_context(OAuthClient(oauth_app(settings)))
            if settings.omnisend_oauth_client_id
            else None
        )
        worker = Worker(database, client, keys, settings, worker_id=worker_id, oauth=oauth, tuning=tuning)
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
