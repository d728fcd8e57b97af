"""Rows and outcomes out of thin air, a clock that stands still, and a store that does as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from soldt_outbox.rows import Due, Kind, OutboxRow, Outcome, Verdict

SHOP = UUID(int=1)
OTHER_SHOP = UUID(int=2)
_IDS = itertools.count(1)


def row(**changes: Any) -> OutboxRow:
    fields: dict[str, Any] = {
        "id": next(_IDS),
        "merchant_id": SHOP,
        "kind": Kind.EVENT,
        "name": "order_placed",
        "dedup_key": "1",
        "payload": {},
        "occurred_at": datetime(2026, 11, 21, tzinfo=UTC),
        "expires_at": None,
        "expired": False,
        "attempts": 1,
        "rescues": 0,
        "lease_token": uuid4(),
        "created_at": datetime(2026, 11, 21, tzinfo=UTC),
    }
    return OutboxRow(**fields | changes)


def delivered(**changes: Any) -> Outcome:
    return Outcome(row=row(**changes), verdict=Verdict.DELIVERED, healthy=True, requests_made=1)


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


class ScriptedStore:
    """What the worker's parts ask of a store; each answer is a function a test may replace."""

    def __init__(self) -> None:
        self.settled: list[list[Outcome]] = []
        self.claims: list[tuple[list[UUID], int]] = []
        self.due: list[UUID] = [SHOP]
        self.rows: list[OutboxRow] = []
        self.on_settle: Callable[[Sequence[Outcome]], set[int] | None] = lambda _: None
        self.on_claim: Callable[[Sequence[UUID], int], list[OutboxRow]] = lambda _merchants, _limit: []

    async def settle(self, outcomes: Sequence[Outcome]) -> set[int]:
        answer = self.on_settle(outcomes)
        self.settled.append(list(outcomes))
        return {outcome.row.id for outcome in outcomes} if answer is None else answer

    async def due_merchants(self) -> list[Due]:
        return [Due(merchant_id=merchant, kind=Kind.EVENT) for merchant in self.due]

    async def claim(
        self, asked: Sequence[Due], *, limit: int, worker_id: str, lease: timedelta
    ) -> list[OutboxRow]:
        merchants = [due.merchant_id for due in asked]
        self.claims.append((merchants, limit))
        return self.on_claim(merchants, limit)
