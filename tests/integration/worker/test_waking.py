"""Waking workers as an event commits: opt-in, without a wait for any order, and never believed blindly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from sandbox.shops import PROTEA
from sandbox.tcp_proxy import TcpProxy
from sandbox.world import Database
from soldt_outbox.administration.waking import switch_wake_ups, wake_ups
from soldt_outbox.database import open_database
from soldt_outbox.store import Budget, Store
from tests.support.shop import check_out_together, connect_shop, names, place, place_unseen
from tests.support.worker import Scene, cart, until
from worker import claiming
from worker.waking import CHANNEL, Listener


@pytest.fixture
def switched_on(database: Database) -> Database:
    connect_shop(database)
    with database.connect(autocommit=True) as conn:
        assert not wake_ups(conn), "off, unless somebody asks for it"
        assert switch_wake_ups(conn, on=True)
    return database


@asynccontextmanager
async def listening(
    url: str, heard: list[UUID | None], *, store_url: str | None = None
) -> AsyncIterator[Listener]:
    """A listener that finds out within a second whether it hears anything."""
    async with open_database(store_url or url, application_name="test") as database:
        listener = Listener(
            url,
            heard.append,
            notify=Store(database, budget=Budget.below(400)).notify,
            application_name="test",
            probe_every_s=0.3,
            probe_answers_s=0.5,
            first_wait_s=0.1,
        )
        task = asyncio.create_task(listener.run())
        try:
            yield listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.both_majors
async def test_a_commit_is_heard_and_a_rollback_is_not(switched_on: Database) -> None:
    heard: list[UUID | None] = []
    async with listening(switched_on.url("omnisend_worker"), heard) as listener:
        await until(lambda: listener.listening, "it listens")
        assert heard == [None], "once at the beginning: what came before it listened"
        with switched_on.connect("anon") as browser:
            place_unseen(browser)
            browser.rollback()
            place_unseen(browser)
            browser.commit()
        await until(lambda: len(heard) > 1, "it hears of the order")
    assert heard[1:] == [PROTEA.merchant_id]


async def test_switched_off_nobody_is_told(switched_on: Database) -> None:
    heard: list[UUID | None] = []
    with switched_on.connect(autocommit=True) as conn:
        assert not switch_wake_ups(conn, on=False)
        async with listening(switched_on.url("omnisend_worker"), heard) as listener:
            await until(lambda: listener.listening, "it listens")
            place(conn)
            conn.execute("select pg_notify(%s, 'no merchant')", [CHANNEL])
            await until(lambda: len(heard) > 1, "the marker that came after it")
    assert heard == [None, None]


@pytest.mark.both_majors
def test_orders_do_not_wait_for_each_others_notifications(switched_on: Database) -> None:
    """Nor does any for the lock that committing a notification takes."""
    check_out_together(switched_on, 6)
    assert names(switched_on) == ["order_placed"] * 6


async def test_a_half_open_connection_is_noticed_and_replaced(
    switched_on: Database, tcp_proxy: Callable[[str, int], TcpProxy]
) -> None:
    """Nothing arrives any more and nobody says so; what was committed meanwhile is looked for when it listens again."""
    proxy = await asyncio.to_thread(tcp_proxy, switched_on.server.host, switched_on.server.port)
    heard: list[UUID | None] = []
    url = switched_on.url("omnisend_worker")
    async with listening(proxy.url(url), heard, store_url=url) as listener:
        await until(lambda: listener.listening, "it listens")
        await asyncio.to_thread(proxy.pause)
        await until(lambda: not listener.listening, "it notices")
        with switched_on.connect(autocommit=True) as conn:
            place(conn)
        await asyncio.to_thread(proxy.cut)
        await asyncio.to_thread(proxy.resume)
        await until(lambda: listener.listening, "it listens again")
    assert heard == [None, None]


async def test_behind_a_transaction_pooler_it_does_not_believe_that_it_listens(
    switched_on: Database, pgbouncer: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[UUID | None] = []
    async with listening(pgbouncer.url("omnisend_worker"), heard) as listener:
        said: list[str] = []

        def it_says_what_to_do() -> bool:
            said.append(capsys.readouterr().out)
            return "LISTEN_DATABASE_URL" in "".join(said)

        await until(it_says_what_to_do, "it says what to do")
        assert not listener.listening
    assert heard == []


async def test_a_woken_worker_does_not_wait_for_its_next_poll(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its polls are minutes apart here: each event is sent before the next is written, and only a wake-up tells of it."""
    for pause in ("BUSY_S", "IDLE_S"):
        monkeypatch.setattr(claiming, pause, 300.0)
    scene.connect()
    with scene.database.connect(autocommit=True) as conn:
        switch_wake_ups(conn, on=True)
    scene.enqueue("checkout_started", cart("first@example.com"))  # a merchant's lane is made by a scan
    async with asyncio.timeout(30), scene.workers(worker_wake_up="notify") as fleet:
        await fleet.reached("delivered")
        await fleet.reached("rounds", 2)  # the first, and the one that listening begins with
        for n in range(1, 20):
            await asyncio.to_thread(scene.enqueue, "checkout_started", cart(f"c{n}@example.com", position=n))
            await scene.omnisend.wait_for(n + 1)


async def test_a_worker_that_cannot_listen_polls(scene: Scene, pgbouncer: Database) -> None:
    scene.connect()
    async with scene.workers(
        worker_wake_up="notify", listen_database_url=pgbouncer.url("omnisend_worker")
    ) as fleet:
        scene.enqueue("checkout_started", cart())
        await fleet.reached("delivered")
