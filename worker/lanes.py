"""What this process knows of lanes before the database does: who must not be sent for, and for how long."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

log = structlog.get_logger()

RETIRED_FOR: Final = timedelta(minutes=15)  # after a 410: then a single row goes out to see
_COOL_FIRST_S: Final = 0.1
_COOL_MOST_S: Final = 1.0


class Lanes:
    """Merchants on hold, merchants whose last claim gave nothing, and whether Omnisend retired our dialect.

    The database's lanes are the truth. This only keeps rows already in hand from being sent after a refusal, and
    spares the database claims that would give nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unstored: Counter[UUID] = Counter()  # pauses on their way into the database
        self._paused_at: dict[UUID, float] = {}  # when the latest one was there
        self._cooling: dict[UUID, tuple[float, float]] = {}  # until, for how long
        self._retired_until: float | None = None

    def hold(self, merchant_id: UUID) -> None:
        """A pause is on its way into the database: until it is there, claims would still give rows."""
        self._unstored[merchant_id] += 1

    def pause_stored(self, merchant_id: UUID) -> None:
        """The database knows one of these pauses, and gives rows again only when they may be sent."""
        self._unstored[merchant_id] -= 1
        if self._unstored[merchant_id] <= 0:
            del self._unstored[merchant_id]
        self._paused_at[merchant_id] = self._clock()

    def is_held(self, merchant_id: UUID) -> bool:
        """Whether nothing of this merchant should be claimed yet."""
        return merchant_id in self._unstored

    def holds(self, merchant_id: UUID, *, claimed_at: float) -> bool:
        """Whether a row is to be handed back unsent: its claim was made before the pause, however long ago that is."""
        if self._retired_until is not None and self._clock() < self._retired_until:
            return True
        return self.is_held(merchant_id) or claimed_at <= self._paused_at.get(merchant_id, -math.inf)

    def retire(self, words: str) -> None:
        """Omnisend answered 410: nothing more is sent in this dialect, by anybody's key."""
        self._retired_until = self._clock() + RETIRED_FOR.total_seconds()
        log.error(
            "Omnisend retired this version of its API: all sending stops, nothing is lost; set OMNISEND_API_VERSION and restart",
            words=words,
            next_try_in_s=RETIRED_FOR.total_seconds(),
        )

    def unretire(self) -> None:
        """Something was delivered."""
        self._retired_until = None

    @property
    def claim_limit(self) -> int | None:
        """How many rows may be claimed: none while the dialect is retired, one to see whether it still is, else no limit."""
        if self._retired_until is None:
            return None
        return 0 if self._clock() < self._retired_until else 1

    def nothing_came(self, merchants: Iterable[UUID]) -> None:
        """A claim gave nothing for these: out of budget, or waiting for an earlier event. Ask less often."""
        now = self._clock()
        for merchant_id in merchants:
            _, last = self._cooling.get(merchant_id, (0.0, _COOL_FIRST_S / 2))
            wait = min(_COOL_MOST_S, last * 2)
            self._cooling[merchant_id] = (now + wait, wait)

    def something_changed(self, merchant_id: UUID) -> None:
        """A row of this merchant was claimed or settled: the next one in order may go."""
        self._cooling.pop(merchant_id, None)

    def is_cooling(self, merchant_id: UUID) -> bool:
        """Whether asking for this merchant again would be too soon."""
        cooling = self._cooling.get(merchant_id)
        if cooling is None:
            return False
        if self._clock() >= cooling[0] + _COOL_MOST_S:  # long over: forget it, or the table would only grow
            del self._cooling[merchant_id]
        return self._clock() < cooling[0]
