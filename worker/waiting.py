"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio


async def wait_at_most(seconds: float, event: asyncio.Event) -> None:
    """Until ``event`` is set, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
