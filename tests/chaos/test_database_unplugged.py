"""The database goes away in every way a database can, while one worker is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable

import psycopg

from sandbox.omnisend import Fault
from sandbox.postgres import PostgresServer
from sandbox.shops import SHOPS
from sandbox.tcp_proxy import TcpProxy
from tests.support.worker import Scene, cart, until

ROWS_BEFORE = 300
ROWS_DURING = 200
CUSTOMERS = 40


async def _write(scene: Scene, first: int, count: int) -> None:
    """Events with a dedup key each, written again until the database has confirmed them."""
    for n in range(first, first + count):
        payload = cart(f"customer-{n % CUSTOMERS}@example.com", position=n)
        while True:
            try:
                await asyncio.to_thread(
                    scene.enqueue, "checkout_started", payload, shop=SHOPS[n % len(SHOPS)], dedup_key=str(n)
                )
                break
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)


async def _kill_again_and_again(scene: Scene, url: str, kills: list[int]) -> None:
    while True:
        async with scene.process(short=True, DATABASE_URL=url, WORKER_CONCURRENCY="8") as doomed:
            with contextlib.suppress(AssertionError):  # it may fail to start while the database is gone
                await doomed.says("delivered", times=5)
                doomed.send(signal.SIGKILL)
                kills.append(doomed.process.pid)


async def _more_arrive(scene: Scene, count: int) -> None:
    await scene.omnisend.wait_for(scene.omnisend.summary().total.accepted + count)


async def test_what_was_committed_is_delivered_whatever_happens_to_database_and_workers(
    scene: Scene, server: PostgresServer, tcp_proxy: Callable[[str, int], TcpProxy]
) -> None:
    for shop in SHOPS:
        scene.connect(shop)
    proxy = await asyncio.to_thread(tcp_proxy, server.host, server.port)
    url = proxy.url(scene.database.url("omnisend_worker"))
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.02, delay_max_s=0.25, seed=1))
    await _write(scene, 0, ROWS_BEFORE)

    async def held_up() -> None:
        await asyncio.to_thread(proxy.pause)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(proxy.resume)

    async def cut() -> None:
        await asyncio.to_thread(proxy.cut)

    async def unplugged() -> None:
        await asyncio.to_thread(proxy.refuse)
        await asyncio.sleep(2)
        await asyncio.to_thread(proxy.accept)

    async def crashed() -> None:
        await asyncio.to_thread(server.restart, crash=True)

    disasters: list[Callable[[], Awaitable[None]]] = [held_up, cut, unplugged, crashed]
    kills: list[int] = []
    async with scene.process(short=True, DATABASE_URL=url, WORKER_CONCURRENCY="8") as steady:
        killer = asyncio.create_task(_kill_again_and_again(scene, url, kills))
        writer = asyncio.create_task(_write(scene, ROWS_BEFORE, ROWS_DURING))
        for disaster in disasters:
            await _more_arrive(scene, 30)
            await disaster()
        await writer
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        await scene.omnisend.wait_for(ROWS_BEFORE + ROWS_DURING, of="unique", timeout_s=60)
        await until(lambda: scene.states() == {"delivered": ROWS_BEFORE + ROWS_DURING}, "all are settled")
        assert steady.process.returncode is None, steady.said
        steady.send(signal.SIGTERM)
        assert await steady.ended() == 0

    assert kills  # how many depends on the machine
    assert proxy.accepted > len(disasters)
    _judge(scene)


def _judge(scene: Scene) -> None:
    events_of_a_row: dict[str, set[str]] = defaultdict(set)
    first_arrivals: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in scene.omnisend.received():
        if not one.accepted:
            continue
        by_dedup_key = str(one.event_id)
        events_of_a_row[by_dedup_key].add(str(one.event_time))
        arrived = first_arrivals[str(one.brand), one.body["contact"]["email"]]
        if by_dedup_key not in arrived:
            arrived.append(by_dedup_key)
    assert len(events_of_a_row) == ROWS_BEFORE + ROWS_DURING
    assert {len(times) for times in events_of_a_row.values()} == {1}, "a duplicate had another eventTime"

    logged = scene.query(
        "select merchant_id, event_id::text, outbox_id from integrations_omnisend_logs where outcome = 'delivered' order by outbox_id"
    )
    assert len({row["event_id"] for row in logged}) == len(logged) == ROWS_BEFORE + ROWS_DURING
    position = {row["event_id"]: row["outbox_id"] for row in logged}
    for (_, email), arrived in first_arrivals.items():
        ids = [position[event_id] for event_id in arrived]
        assert ids == sorted(ids), email
