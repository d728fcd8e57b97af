"""Batches: many items of one kind in one request, worked off later, each as if it had come alone.

Sources: the OpenAPI file of the Batches API (version 2026-03-15) and DOCS/v3/reference/batches on statuses, where DOCS
is https://api-docs.omnisend.com. How long a batch takes and after how many errors it stops is published nowhere, so
both are settings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Final, Literal

import msgspec

from sandbox.omnisend.model import Settings
from sandbox.omnisend.views import BatchView

BatchStatus = Literal["pending", "inProgress", "finished", "stopped"]
BATCH_STATUSES: Final[tuple[BatchStatus, ...]] = ("pending", "inProgress", "finished", "stopped")

_numbers: Final = count(0x65B000000000000000000001)
"""Of Omnisend's ids only the form is known: 24 hex digits."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one item."""

    item_id: str
    response_code: int
    response: bytes
    """JSON, or nothing."""


class Batch(msgspec.Struct, eq=False):
    """Items and, in the same order, what became of those that are done."""

    brand_id: str
    method: str
    endpoint: str
    origin: str | None
    items: list[bytes]
    created_at: datetime
    batch_id: str = msgspec.field(default_factory=lambda: f"{next(_numbers):024x}")
    status: BatchStatus = "pending"
    outcomes: list[Outcome] = []
    errors: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    def note(self, response_code: int, response: bytes) -> None:
        """Write down what became of the next item."""
        self.outcomes.append(Outcome(f"{next(_numbers):024x}", response_code, response))
        self.errors += response_code >= 400

    def view(self) -> BatchView:
        return BatchView(
            brand=self.brand_id,
            batch_id=self.batch_id,
            method=self.method,
            endpoint=self.endpoint,
            status=self.status,
            total=len(self.items),
            errors=self.errors,
            response_codes=[one.response_code for one in self.outcomes],
            created_at=self.created_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )


Work = Callable[[int], None]
"""Does what one item of a batch, given by its place, asks for, and notes it in the batch."""


class Batches:
    """The batches of all brands, and the tasks that work them off."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._batches: dict[str, Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches.values())

    def get(self, brand_id: str, batch_id: str) -> Batch | None:
        batch = self._batches.get(batch_id)
        return batch if batch is not None and batch.brand_id == brand_id else None

    def start(self, batch: Batch, work: Work, over: Callable[[], None]) -> None:
        """Keep a batch and work it off in a task of its own; `over` is called at its end."""
        self._batches[batch.batch_id] = batch
        self._drop_oldest()
        task = asyncio.get_running_loop().create_task(self._run(batch, work, over))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop_oldest(self) -> None:
        surplus = len(self._batches) - self._settings().max_batches
        if surplus > 0:
            over = [one.batch_id for one in self._batches.values() if one.is_over]
            for batch_id in over[:surplus]:
                del self._batches[batch_id]

    async def _run(self, batch: Batch, work: Work, over: Callable[[], None]) -> None:
        await self._pause(lambda settings: settings.batch_delay_s)
        batch.status, batch.started_at = "inProgress", datetime.now(UTC)
        for index in range(len(batch.items)):
            work(index)
            most = self._settings().batch_max_errors
            if most is not None and batch.errors > most:
                break
            await self._pause(lambda settings: settings.batch_item_delay_s)
        batch.status = "finished" if len(batch.outcomes) == len(batch.items) else "stopped"
        batch.ended_at = datetime.now(UTC)
        over()

    async def _pause(self, length: Callable[[Settings], float]) -> None:
        """Let others run, and wait as long as the settings say; a change of theirs takes effect at once."""
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (left := started + length(self._settings()) - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    def settings_changed(self) -> None:
        """Wake the batches that wait, for they may have waited long enough."""
        self._changed.set()
        self._changed = asyncio.Event()

    def clear(self) -> None:
        """Forget all batches; what is not done yet will not be."""
        for task in self._tasks:
            task.cancel()
        self._batches.clear()
