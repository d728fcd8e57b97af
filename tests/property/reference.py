"""What the outbox promises, in plain Python: a second, slow reading of the protocol that knows no SQL.

Rows are foretold exactly. Which rows a claim takes is checked and then believed; lanes are read from the database
before a claim, and what the claim may do with them is checked, beside promises that no lane may forget: what Omnisend
told, and the budget.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from soldt_outbox.rows import OutboxRow, Outcome, PauseReason, Verdict
from soldt_outbox.store import Breaker, Budget
from tests.property.driver import StoredLane, StoredRow

_EMPTIED = frozenset({Verdict.DELIVERED, Verdict.SKIPPED, Verdict.EXPIRED})


@dataclass(slots=True, kw_only=True)
class Row:
    """A row as it must be."""

    id: int
    merchant_id: UUID
    dedup_key: str
    customer: str | None
    available_at: datetime
    expires_at: datetime
    state: str = "pending"
    attempts: int = 0
    rescues: int = 0
    token: UUID | None = None
    lease_until: datetime | None = None
    settled_at: datetime | None = None
    emptied: bool = False

    @property
    def pending(self) -> bool:
        return self.state == "pending"

    def leased(self, now: datetime) -> bool:
        return self.lease_until is not None and self.lease_until > now

    def let_go(self) -> None:
        self.token = self.lease_until = None

    def settle(self, state: str, now: datetime) -> None:
        self.let_go()
        self.state, self.settled_at, self.emptied = state, now, state != "dead"


@dataclass(slots=True, kw_only=True)
class Reference:
    budget: Budget
    breaker: Breaker
    patience: (
        int  # with more due rows than this beyond those wanted, a claim need not look at all of a merchant's
    )
    rows: dict[int, Row] = field(default_factory=dict)
    logged: Counter[tuple[int, str]] = field(default_factory=Counter)
    granted: dict[UUID, list[tuple[datetime, int]]] = field(default_factory=lambda: defaultdict(list))
    told_until: dict[UUID, datetime] = field(default_factory=dict)
    probes: dict[UUID, tuple[int, datetime]] = field(default_factory=dict)  # out alone, and until when
    failures: Counter[UUID] = field(default_factory=Counter)
    disabled: set[UUID] = field(default_factory=set)

    # -- what is done ------------------------------------------------------------------------------------------------

    def written(
        self,
        now: datetime,
        row_id: int | None,
        merchant: UUID,
        dedup_key: str,
        customer: str | None,
        *,
        delay: timedelta,
        lasts: timedelta,
    ) -> None:
        known = any(r.merchant_id == merchant and r.dedup_key == dedup_key for r in self.rows.values())
        wanted = merchant not in self.disabled and not known
        assert (row_id is not None) is wanted, (
            "an occurrence exists once, and only where somebody is connected"
        )
        if row_id is not None:
            self.rows[row_id] = Row(
                id=row_id,
                merchant_id=merchant,
                dedup_key=dedup_key,
                customer=customer,
                available_at=now + delay,
                expires_at=now + lasts,
            )

    def found_due(self, now: datetime, merchants: Collection[UUID]) -> None:
        waiting = {row.merchant_id for row in self.rows.values() if row.pending}
        claimable = {merchant for merchant in waiting if self._claimable(merchant, now)}
        assert claimable <= set(merchants) <= waiting, "merchants with something to claim are found"

    def claimed(
        self,
        now: datetime,
        taken: Sequence[OutboxRow],
        *,
        asked: Collection[UUID],
        limit: int,
        lease: timedelta,
        lanes: Mapping[UUID, StoredLane],
        aside: Collection[int],
    ) -> None:
        assert len({row.id for row in taken}) == len(taken), "a row is given once"
        assert len(taken) <= limit, f"{len(taken)} rows for a limit of {limit}"
        claimable = {merchant: self._claimable(merchant, now) for merchant in asked}
        open_lanes = {m: lane for m in asked if (lane := lanes.get(m)) and self._is_open(lane, now)}
        by_merchant: dict[UUID, list[OutboxRow]] = defaultdict(list)
        for row in taken:
            by_merchant[row.merchant_id].append(row)
            self._check_taken(self.rows[row.id], row, now)
        for merchant, rows in by_merchant.items():
            assert merchant in asked, "a merchant that was not asked for"
            assert merchant in open_lanes, f"a lane that is not open: {lanes.get(merchant)}"
            assert self.told_until.get(merchant, now) <= now, "earlier than Omnisend told"
            assert merchant not in self.probes or self.probes[merchant][1] <= now, "a row beside a probe"
            if self._is_probing(open_lanes[merchant]):
                assert len(rows) == 1, "more than one probe"
                self.probes[merchant] = rows[0].id, now + lease
            self.granted[merchant].append((now, len(rows)))
            self._check_budget(merchant, now)
        if len(open_lanes) <= limit:
            share = max(1, limit // max(1, len(open_lanes)))
            for merchant, lane in open_lanes.items():
                wanted = min(share, self._allowance(lane, now))
                if lane.aside_after is None and len(self._due(merchant, now)) <= wanted + self.patience:
                    expected, got = claimable[merchant][:wanted], [row.id for row in by_merchant[merchant]]
                    assert len(got) == len(expected), "an open lane gives as many as budget and share allow"
                    if not aside:
                        assert sorted(got) == sorted(expected), "an open lane gives its oldest rows"
        for row in taken:
            mine = self.rows[row.id]
            mine.rescues += mine.token is not None
            mine.attempts += 1
            mine.token, mine.lease_until = row.lease_token, now + lease
            assert (row.attempts, row.rescues) == (mine.attempts, mine.rescues)

    def renewed(self, now: datetime, held: Sequence[OutboxRow], ids: set[int], lease: timedelta) -> None:
        mine = [row for row in self._still_held(held) if row.leased(now)]
        assert ids == {row.id for row in mine}, "renewed are the leases that still ran, and no others"
        for row in mine:
            row.lease_until = now + lease

    def settled(
        self, now: datetime, outcomes: Sequence[Outcome], ids: set[int], lanes: Mapping[UUID, StoredLane]
    ) -> None:
        ours = {row.id for row in self._still_held([o.row for o in outcomes])}
        assert ids == ours, "settled are the rows whose token still matches, and no others"
        said: dict[UUID, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            if self._still_held([outcome.row]):
                self._settle(now, self.rows[outcome.row.id], outcome)
            said[outcome.row.merchant_id].append(outcome)
        for merchant in {self.rows[row_id].merchant_id for row_id in ours}:
            if merchant in self.probes and self.probes[merchant][0] in ours:
                del self.probes[merchant]
            self._heard(now, merchant, said[merchant], lanes.get(merchant))

    def swept(self, now: datetime, count: int, lanes: Mapping[UUID, StoredLane]) -> None:
        old = [
            row
            for row in self.rows.values()
            if row.pending and not row.leased(now)
            if (lane := lanes.get(row.merchant_id))
            if lane.status == "disabled" or (row.expires_at <= now and (lane.paused_until or now) > now)
        ]
        # A row that waits for an instant to come is found when it has come.
        due = [row for row in old if row.available_at <= now]
        assert len(due) <= count <= len(old), f"{count} expired of {len(old)}, {len(due)} of them due"
        for row in due if count == len(due) else old:
            outcome = "skipped" if lanes[row.merchant_id].status == "disabled" else "expired"
            self.logged[row.id, outcome] += 1
            row.settle(outcome, now)

    def pruned(self, now: datetime, ids: Sequence[int], retention: timedelta) -> None:
        old = {row.id for row in self.rows.values() if row.settled_at and row.settled_at < now - retention}
        assert set(ids) == old, "deleted are settled rows past the retention, and no others"
        for row_id in old:
            del self.rows[row_id]

    def retried(self, now: datetime, wanted: Sequence[int], count: int) -> None:
        dead = [row for row_id in wanted if (row := self.rows[row_id]).state == "dead"]
        back = [row for row in dead if row.expires_at > now and row.merchant_id not in self.disabled]
        assert count == len(back), (
            "back come dead rows that are not past their time and that somebody would send"
        )
        for row in back:
            row.state, row.settled_at, row.available_at = "pending", None, now
            row.attempts = row.rescues = 0

    def connected(self, merchant: UUID) -> None:
        self.disabled.discard(merchant)
        self.probes.pop(merchant, None)
        self.failures[merchant] = 0

    # -- what must hold after every step -----------------------------------------------------------------------------

    def check_rows(
        self, stored: Sequence[StoredRow], logged: Mapping[tuple[int, str], int], now: datetime
    ) -> None:
        assert [row.id for row in stored] == sorted(self.rows), (
            "nothing is lost, and nothing comes from nowhere"
        )
        for row in stored:
            mine = self.rows[row.id]
            assert row.state == mine.state
            assert (row.attempts, row.rescues) == (mine.attempts, mine.rescues)
            assert (row.lease_token, row.lease_until) == (mine.token, mine.lease_until)
            assert (row.expires_at, row.settled_at) == (mine.expires_at, mine.settled_at)
            assert row.has_payload is not mine.emptied, (
                "the payload is emptied exactly when the row is settled for good"
            )
            assert (row.ordering_key is not None) == (mine.customer is not None and not mine.emptied)
            if mine.state == "dead":
                assert row.available_at is None
            elif row.available_at is None:
                # Set aside behind others of its customer; it stays so marked when it is settled.
                assert mine.customer is not None
                assert not mine.pending or mine.available_at <= now
            else:
                assert row.available_at == mine.available_at
        known = {key: n for key, n in self.logged.items() if key[0] in self.rows}
        assert {key: n for key, n in logged.items() if key[0] in self.rows} == known, (
            "one log row per attempt"
        )

    def check_lanes(self, lanes: Mapping[UUID, StoredLane], now: datetime) -> None:
        for merchant, until in self.told_until.items():
            if until > now and merchant in lanes:
                paused = lanes[merchant].paused_until
                assert paused is not None, "a pause that Omnisend asked for was forgotten"
                assert paused >= until, "a pause that Omnisend asked for was cut short"

    # -- how ---------------------------------------------------------------------------------------------------------

    def _still_held(self, held: Sequence[OutboxRow]) -> list[Row]:
        rows = ((self.rows.get(row.id), row.lease_token) for row in held)
        return [row for row, token in rows if row is not None and row.pending and row.token == token]

    def _due(self, merchant: UUID, now: datetime) -> list[Row]:
        rows = (row for row in self.rows.values() if row.merchant_id == merchant and row.pending)
        due = [row for row in rows if row.available_at <= now and not row.leased(now)]
        return sorted(due, key=lambda row: (row.available_at, row.id))

    def _claimable(self, merchant: UUID, now: datetime) -> list[int]:
        return [row.id for row in self._due(merchant, now) if not self._waits(row)]

    def _waits(self, row: Row) -> bool:
        """Whether an earlier event of the same customer has yet to be settled."""
        return row.customer is not None and any(
            other.pending and other.customer == row.customer and other.merchant_id == row.merchant_id
            for other in self.rows.values()
            if other.id < row.id
        )

    def _check_taken(self, mine: Row, row: OutboxRow, now: datetime) -> None:
        assert mine.pending, "a settled row was given"
        assert mine.available_at <= now, "a row of the future was given"
        assert not mine.leased(now), "a row has two live leases"
        assert not self._waits(mine), "a row was given before an earlier one of its customer was settled"
        assert row.expired == (mine.expires_at <= now)

    def _is_open(self, lane: StoredLane, now: datetime) -> bool:
        """Connected, not paused, and within budget."""
        if lane.status == "disabled" or (lane.paused_until is not None and lane.paused_until > now):
            return False
        return lane.theoretical_arrival_time - now + self._cost(lane, now) <= self.budget.burst_interval

    def _is_probing(self, lane: StoredLane) -> bool:
        return lane.failures_in_row > 0 and lane.paused_until is not None

    def _cost(self, lane: StoredLane, now: datetime) -> timedelta:
        throttled = lane.throttled_until is not None and lane.throttled_until > now
        return self.budget.interval * (2 if throttled else 1)

    def _allowance(self, lane: StoredLane, now: datetime) -> int:
        if self._is_probing(lane):
            return 1
        ahead = max(timedelta(), lane.theoretical_arrival_time - now)
        return max(1, (self.budget.burst_interval - ahead) // self._cost(lane, now))

    def _check_budget(self, merchant: UUID, now: datetime) -> None:
        """In no window more than the rate times its length, and the burst."""
        sent = 0
        for when, count in reversed(self.granted[merchant]):
            sent += count
            assert sent <= (now - when) / self.budget.interval + self.budget.burst, (
                f"{sent} requests in {now - when}"
            )

    def _settle(self, now: datetime, row: Row, outcome: Outcome) -> None:
        if outcome.verdict is not Verdict.RELEASE or outcome.requests_made:
            self.logged[row.id, outcome.verdict.value] += 1
        row.attempts -= not outcome.counted
        row.let_go()
        if outcome.verdict is Verdict.RETRY:
            row.available_at = now + (outcome.retry_in or timedelta())
        elif outcome.verdict is not Verdict.RELEASE:
            row.settle(outcome.verdict.value, now)
            assert row.emptied == (outcome.verdict in _EMPTIED)

    def _heard(self, now: datetime, merchant: UUID, said: Sequence[Outcome], lane: StoredLane | None) -> None:
        """What a batch says of a lane must be in the lane afterwards."""
        assert lane is not None
        for pause in (o.pause for o in said if o.pause is not None):
            assert lane.paused_until is not None
            assert lane.paused_until >= now + pause.duration, "a pause is as long as was asked"
            if pause.reason is PauseReason.THROTTLED:
                self.told_until[merchant] = max(self.told_until.get(merchant, now), now + pause.duration)
        if lane.status != "disabled" and any(o.pause and o.pause.breaks_integration for o in said):
            assert lane.status == "error", "an admin is told"
        before = self.failures[merchant]
        if any(o.healthy for o in said):
            self.failures[merchant] = 0
            self.probes.pop(merchant, None)
            return
        self.failures[merchant] += sum(o.healthy is False for o in said)
        if before < self.breaker.failures <= self.failures[merchant]:
            assert lane.paused_until is not None
            assert lane.paused_until >= now + self.breaker.pause, "unbroken failures open the breaker"
