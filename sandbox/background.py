"""An asyncio loop in a thread of its own, for small servers that must answer while the program does something else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_ANSWER_WITHIN = 30.0  # seconds; nothing that is asked of these loops takes one


class BackgroundLoop:
    """A running event loop; `run` hands it a coroutine and waits for the result."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the loop and return its result, or raise its exception, in the calling thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_WITHIN)

    def close(self) -> None:
        """Cancel what is still running on the loop and end its thread."""
        self.run(self._cancel_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_WITHIN)
        self._loop.close()

    @staticmethod
    async def _cancel_the_rest() -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()
