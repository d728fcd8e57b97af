"""How long events waited from commit to arrival, and how punctual the one who wrote them was."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.sink import SinkProcess
from benchmarks.steady_writer import Written


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Milliseconds, of each event.

    Attributes:
        committed: from the moment the writer knew it committed until it arrived. A little below zero where the
            arrival was quicker than the database's answer to the writer.
        begun: from the moment its transaction was begun: never less than what is looked for, and its upper bound.
        late: how long after its time the writer began each; open loop holds where this is small.
        missing: events that had not arrived when it was over; they count as having waited until then.
    """

    committed: Sequence[float]
    begun: Sequence[float]
    late: Sequence[float]
    missing: int

    @classmethod
    def of(cls, written: Sequence[Written], arrivals: Mapping[str, float]) -> Waits:
        """Join what was written with the instants of arrival, both by ``time.monotonic``."""
        ended = time.monotonic()
        came = [arrivals.get(one.event, ended) for one in written]
        return cls(
            committed=[1000 * (at - one.committed) for one, at in zip(written, came, strict=True)],
            begun=[1000 * (at - one.begun) for one, at in zip(written, came, strict=True)],
            late=[1000 * (one.begun - one.due) for one in written],
            missing=sum(one.event not in arrivals for one in written),
        )

    def at(self, share: float) -> float:
        """This percentile of the time from commit to arrival."""
        return percentile(self.committed, share)

    def late_by(self, share: float) -> float:
        """This percentile of the writer's own lateness."""
        return percentile(self.late, share)

    def figures(self) -> dict[str, Any]:
        return {
            "p50 ms": self.at(0.50),
            "p95 ms": self.at(0.95),
            "p99 ms": self.at(0.99),
            "longest ms": max(self.committed),
            "p99 ms from the transaction's beginning": percentile(self.begun, 0.99),
            "writer late ms, p99": self.late_by(0.99),
            "events": len(self.committed),
            "never arrived": self.missing,
        }


def arrivals_of(written: Sequence[Written], sink: SinkProcess, *, patience_s: float) -> dict[str, float]:
    """When events came, these and others, once all of these did or ``patience_s`` is over."""
    until = time.monotonic() + patience_s
    while True:
        arrivals = sink.arrivals()
        if all(one.event in arrivals for one in written) or time.monotonic() > until:
            return arrivals
        time.sleep(0.5)
