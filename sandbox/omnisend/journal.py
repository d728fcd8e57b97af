"""What came in, in the order it came, and the counts over it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from sandbox.omnisend.limits import SlidingWindow
from sandbox.omnisend.model import Finding, Outcome, Page, Received, Summary, Tally, WaitFor

UNKNOWN_BRAND: Final = "unknown"
MAX_LATER_FINDINGS: Final = 500
"""Per request; a batch of a thousand items has many, and none may be without a bound."""
_MAX_ARRIVALS: Final = 1_000_000
_MAX_IN_WINDOW: Final = 200_000
"""Instants kept per brand for the peak: beyond it (3,000 requests a second) the peak is a lower bound."""


class Entry(msgspec.Struct, kw_only=True, gc=False):
    """A request while it is looked at; `Received` is how it is shown.

    Nothing in it refers back to it, so the collector of cycles need not walk through tens of thousands of them.
    """

    seq: int
    arrived: float
    arrived_wall: float
    method: str
    path: str
    brand: str | None
    key: str | None
    body: bytes
    event_name: str | None
    event_id: str | None
    event_time: str | None
    findings: tuple[Finding, ...]
    fault: int | None = None
    status: int | None = None
    outcome: Outcome = "pending"
    accepted: bool = False
    duplicate: bool = False
    processed: bool = False

    def shown(self) -> Received:
        at = datetime.fromtimestamp(self.arrived_wall, UTC)
        return Received(
            seq=self.seq,
            arrived_at=at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            arrived_monotonic=self.arrived,
            method=self.method,
            path=self.path,
            brand=self.brand,
            key=self.key,
            status=self.status,
            outcome=self.outcome,
            fault=self.fault,
            event_name=self.event_name,
            event_id=self.event_id,
            event_time=self.event_time,
            accepted=self.accepted,
            duplicate=self.duplicate,
            processed=self.processed,
            body=_body_shown(self.body),
            body_sha256=hashlib.sha256(self.body).hexdigest(),
            findings=list(self.findings),
        )


def _body_shown(body: bytes) -> Any:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")


class _Counts:
    """The running counts of one brand, or of all."""

    def __init__(self) -> None:
        self.received = self.accepted = self.unique = self.processed = self.batches = 0
        self.rejected_findings = self.ignored_findings = 0
        self.findings: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.peak = 0
        self.first: float | None = None
        self.last: float | None = None
        self._window = SlidingWindow(_MAX_IN_WINDOW)

    def arrived(self, at: float, window_s: float) -> None:
        self.received += 1
        if self.first is None:
            self.first = at
        self.last = at
        self.peak = max(self.peak, self._window.add(at, window_s))

    def found(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self.findings[finding.code] += 1
            if finding.severity == "rejected":
                self.rejected_findings += 1
            else:
                self.ignored_findings += 1

    def took(self, *, duplicate: bool, processed: bool) -> None:
        self.accepted += 1
        self.unique += not duplicate
        self.processed += processed

    def tally(self) -> Tally:
        return Tally(
            received=self.received,
            accepted=self.accepted,
            unique=self.unique,
            processed=self.processed,
            duplicates=self.accepted - self.unique,
            batches=self.batches,
            rejected_findings=self.rejected_findings,
            ignored_findings=self.ignored_findings,
            findings=dict(self.findings),
            statuses=dict(self.statuses),
            peak_in_window=self.peak,
            first_arrival=self.first,
            last_arrival=self.last,
        )


@dataclass(frozen=True, eq=False)
class _Waiter:
    count: int
    of: WaitFor
    brand: str | None
    reached: asyncio.Future[None]


class Journal:
    """Entries (as many as are kept), counts, and those who wait for them to grow."""

    def __init__(self, max_stored: int, window_s: float) -> None:
        self._waiting: list[_Waiter] = []
        self.clear(max_stored, window_s)

    def clear(self, max_stored: int, window_s: float) -> None:
        """Begin anew; who waits goes on waiting."""
        self._entries: deque[Entry] = deque(maxlen=max_stored)
        self._seq = 0
        self._window_s = window_s
        self._total = _Counts()
        self._brands: dict[str, _Counts] = {}
        self._arrivals = array("d")

    def keep(self, max_stored: int, window_s: float) -> None:
        """Go on with other bounds."""
        self._entries = deque(self._entries, maxlen=max_stored)
        self._window_s = window_s

    def _counts(self, brand: str | None) -> tuple[_Counts, _Counts]:
        name = brand or UNKNOWN_BRAND
        counts = self._brands.get(name)
        if counts is None:
            counts = self._brands[name] = _Counts()
        return self._total, counts

    def _arrived(self, brand: str | None, at: float) -> tuple[_Counts, _Counts]:
        counts = self._counts(brand)
        for one in counts:
            one.arrived(at, self._window_s)
        if len(self._arrivals) < _MAX_ARRIVALS:
            self._arrivals.append(at)
        return counts

    def open(self, **known: Any) -> Entry:
        """Note a request that has arrived; `close` tells how it ended."""
        self._seq += 1
        entry = Entry(seq=self._seq, arrived=time.monotonic(), arrived_wall=time.time(), **known)
        self._entries.append(entry)
        for counts in self._arrived(entry.brand, entry.arrived):
            if entry.findings:
                counts.found(entry.findings)
        self._signal()
        return entry

    def found(self, entry: Entry, findings: list[Finding]) -> None:
        """Add what came to light after the request was noted; counted in full, kept up to a bound."""
        kept = MAX_LATER_FINDINGS - len(entry.findings)
        if kept > 0:
            entry.findings = (*entry.findings, *findings[:kept])
        for counts in self._counts(entry.brand):
            counts.found(findings)

    def accept(self, entry: Entry | None, brand: str, *, duplicate: bool, processed: bool) -> None:
        """Count an event Omnisend has taken in: a request of its own, or (no entry) an item of a batch."""
        if entry is not None:
            entry.accepted, entry.duplicate, entry.processed = True, duplicate, processed
        for counts in self._counts(brand):
            counts.took(duplicate=duplicate, processed=processed)
        self._signal()

    def batch_over(self, brand: str) -> None:
        for counts in self._counts(brand):
            counts.batches += 1
        self._signal()

    def close(self, entry: Entry, outcome: Outcome, status: int | None = None) -> None:
        entry.outcome, entry.status = outcome, status
        for counts in self._counts(entry.brand):
            counts.statuses[str(status) if status is not None else outcome] += 1
        self._signal()

    def count_only(self, brand: str | None, status: int) -> None:
        """The sink's way: counts and the instant, nothing else."""
        for counts in self._arrived(brand, time.monotonic()):
            counts.statuses[str(status)] += 1
            if status < 300:
                counts.took(duplicate=False, processed=True)
        self._signal()

    def count(self, of: WaitFor, brand: str | None = None) -> int:
        counts = self._total if brand is None else self._brands.get(brand)
        if counts is None:
            return 0
        match of:
            case "received":
                return counts.received
            case "settled":
                return counts.statuses.total()
            case "accepted":
                return counts.accepted
            case "unique":
                return counts.unique
            case "batches":
                return counts.batches

    async def wait(self, count: int, of: WaitFor, brand: str | None, timeout_s: float) -> bool:
        """Whether the count was reached in time; woken when it is, never polling."""
        if self.count(of, brand) >= count:
            return True
        waiter = _Waiter(count, of, brand, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.reached
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return True

    def _signal(self) -> None:
        for waiter in self._waiting:
            if not waiter.reached.done() and self.count(waiter.of, waiter.brand) >= waiter.count:
                waiter.reached.set_result(None)

    def page(self, brand: str | None, after: int, limit: int) -> Page:
        shown: list[Received] = []
        next_after = after
        for entry in self._entries:
            if entry.seq <= after:
                continue
            if len(shown) >= limit:
                break
            next_after = entry.seq
            if brand is None or entry.brand == brand:
                shown.append(entry.shown())
        return Page(shown, next_after, self.not_stored)

    @property
    def not_stored(self) -> int:
        return self._seq - len(self._entries)

    def arrivals(self) -> list[float]:
        """Monotonic instants of all requests since the start, the first million of them."""
        return self._arrivals.tolist()

    def summary(self) -> Summary:
        brands = {name: counts.tally() for name, counts in self._brands.items()}
        return Summary(total=self._total.tally(), brands=brands, not_stored=self.not_stored)
