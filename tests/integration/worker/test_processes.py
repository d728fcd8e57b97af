"""Several processes under one parent: all of them work, one that dies is replaced, and all of them stop in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.omnisend import Fault
from tests.support.worker import ROOT, Scene, WorkerProcess, cart, until


def _children(of: WorkerProcess) -> list[int]:
    return [
        int(pid) for pid in Path(f"/proc/{of.process.pid}/task/{of.process.pid}/children").read_text().split()
    ]


def _enqueue(scene: Scene, numbers: range) -> None:
    for n in numbers:
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"), dedup_key=str(n))


def _alive(scene: Scene) -> set[str]:
    """The workers that signed on and did not sign off."""
    return {row["worker_id"] for row in scene.query("select worker_id from integrations_omnisend_workers")}


async def _both_are_up(scene: Scene) -> set[str]:
    await until(lambda: len(_alive(scene)) == 2, "two workers signed on")
    return _alive(scene)


@pytest.fixture(autouse=True)
def _processes_can_be_listed() -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to find a process's children")


async def test_two_processes_share_the_work_and_stop_in_order(scene: Scene) -> None:
    scene.connect()
    async with scene.process(WORKER_PROCESSES="2") as parent:
        await _both_are_up(scene)
        _enqueue(scene, range(40))
        await scene.omnisend.wait_for(40)
        parent.send(signal.SIGTERM)
        assert await parent.ended(within=10) == 0
    assert _alive(scene) == set()
    assert {(row["state"], row["attempts"]) for row in scene.outbox()} == {("delivered", 1)}
    assert scene.omnisend.summary().total.received == 40


async def test_one_that_dies_is_started_again(scene: Scene) -> None:
    scene.connect()
    async with scene.process(WORKER_PROCESSES="2") as parent:
        before = await _both_are_up(scene)
        os.kill(_children(parent)[0], signal.SIGKILL)
        said = await parent.says("a process ended and is started again")
        assert said["exit_code"] == -signal.SIGKILL
        await until(lambda: bool(_alive(scene) - before), "a third worker signed on")
        assert len(_children(parent)) == 2
        parent.send(signal.SIGTERM)
        assert await parent.ended(within=10) == 0


async def test_a_signal_to_every_process_at_once_cuts_nothing_off(scene: Scene) -> None:
    """As platforms do: the children hear of it twice, from the platform and from their parent."""
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=1.5))
    async with scene.process(WORKER_PROCESSES="2") as parent:
        await _both_are_up(scene)
        _enqueue(scene, range(4))
        await scene.omnisend.wait_for(4, of="received")
        for pid in [parent.process.pid, *_children(parent)]:
            os.kill(pid, signal.SIGTERM)
        assert await parent.ended(within=10) == 0
    assert {row["state"] for row in scene.outbox()} == {"delivered"}
    assert {log["outcome"] for log in scene.logs()} == {"delivered"}


async def test_without_their_parent_they_stop_in_order(scene: Scene) -> None:
    scene.connect()
    async with scene.process(WORKER_PROCESSES="2") as parent:
        await _both_are_up(scene)
        parent.send(signal.SIGKILL)
        await until(lambda: not _alive(scene), "both signed off")


async def test_what_none_of_them_can_start_with_ends_them_all(scene: Scene) -> None:
    async with scene.process(WORKER_PROCESSES="3", OUTBOX_ENCRYPTION_KEYS="k1:short") as parent:
        assert await parent.ended(within=20) == 2
        assert "not valid base64" in parent.said


@pytest.mark.parametrize("count", ["0", "many", "65"])
def test_a_number_of_processes_that_is_none(count: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--processes", count],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "must be a whole number from 1 to 64" in done.stderr
