"""Which events Omnisend has seen before, and whether it minds.

"Events with the same eventID and eventTime are processed only once. Works only for historical events; does not apply
to real-time events used for automations" (DOCS/v5/reference-link/events). No window is published for how long it
remembers, and no age from which an event is historical.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from sandbox.omnisend.values import instant, spaced_instant


class Verdict(NamedTuple):
    duplicate: bool
    processed: bool


class Ledger:
    """The accepted eventIDs per brand, with the eventTimes they came with."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], set[str | None]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def accept(
        self,
        brand_id: str,
        event_id: str | None,
        event_time: str | None,
        *,
        historical_after_s: float,
        keep: int,
    ) -> Verdict:
        """Note an accepted event. Without eventID Omnisend makes one up, so it is never a duplicate."""
        if event_id is None:
            return Verdict(duplicate=False, processed=True)
        key = (brand_id, event_id.lower())
        times = self._times.get(key)
        if times is None:
            self._times[key] = {event_time}
            if len(self._times) > keep:
                del self._times[next(iter(self._times))]
            return Verdict(duplicate=False, processed=True)
        once_only = event_time in times and is_historical(event_time, historical_after_s)
        times.add(event_time)
        return Verdict(duplicate=True, processed=not once_only)


def is_historical(event_time: str | None, after_s: float) -> bool:
    """Whether an event is old enough to be de-duplicated; one without a time is from now."""
    if event_time is None:
        return False
    happened = instant(event_time) or spaced_instant(event_time)
    return happened is not None and (datetime.now(UTC) - happened).total_seconds() > after_s
