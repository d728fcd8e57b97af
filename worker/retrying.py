"""tenacity, wrapped once: tries again within the lease, for what passes in a second or two.

Tried again: a request that was never seen (connection refused, reset before it was written), 502 and 503. What may
have been seen is not: it goes back to the table, where the wait is long enough for Omnisend to recover.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
)

from soldt_outbox.errors import NeverSeen
from soldt_outbox.omnisend.answers import SOON, Answer


def _passes_soon(state: RetryCallState) -> bool:
    outcome = state.outcome
    if outcome is None:
        return False
    if outcome.failed:
        return isinstance(outcome.exception(), NeverSeen)
    answer: Answer = outcome.result()
    return answer.status in SOON


def _as_it_ended(state: RetryCallState) -> Answer:
    """The last answer, or the last error raised."""
    assert state.outcome is not None  # noqa: S101 - tenacity calls this after an attempt
    answer: Answer = state.outcome.result()
    return answer


_FIRST_WAIT_S: Final = (0.2, 0.5)
_AGAIN: Final = AsyncRetrying(
    retry=_passes_soon,
    # With the first, three requests; within four seconds and a time-out or two they stay well inside half a lease.
    stop=stop_after_attempt(2) | stop_after_delay(4),
    wait=wait_exponential_jitter(multiplier=0.5, max=2, jitter=0.3),
    retry_error_callback=_as_it_ended,
)


async def send_within_lease(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """Call ``send`` until it ends in something that waiting a moment will not change, three times at most.

    Raises what the last ``send`` raised. tenacity takes over only when the first request failed: its bookkeeping
    costs 20 microseconds a call, and nearly every row needs one request.
    """
    try:
        answer = await send()
    except NeverSeen:
        pass
    else:
        if answer.status not in SOON:
            return answer
    await asyncio.sleep(random.uniform(*_FIRST_WAIT_S))  # noqa: S311 - jitter needs no secrecy
    again: Answer = await _AGAIN(send)
    return again
