"""Waiting for events, but not for ever."""

from __future__ import annotations

import asyncio


async def wait_at_most(seconds: float, *events: asyncio.Event) -> None:
    """Until one of ``events`` is set, or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
