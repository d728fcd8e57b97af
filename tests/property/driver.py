"""The real Store over one ordinary connection: its SQL, without a loop, a pool or a pipeline in between.

Time passes by moving every instant in the tables back; no clock is ever set. Instants are told in the example's own
time, which is the database's plus what was moved back, so that they can be compared across such moves.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, class_row, dict_row
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads

from sandbox.shops import SHOPS, Shop
from sandbox.world import Database
from soldt_outbox.json_objects import decode, encode
from soldt_outbox.sql import queries
from soldt_outbox.store import Breaker, Budget, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A row of the outbox. ``available_at`` is None for one that is dead or was set aside."""

    id: int
    merchant_id: UUID
    ordering_key: str | None
    has_payload: bool
    state: str
    attempts: int
    rescues: int
    available_at: datetime | None
    lease_token: UUID | None
    lease_until: datetime | None
    expires_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLane:
    """A merchant's lane and the state of its connection."""

    merchant_id: UUID
    status: str
    paused_until: datetime | None
    pause_reason: str | None
    throttled_until: datetime | None
    failures_in_row: int
    theoretical_arrival_time: datetime
    last_served_at: datetime
    aside_after: datetime | None


def finish(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("the coroutine waits for something")


class SyncDatabase:
    """Stands where ``AsyncDatabase`` stands, and remembers when its last statement ran, by the database's clock."""

    def __init__(self, conn: psycopg.Connection[DictRow], statements: Mapping[str, str] = queries) -> None:
        self.conn = conn
        self.now: datetime | None = None
        self._statements = statements
        set_json_loads(decode, conn)
        set_json_dumps(encode, conn)
        conn.prepare_threshold = None

    async def run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        before: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> list[DictRow]:
        return await self.run_as(dict_row, name, parameters, before=before)

    async def run_as(
        self,
        row_factory: Any,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        before: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> list[Any]:
        with self.conn.transaction():
            for other, its_parameters in before:
                self.conn.execute(self._statements[other], its_parameters)
            cursor = self.conn.cursor(row_factory=row_factory)
            cursor.execute(self._statements[name], parameters)
            rows = cursor.fetchall() if cursor.description is not None else []
            self.now = self.conn.execute("select now()").fetchone()["now"]
        return rows


class Driver:
    """One database, from the side of workers, of shops that write events, and of a clock."""

    def __init__(
        self,
        database: Database,
        *,
        budget: Budget,
        breaker: Breaker,
        patience: int,
        statements: Mapping[str, str] = queries,
    ) -> None:
        self._database = database
        self._rules: dict[str, Any] = {"budget": budget, "breaker": breaker, "patience": patience}
        self._statements = statements
        self._open = ExitStack()
        self._passed = timedelta()

    def __enter__(self) -> Self:
        connect, options = self._open.enter_context, {"row_factory": dict_row, "autocommit": True}
        self._god = connect(psycopg.connect(self._database.url(self._database.superuser), **options))
        self._admin = connect(self._database.connect("authenticated", autocommit=True))
        worker = connect(psycopg.connect(self._database.url("omnisend_worker"), **options))
        self._worker = SyncDatabase(worker, self._statements)
        self.store = Store(self._worker, **self._rules)  # type: ignore[arg-type]
        self._god.execute(
            """
            truncate public.integrations_omnisend_outbox, public.integrations_omnisend_lanes,
              public.integrations_omnisend_logs, public.integrations_omnisend
            """
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def now(self) -> datetime:
        """When the last statement of the store or of ``run`` ran."""
        assert self._worker.now is not None
        return self._worker.now + self._passed

    def run(self, name: str, /, **parameters: Any) -> list[DictRow]:
        """A statement that the store has no method for."""
        return finish(self._worker.run(name, parameters))

    def pass_time(self, duration: timedelta) -> None:
        """Move every instant in the tables back."""
        self._passed += duration
        self._god.execute(
            """
            with outbox as (
              update public.integrations_omnisend_outbox
              set available_at = case when available_at < '5000-01-01' then available_at - %(d)s else available_at end, lease_until = lease_until - %(d)s, occurred_at = occurred_at - %(d)s,
                expires_at = expires_at - %(d)s, created_at = created_at - %(d)s, settled_at = settled_at - %(d)s
            ), lanes as (
              update public.integrations_omnisend_lanes
              set theoretical_arrival_time = theoretical_arrival_time - %(d)s, paused_until = paused_until - %(d)s,
                throttled_until = throttled_until - %(d)s, told_until = told_until - %(d)s, last_served_at = last_served_at - %(d)s
            ), connections as (
              update public.integrations_omnisend set last_event_at = last_event_at - %(d)s
            )
            update public.integrations_omnisend_logs set created_at = created_at - %(d)s
            """,
            {"d": duration},
        )

    def connect(self, shop: Shop) -> None:
        """A key is saved for the shop."""
        self.run(
            "connect",
            merchant_id=shop.merchant_id,
            api_key_enc=None,
            brand_id=None,
            currency=None,
            country_code=None,
        )

    def set_status(self, shop: Shop, status: str) -> None:
        self._god.execute(
            "update public.integrations_omnisend set status = %s where merchant_id = %s",
            [status, shop.merchant_id],
        )

    def enqueue(
        self, shop: Shop, dedup_key: str, customer: str | None, *, delay: timedelta, lasts: timedelta
    ) -> int | None:
        """Write an event as a shop does; its id, or None where it was there already."""
        payload = {"properties": {}, "note": dedup_key} | (
            {"contact": {"email": customer}} if customer else {}
        )
        written = self.run(
            "enqueue",
            merchant_id=shop.merchant_id,
            name="order_placed",
            payload=Jsonb(payload),
            dedup_key=dedup_key,
            occurred_at=None,
            ordering_key=None,
            kind="event",
        )[0]["id"]
        if written is not None:
            self._god.execute(
                """
                update public.integrations_omnisend_outbox
                set available_at = created_at + %s, expires_at = created_at + %s where id = %s
                """,
                [delay, lasts, written],
            )
        return written

    def retry_as_admin(self, shop: Shop, ids: list[int]) -> int:
        """The shop's owner puts dead rows back."""
        with self._admin.transaction():
            self._admin.execute(
                "select set_config('request.jwt.claims', json_build_object('role', 'authenticated', 'sub', %s::text)::text, true)",
                [shop.owner_id],
            )
            row = self._admin.execute("select public.omnisend_retry(%s), now()", [ids]).fetchone()
        self._worker.now = row[1]
        return int(row[0])

    def rows(self) -> list[StoredRow]:
        with self._god.cursor(row_factory=class_row(StoredRow)) as cursor:
            return cursor.execute(
                """
                select id, merchant_id, ordering_key, payload is not null as has_payload, state::text, attempts, rescues,
                  case when available_at < '5000-01-01' then available_at + %(d)s end as available_at, lease_token,
                  lease_until + %(d)s as lease_until, expires_at + %(d)s as expires_at, settled_at + %(d)s as settled_at
                from public.integrations_omnisend_outbox order by id
                """,
                {"d": self._passed},
            ).fetchall()

    def lanes(self) -> dict[UUID, StoredLane]:
        with self._god.cursor(row_factory=class_row(StoredLane)) as cursor:
            found = cursor.execute(
                """
                select merchant_id, i.status, l.paused_until + %(d)s as paused_until, l.pause_reason,
                  l.throttled_until + %(d)s as throttled_until, l.failures_in_row,
                  l.theoretical_arrival_time + %(d)s as theoretical_arrival_time, l.last_served_at + %(d)s as last_served_at, l.aside_after
                from public.integrations_omnisend_lanes l join public.integrations_omnisend i using (merchant_id)
                """,
                {"d": self._passed},
            ).fetchall()
        return {lane.merchant_id: lane for lane in found}

    def logged(self) -> dict[tuple[int, str], int]:
        """How many log rows there are, by row of the outbox and outcome."""
        found = self._god.execute(
            "select outbox_id, outcome, count(*) as n from public.integrations_omnisend_logs group by 1, 2"
        ).fetchall()
        return {(row["outbox_id"], row["outcome"]): row["n"] for row in found}


MERCHANTS = {shop.merchant_id: shop for shop in SHOPS}
