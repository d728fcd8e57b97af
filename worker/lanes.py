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

from soldt_outbox.rows import Kind
from worker.outcomes import RETIRED_FOR

log = structlog.get_logger()

_COOL_FIRST_S: Final = 0.1
_COOL_MOST_S: Final = 1.0

_Held = tuple[UUID, Kind | None]


class Lanes:
    """Merchants on hold, merchants whose last claim gave nothing, and versions of the API that Omnisend retired.

    The database's lanes are the truth. This only keeps rows already in hand from being sent after a refusal, and
    spares the database claims that would give nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unstored: Counter[_Held] = Counter()  # pauses on their way into the database
        self._paused_at: dict[_Held, float] = {}  # when the latest one was there
        self._cooling: dict[UUID, tuple[float, float]] = {}  # until, for how long
        self._retired_until: dict[str, float] = {}

    def hold(self, merchant_id: UUID, kind: Kind | None = None) -> None:
        """A pause, of one kind of row or of all, is on its way into the database: until it is there, claims would still give rows."""
        self._unstored[merchant_id, kind] += 1

    def pause_stored(self, merchant_id: UUID, kind: Kind | None = None) -> None:
        """The database knows one of these pauses, and gives rows again only when they may be sent."""
        held = (merchant_id, kind)
        self._unstored[held] -= 1
        if self._unstored[held] <= 0:
            del self._unstored[held]
        self._paused_at[held] = self._clock()

    def is_held(self, merchant_id: UUID) -> bool:
        """Whether nothing of this merchant should be claimed yet."""
        return (merchant_id, None) in self._unstored

    def holds(self, merchant_id: UUID, kind: Kind, *, claimed_at: float) -> bool:
        """Whether a row is to be handed back unsent: its claim was made before the pause, however long ago that is."""
        return any(
            held in self._unstored or claimed_at <= self._paused_at.get(held, -math.inf)
            for held in ((merchant_id, None), (merchant_id, kind))
        )

    def retire(self, version: str, words: str) -> None:
        """Omnisend answered 410: nothing more is sent in this version of its API, by anybody's key."""
        self._retired_until[version] = self._clock() + RETIRED_FOR.total_seconds()
        log.error(
            "Omnisend retired this version of its API: sending in it stops, nothing is lost; set OMNISEND_API_VERSION and "
            "restart, or `soldt-outbox configure --api-version` for single merchants",
            api_version=version,
            words=words,
            next_try_in_s=RETIRED_FOR.total_seconds(),
        )

    def retired_for(self, version: str) -> timedelta | None:
        """How long nothing is to be asked of Omnisend in this version; None where it may be asked."""
        until = self._retired_until.get(version)
        if until is None or until <= self._clock():
            return None
        return timedelta(seconds=until - self._clock())

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

    def woken(self, merchant_id: UUID) -> None:
        """An event of this merchant was just committed: that it gave nothing a moment ago says nothing now.

        Once: where it gives nothing again it is out of budget, say, and its commits must not be a claim each.
        """
        _, wait = self._cooling.get(merchant_id, (0.0, 0.0))
        if 0.0 < wait <= _COOL_FIRST_S:
            self._cooling[merchant_id] = (self._clock(), wait)

    def is_cooling(self, merchant_id: UUID) -> bool:
        """Whether asking for this merchant again would be too soon."""
        cooling = self._cooling.get(merchant_id)
        if cooling is None:
            return False
        if self._clock() >= cooling[0] + _COOL_MOST_S:  # long over: forget it, or the table would only grow
            del self._cooling[merchant_id]
        return self._clock() < cooling[0]
