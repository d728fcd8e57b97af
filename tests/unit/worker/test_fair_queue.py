"""Merchants take turns in the senders' queue."""

from __future__ import annotations

import asyncio
from uuid import UUID

from worker.fair_queue import FairQueue

FLOOD, QUIET, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)


def filled(*items: tuple[UUID, str]) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for merchant_id, item in items:
        queue.put(merchant_id, item)
    return queue


async def test_who_comes_after_a_flood_waits_for_one_of_its_rows() -> None:
    queue = filled(*((FLOOD, f"flood {n}") for n in range(100)), (QUIET, "quiet"))
    assert [await queue.get() for _ in range(3)] == ["flood 0", "quiet", "flood 1"]


async def test_each_merchants_rows_keep_their_order() -> None:
    queue = filled((FLOOD, "a"), (QUIET, "b"), (FLOOD, "c"), (OTHER, "d"), (FLOOD, "e"), (QUIET, "f"))
    assert [await queue.get() for _ in range(6)] == ["a", "b", "d", "c", "f", "e"]
    assert len(queue) == 0


async def test_a_sender_that_waits_has_what_comes() -> None:
    queue = filled()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.put(QUIET, "late")
    assert await waiting == "late"


async def test_what_was_taken_back_is_given_to_nobody() -> None:
    queue = filled((FLOOD, "a"), (FLOOD, "b"), (QUIET, "c"))
    assert queue.clear() == ["a", "c", "b"]
    waiting = asyncio.create_task(queue.get())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    queue.put(QUIET, "d")
    assert await waiting == "d"
