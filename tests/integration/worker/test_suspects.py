"""Rows in whose hands workers died go alone: whichever is to blame, no other row is taken down with it."""

from __future__ import annotations

import asyncio
import signal

from psycopg.types.json import Jsonb

from sandbox.omnisend import Fault, Received
from sandbox.shops import PROTEA
from tests.support.worker import Scene, cart, until

DELAY_S = 0.4
INNOCENTS = 12


def _enqueue(scene: Scene, count: int, name: str = "customer") -> list[int]:
    ids = [
        scene.enqueue("checkout_started", cart(f"{name}-{n}@example.com"), dedup_key=f"{name}-{n}")
        for n in range(count)
    ]
    return [row_id for row_id in ids if row_id is not None]


def _rescued(scene: Scene, ids: list[int], times: int) -> None:
    """As if workers had died with these rows in hand."""
    with scene.database.connect() as conn:
        conn.execute(
            "update public.integrations_omnisend_outbox set rescues = %s where id = any (%s)", [times, ids]
        )


def _overlap(one: Received, other: Received) -> bool:
    """Whether two requests were under way at once, as each took ``DELAY_S``."""
    return abs(one.arrived_monotonic - other.arrived_monotonic) < DELAY_S * 0.9


def _requests(scene: Scene) -> dict[str, Received]:
    return {one.body["contact"]["email"].partition("@")[0]: one for one in scene.omnisend.received()}


def _sent(scene: Scene, email: str) -> int:
    return sum(one.body["contact"]["email"] == email for one in scene.omnisend.received())


async def test_a_row_rescued_often_is_sent_with_no_other_in_hand(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=DELAY_S))
    innocents = _enqueue(scene, INNOCENTS)
    suspects = _enqueue(scene, 3, "suspect")
    _rescued(scene, suspects, 3)
    async with scene.workers(worker_concurrency=4) as fleet:
        await fleet.reached("delivered", INNOCENTS + len(suspects))

    requests = _requests(scene)
    assert len(requests) == INNOCENTS + len(suspects)
    for suspect in (f"suspect-{n}" for n in range(3)):
        alone = requests.pop(suspect)
        assert not [one for one in requests.values() if _overlap(alone, one)], suspect
    rows = {row["id"]: row for row in scene.outbox()}
    assert {rows[row_id]["attempts"] for row_id in innocents + suspects} == {1}, "handing back counts nothing"
    assert {rows[row_id]["rescues"] for row_id in innocents} == {0}


async def test_a_worker_that_dies_of_it_takes_nothing_else_down(scene: Scene) -> None:
    scene.connect()
    innocents = _enqueue(scene, INNOCENTS)
    (poison,) = _enqueue(scene, 1, "poison")
    _rescued(scene, [poison], 3)
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=DELAY_S))
    for tries in (1, 2):
        async with scene.process(short=True, WORKER_CONCURRENCY="2") as doomed:
            await until(lambda: _sent(scene, "poison-0@example.com") == tries, "the poison was sent")  # noqa: B023
            doomed.send(signal.SIGKILL)
            await doomed.ended()
        held = [row["id"] for row in scene.outbox() if row["lease_token"] is not None]
        assert held == [poison], f"when it was killed the {tries}. time"
        await asyncio.sleep(3)  # until the lease has run out
    async with scene.workers() as fleet:
        await fleet.reached("dead")
        await until(
            lambda: {row["state"] for row in scene.outbox() if row["id"] in innocents} == {"delivered"},
            "all else",
        )
    assert {row["rescues"] for row in scene.outbox() if row["id"] in innocents} == {0}


async def test_told_to_stop_while_one_waits_to_be_alone_it_is_handed_back(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=1.5))
    (innocent,) = _enqueue(scene, 1)
    async with scene.process() as worker:
        await scene.omnisend.wait_for(1, of="received")
        with scene.database.connect() as conn:  # while the first is under way; a suspect from the start
            conn.execute(
                "select public.omnisend_enqueue(%s, 'checkout_started', %s)",
                [PROTEA.merchant_id, Jsonb(cart())],
            )
            conn.execute(
                "update public.integrations_omnisend_outbox set rescues = 3 where id <> %s", [innocent]
            )
        await worker.says("sent alone: workers ended with it in hand")
        worker.send(signal.SIGTERM)
        assert await worker.ended(within=10) == 0
    rows = [(row["state"], row["attempts"], row["rescues"], row["lease_token"]) for row in scene.outbox()]
    assert rows == [("delivered", 1, 0, None), ("pending", 0, 3, None)]
    assert scene.omnisend.summary().total.received == 1
