"""When a row is tried again. The whole policy, readable aloud.

After a failure a row waits about 5 s, then 20 s, 1 ½ min, 5 min, 20 min, and from then on an hour; each wait is
drawn from the upper half of its step, so that rows which failed together do not come back together. After twenty
counted attempts (some half a day) the row is a dead letter. Where Omnisend says how long to wait, we wait that long
and a little more, never less.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with a jitter that has a floor.

    ``base`` is the first step and each next one is ``factor`` times as long, up to ``cap``. The floor of half a step
    keeps a struggling server from being asked again at once, which full jitter would allow.
    """

    base: timedelta = timedelta(seconds=5)
    factor: int = 4
    cap: timedelta = timedelta(hours=1)
    max_attempts: int = 20

    def step(self, attempt: int) -> timedelta:
        """The longest wait after the ``attempt``-th counted attempt (from 1)."""
        # 32 doublings of even a microsecond exceed any cap; the bound keeps the integer small
        exponent = min(max(attempt, 1) - 1, 32)
        seconds = self.base.total_seconds() * self.factor**exponent
        return timedelta(seconds=min(seconds, self.cap.total_seconds()))

    def next_wait(self, attempt: int, rng: random.Random) -> timedelta | None:
        """How long to wait after the ``attempt``-th counted attempt failed, or ``None``: no more, a dead letter."""
        if attempt >= self.max_attempts:
            return None
        return self.step(attempt) * rng.uniform(0.5, 1.0)


DEFAULT_POLICY = RetryPolicy()


def told_wait(told: timedelta, rng: random.Random) -> timedelta:
    """A wait that Omnisend asked for, plus up to a tenth of it (a second at least), never earlier than told."""
    spread = max(timedelta(seconds=1), told / 10)
    return max(told, timedelta()) + spread * rng.random()
