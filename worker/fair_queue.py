"""A queue in which merchants take turns, whatever the number of rows each has in it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Generic, TypeVar
from uuid import UUID

_Item = TypeVar("_Item")


class FairQueue(Generic[_Item]):
    """First in, first out for each merchant, and one of each in turn.

    A claim may bring hundreds of rows of one merchant, if nobody else had any then: who comes after it waits for one of
    them and not for all.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[UUID, deque[_Item]] = OrderedDict()
        self._waiting = asyncio.Semaphore(0)

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, merchant_id: UUID, item: _Item) -> None:
        """Never waits."""
        line = self._lines.get(merchant_id)
        if line is None:
            line = self._lines[merchant_id] = deque()
        line.append(item)
        self._waiting.release()

    async def get(self) -> _Item:
        """The next one; waits for it."""
        while True:
            await self._waiting.acquire()
            if self._lines:  # else it was taken by `clear`
                return self._next()

    def clear(self) -> list[_Item]:
        """Take all that waits."""
        items = []
        while self._lines:
            items.append(self._next())
        return items

    def _next(self) -> _Item:
        merchant_id, line = next(iter(self._lines.items()))
        item = line.popleft()
        if line:
            self._lines.move_to_end(merchant_id)
        else:
            del self._lines[merchant_id]
        return item
