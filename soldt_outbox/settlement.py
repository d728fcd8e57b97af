"""What outcomes come to in the database: the parameters of ``settle``, and the statements that go before it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from soldt_outbox.database import Statement
from soldt_outbox.json_objects import encode
from soldt_outbox.rows import Kind, Outcome, Pause, PauseReason, Verdict

THROTTLED_FOR: Final = timedelta(minutes=10)  # how long the rate stays halved after a 429


def parameters(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """``results``: each row's new state and log row. ``lanes``: what the batch says about each merchant."""
    return {
        "results": _records(map(_Result.of, outcomes)),
        "lanes": _records(_Said.by(*one) for one in _by_merchant(outcomes).items()),
    }


def statements_before(outcomes: Sequence[Outcome]) -> list[Statement]:
    """What else is written in the settling transaction, each only where the lease token still matches."""
    before: list[Statement] = []
    if any(outcome.follow_ups for outcome in outcomes):
        before.append(("follow_up", _follow_ups(outcomes)))
    before.extend(_other_records(outcomes))
    return before


class _Result(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What settling writes of one outcome: a record of the statement's ``results``."""

    id: int
    token: UUID
    verdict: Verdict
    uncounted: int
    logged: bool
    error: str | None = None
    status_code: int | None = None
    retry_in: timedelta | None = None
    request: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    event_id: UUID | None = None
    contact_hash: str | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        return cls(
            id=outcome.row.id,
            token=outcome.row.lease_token,
            verdict=outcome.verdict,
            uncounted=0 if outcome.counted else 1,
            # A row handed back before anything was asked of Omnisend had no attempt.
            logged=not outcome.quiet
            and (outcome.verdict is not Verdict.RELEASE or outcome.requests_made > 0),
            error=outcome.error,
            status_code=outcome.status_code,
            retry_in=outcome.retry_in,
            request=outcome.request_log,
            response=outcome.response_log,
            event_id=outcome.event_id,
            contact_hash=outcome.contact_hash,
        )


class _Said(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a batch says about one merchant's lane and connection: a record of the statement's ``lanes``."""

    merchant_id: UUID
    healthy: bool
    failures: int
    extra: int  # requests beyond the one that the claim charged
    probe: bool
    probe_failed: bool
    delivered: bool
    pause: timedelta | None = None
    reason: PauseReason | None = None
    told: timedelta | None = None
    throttle: timedelta | None = None
    code: PauseReason | None = None
    detail: str | None = None
    credential: str | None = None
    forbidden: list[Kind] | None = None
    allowed: list[Kind] | None = None
    forbidden_detail: str | None = None

    @classmethod
    def by(cls, merchant_id: UUID, outcomes: Sequence[Outcome]) -> Self:
        """One sound answer outweighs failures beside it."""
        healthy = any(o.healthy for o in outcomes)
        said = cls(
            merchant_id=merchant_id,
            healthy=healthy,
            failures=0 if healthy else sum(o.healthy is False for o in outcomes),
            extra=sum(max(0, o.requests_made - 1) for o in outcomes),
            probe=any(o.row.probe for o in outcomes),
            probe_failed=any(o.row.probe and o.healthy is False for o in outcomes),
            delivered=any(o.verdict is Verdict.DELIVERED for o in outcomes),
        )
        pauses = [o.pause for o in outcomes if o.pause is not None]
        if pauses:
            said._add(pauses)
        if any(o.row.kind is not Kind.EVENT for o in outcomes):
            said._add_kinds(outcomes)
        return said

    def _add_kinds(self, outcomes: Sequence[Outcome]) -> None:
        """Which kinds the key may not send, and which it may. Events have no pause of their own: theirs is the lane's."""
        sent = {o.row.kind for o in outcomes if o.verdict is Verdict.DELIVERED} - {Kind.EVENT}
        forbidden = {o.row.kind: o.forbidden for o in outcomes if o.forbidden is not None}
        if sent:
            self.allowed = sorted(sent - forbidden.keys()) or None
        if forbidden:
            self.forbidden, self.forbidden_detail = sorted(forbidden), " ".join(sorted(forbidden.values()))

    def _add(self, pauses: Sequence[Pause]) -> None:
        longest = max(pauses, key=lambda pause: pause.duration)
        self.pause, self.reason = longest.duration, longest.reason
        throttled = [pause.duration for pause in pauses if pause.reason is PauseReason.THROTTLED]
        if throttled:
            self.told, self.throttle = max(throttled), THROTTLED_FOR
        broken = next((pause for pause in pauses if pause.breaks_integration), None)
        if broken is not None:
            self.code, self.detail, self.credential = broken.reason, broken.message, broken.credential


def _follow_ups(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    leading = [outcome for outcome in outcomes if outcome.follow_ups]
    return {
        "held": _records({"id": o.row.id, "token": o.row.lease_token} for o in leading),
        "rows": _records(
            {"after_id": o.row.id} | msgspec.structs.asdict(row) for o in leading for row in o.follow_ups
        ),
    }


def _other_records(outcomes: Iterable[Outcome]) -> list[Statement]:
    """What else is written, a statement each, always in the same order: two settles at once must not deadlock."""
    by_statement: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for outcome in outcomes:
        held = {"after_id": outcome.row.id, "token": outcome.row.lease_token}
        for record in outcome.records:
            by_statement[record.by].append(held | record.fields)
    return [(name, {"rows": _records(rows)}) for name, rows in sorted(by_statement.items())]


def _by_merchant(outcomes: Sequence[Outcome]) -> dict[UUID, list[Outcome]]:
    grouped: dict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        grouped[outcome.row.merchant_id].append(outcome)
    return grouped


def _records(records: Iterable[msgspec.Struct | dict[str, Any]]) -> str:
    """A JSON list for ``jsonb_to_recordset``: one parameter, whatever the number of records and of their fields."""
    return encode(list(records)).decode()
