"""A catalogue is refreshed while everything that works on it is killed: at the end Omnisend's is the shop's."""

from __future__ import annotations

import asyncio
import signal
import sys

from sandbox.omnisend import Fault
from sandbox.shops import PROTEA
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.syncs import SyncState
from tests.support.syncing import catalogue_at_omnisend, catalogue_in_shop, fill_products, finished, syncs
from tests.support.worker import ROOT, Scene

PRODUCTS = 2_000
WORKERS_KILLED = 3
COMMANDS_KILLED = 3


async def _command(scene: Scene) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "resync", "products", "--merchant", PROTEA.slug, "--json"),
        cwd=ROOT,
        env=scene.environment(OMNISEND_API_VERSION="2026-03-15"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _written(scene: Scene, items: int) -> None:
    """Wait until rows for so many items are there, or all of them."""
    while True:
        rows = scene.query("select items, state from integrations_omnisend_syncs")
        if rows and (rows[0]["items"] >= items or rows[0]["state"] != "writing"):
            return
        await asyncio.sleep(0.005)


async def _kill_the_command(scene: Scene) -> None:
    """In the middle of writing, as far as it comes to that: each starts where the last one ended."""
    for number in range(1, COMMANDS_KILLED + 1):
        command = await _command(scene)
        await _written(scene, number * PRODUCTS // (COMMANDS_KILLED + 1))
        command.kill()
        await command.wait()


async def _kill_the_worker(scene: Scene) -> None:
    """Between a batch that Omnisend took and its answer: nobody here knows of it."""
    for _ in range(WORKERS_KILLED):
        before = scene.omnisend.summary().total.batches
        scene.omnisend.clear_faults()
        scene.omnisend.add_fault(Fault(kind="hang", path="/api/batches", count=2))
        async with scene.process(short=True, OMNISEND_API_VERSION="2026-03-15") as worker:
            await scene.omnisend.wait_for(before + 2, of="batches")
            worker.send(signal.SIGKILL)
            await worker.ended()
    scene.omnisend.clear_faults()


async def test_a_refresh_ends_complete_whoever_is_killed_on_the_way(scene: Scene) -> None:
    brand = scene.connect()
    fill_products(scene, PRODUCTS)
    await _kill_the_command(scene)
    await _kill_the_worker(scene)
    async with scene.process(short=True, OMNISEND_API_VERSION="2026-03-15"):
        command = await _command(scene)
        assert await asyncio.wait_for(command.wait(), timeout=60) == 0
    (sync,) = scene.query("select id from integrations_omnisend_syncs")
    ended = await finished(scene, sync["id"])
    assert (ended.state, ended.items, ended.items_rejected) == (SyncState.FINISHED, PRODUCTS, 0)
    assert ended.done == PRODUCTS, "each item is counted once, however often it was sent"
    assert catalogue_at_omnisend(scene, brand.brand_id) == catalogue_in_shop(scene)
    assert {row["state"] for row in scene.outbox()} <= {"delivered", "skipped"}
    async with syncs(scene) as held:
        last = await held.last(PROTEA.merchant_id, Resource.PRODUCTS)
    assert last is not None
    assert last.id == sync["id"]
