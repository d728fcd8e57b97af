"""SIGTERM: what is under way is finished, the rest handed back, and the process is gone well before 30 s."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from sandbox.omnisend import Fault
from sandbox.tcp_proxy import TcpProxy
from soldt_outbox import database
from tests.support.worker import Scene, cart, until


def _enqueue(scene: Scene, count: int) -> None:
    for n in range(count):
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"), dedup_key=str(n))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_under_way_is_finished_and_the_rest_is_handed_back_uncounted(
    scene: Scene, number: signal.Signals
) -> None:
    scene.connect()
    _enqueue(scene, 12)
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=1.5))
    async with scene.process(WORKER_CONCURRENCY="4") as worker:
        await scene.omnisend.wait_for(4, of="received")
        worker.send(number)
        assert await worker.ended(within=10) == 0

    assert scene.omnisend.summary().total.received == 4
    rows = scene.query(
        "select state::text, attempts, lease_token from integrations_omnisend_outbox order by id"
    )
    assert rows[:4] == [{"state": "delivered", "attempts": 1, "lease_token": None}] * 4
    assert rows[4:] == [{"state": "pending", "attempts": 0, "lease_token": None}] * 8
    assert len(scene.logs()) == 4
    assert scene.query("select * from integrations_omnisend_workers") == []


async def test_a_second_signal_waits_for_nothing_and_says_that_omnisend_may_have_acted(scene: Scene) -> None:
    scene.connect()
    _enqueue(scene, 3)
    scene.omnisend.add_fault(Fault(kind="hang"))
    async with scene.process() as worker:
        await scene.omnisend.wait_for(3, of="received")
        worker.send(signal.SIGTERM)
        await worker.says("stopping")
        begun = time.monotonic()
        worker.send(signal.SIGTERM)
        assert await worker.ended(within=5) == 0
        assert time.monotonic() - begun < 4

    assert {(row["state"], row["attempts"], row["lease_token"]) for row in scene.outbox()} == {
        ("pending", 0, None)
    }
    assert {log["outcome"] for log in scene.logs()} == {"retry"}
    assert all("Omnisend may have acted" in log["error"] for log in scene.logs())


async def test_what_hangs_is_cut_off_when_the_time_to_stop_is_over(scene: Scene) -> None:
    scene.connect()
    _enqueue(scene, 1)
    scene.omnisend.add_fault(Fault(kind="hang", count=1))
    async with scene.process(SHUTDOWN_SECONDS="1") as worker:
        await scene.omnisend.wait_for(1, of="received")
        worker.send(signal.SIGTERM)
        assert await worker.ended(within=6) == 0

    (row,) = scene.outbox()
    assert (row["state"], row["lease_token"]) == ("pending", None)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")


@pytest.mark.parametrize("fault", ["pause", "refuse"])
async def test_a_database_that_is_gone_does_not_keep_a_worker_from_ending(
    scene: Scene, tcp_proxy: Callable[[str, int], TcpProxy], fault: str
) -> None:
    scene.connect()
    server = scene.database.server
    proxy = await asyncio.to_thread(tcp_proxy, server.host, server.port)  # type: ignore[attr-defined]
    _enqueue(scene, 4)
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.5))
    async with scene.process(DATABASE_URL=proxy.url(scene.database.url("omnisend_worker"))) as worker:
        await scene.omnisend.wait_for(4, of="received")
        await asyncio.to_thread(getattr(proxy, fault))
        await scene.omnisend.wait_for(4, of="settled")
        worker.send(signal.SIGTERM)
        begun = time.monotonic()
        assert await worker.ended(within=25) == 0
        assert time.monotonic() - begun < 20
        assert worker.events("outcomes could not be stored; their rows will be sent again")
    await asyncio.to_thread(proxy.resume)
    await asyncio.to_thread(proxy.cut)
    scene.let_leases_run_out()
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 4)
    assert scene.omnisend.summary().total.unique == 4


async def test_a_worker_at_rest_ends_at_once(scene: Scene) -> None:
    async with scene.process() as worker:
        await worker.says("heartbeat")
        await until(
            lambda: bool(scene.query("select * from integrations_omnisend_workers")),
            "the heartbeat is written",
        )
        worker.send(signal.SIGTERM)
        begun = time.monotonic()
        assert await worker.ended(within=10) == 0
        assert time.monotonic() - begun < 3
    assert scene.query("select * from integrations_omnisend_workers") == []


async def test_a_database_that_falls_silent_is_given_up_and_found_again(
    scene: Scene, tcp_proxy: Callable[[str, int], TcpProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall that forgets a connection tells neither side: only a clock of one's own ends the wait."""
    monkeypatch.setattr(database, "SILENCE_TIMEOUT", timedelta(seconds=1))
    scene.connect()
    server = scene.database.server
    proxy = await asyncio.to_thread(tcp_proxy, server.host, server.port)  # type: ignore[attr-defined]
    async with scene.workers(database_url=proxy.url(scene.database.url("omnisend_worker"))) as fleet:
        await fleet.reached("rounds", 2)
        await asyncio.to_thread(proxy.pause)
        await fleet.reached("claim_failures")
        await asyncio.to_thread(proxy.cut)
        await asyncio.to_thread(proxy.resume)
        _enqueue(scene, 1)
        await fleet.reached("delivered")
