"""Counting requests in a sliding window."""

from __future__ import annotations

from collections import deque


class SlidingWindow:
    """The instants of the requests of the last `length` seconds.

    Omnisend's limit is a sliding window per brand (DOCS/reference/rate-limit-timeouts-errors), so the instants
    themselves are kept: a counter per minute would let twice the limit through around its boundary.
    """

    __slots__ = ("_instants",)

    def __init__(self, keep_at_most: int | None = None) -> None:
        self._instants: deque[float] = deque(maxlen=keep_at_most)

    def _drop_older(self, horizon: float) -> None:
        instants = self._instants
        while instants and instants[0] <= horizon:
            instants.popleft()

    def add(self, now: float, length: float) -> int:
        """Note a request; the number in the window with it."""
        self._drop_older(now - length)
        self._instants.append(now)
        return len(self._instants)

    def count(self, now: float, length: float) -> int:
        self._drop_older(now - length)
        return len(self._instants)

    def seconds_to_room(self, now: float, length: float, limit: int) -> float:
        """How long until a request would be let in."""
        surplus = self.count(now, length) - limit
        return 0.0 if surplus < 0 else max(0.0, self._instants[surplus] + length - now)
