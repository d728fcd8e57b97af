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

    def add(self, now: float, length: float) -> int:
        """Note a request; the number in the window with it."""
        instants, horizon = self._instants, now - length
        while instants and instants[0] <= horizon:
            instants.popleft()
        instants.append(now)
        return len(instants)

    def count(self, now: float, length: float) -> int:
        instants, horizon = self._instants, now - length
        while instants and instants[0] <= horizon:
            instants.popleft()
        return len(instants)

    def seconds_to_room(self, now: float, length: float, limit: int) -> float:
        """How long until a request would be let in."""
        surplus = self.count(now, length) - limit
        return 0.0 if surplus < 0 else max(0.0, self._instants[surplus] + length - now)
