"""What is found at the end: in the database, at the stand-in, in the workers' logs. Reads; judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import class_row, dict_row

from sandbox.demo.chronicle import Key
from sandbox.demo.soldt import Soldt
from sandbox.demo.world import World
from sandbox.omnisend import Received
from sandbox.shops import SHOPS, STRANGER_ID
from soldt_outbox.rows import State

_ROWS: Final = """
select id, merchant_id, name, dedup_key, state::text, attempts, rescues, last_error,
  payload is null and ordering_key is null
    and not exists (select from omnisend_private.kept_orders k where k.outbox_id = o.id) as emptied
from public.integrations_omnisend_outbox o order by id
"""
_LOGS: Final = """
select id, merchant_id, outbox_id, name, event_id::text, outcome, status_code, attempt, error,
  concat_ws(' ', request::text, response::text, error) as text
from public.integrations_omnisend_logs order by id
"""
_PLACED: Final = "select payment_reference from public.orders"
_STATUS: Final = "select status from public.integrations_omnisend_status"
_MERCHANTS_SEEN: Final = (
    "select merchant_id, count(*) as rows from public.integrations_omnisend_logs group by 1"
)
_ONE_LOG: Final = """
select id, created_at, name, outcome, status_code, attempt, error, event_id, request, response
from public.integrations_omnisend_logs where outbox_id = %s order by id desc limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the outbox. ``emptied`` is whether it holds no personal data any more."""

    id: int
    merchant_id: UUID
    name: str
    dedup_key: str
    state: str
    attempts: int
    rescues: int
    last_error: str | None
    emptied: bool

    @property
    def key(self) -> Key:
        return Key(self.merchant_id, self.name, self.dedup_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """A row of the log. ``text`` is everything in it that is free text or JSON."""

    id: int
    merchant_id: UUID
    outbox_id: int | None
    name: str | None
    event_id: str | None
    outcome: str | None
    status_code: int | None
    attempt: int | None
    error: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Log rows that each person can read, per merchant; ``None`` where the database refuses the question."""

    owners: Mapping[UUID, Mapping[UUID, int]]
    stranger: Mapping[UUID, int]
    visitor: Mapping[UUID, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was found. ``requests`` are the events that the stand-in was sent, in order of arrival."""

    rows: list[Row]
    logs: list[LogRow]
    requests: Mapping[UUID, list[Received]]
    placed: frozenset[str]
    statuses: Mapping[UUID, str]
    seen: Seen
    program_logs: str
    secrets: frozenset[str] = field(repr=False)

    def row(self, key: Key) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)

    def attempts_at(self, key: Key) -> list[LogRow]:
        """The log rows of one event, in order."""
        row = self.row(key)
        return [log for log in self.logs if row is not None and log.outbox_id == row.id]

    def requests_of(self, key: Key) -> list[Received]:
        """The requests that carried one event's eventID, in order."""
        return [one for one in self.requests.get(key.merchant_id, []) if one.event_id == key.event_id]

    def in_state(self, merchant_id: UUID, state: State) -> int:
        return sum(row.merchant_id == merchant_id and row.state == state.value for row in self.rows)


def gather(world: World, soldt: Soldt) -> Facts:
    """Look at everything once."""
    with world.database.connect() as conn:
        rows = _all(conn, Row, _ROWS)
        logs = _all(conn, LogRow, _LOGS)
        placed = frozenset(reference for (reference,) in conn.execute(_PLACED))
    return Facts(
        rows=rows,
        logs=logs,
        requests={
            shop.merchant_id: [
                one
                for one in world.control.received(brand=world.brands[shop.merchant_id].brand_id)
                if one.method == "POST"
            ]
            for shop in SHOPS
        },
        placed=placed,
        statuses={shop.merchant_id: status_of(soldt.admin(shop)) for shop in SHOPS},
        seen=_what_each_sees(world, soldt),
        program_logs="\n".join(worker.log.read_text(errors="replace") for worker in world.workers),
        secrets=frozenset(brand.key for brand in world.brands.values()),
    )


def _all(conn: psycopg.Connection, kind: type[Any], query: Any) -> list[Any]:
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query).fetchall()


def status_of(admin: psycopg.Connection) -> str:
    """What a shop's admin page shows of its connection."""
    row = admin.execute(_STATUS).fetchone()
    return "not connected" if row is None else str(row[0])


def _what_each_sees(world: World, soldt: Soldt) -> Seen:
    with world.database.connect("authenticated", claims={"sub": STRANGER_ID}, autocommit=True) as stranger:
        seen_by_stranger = _log_rows(stranger)
    try:
        seen_by_visitor = _log_rows(soldt.visitor)
    except psycopg.errors.InsufficientPrivilege:
        seen_by_visitor = None
    return Seen(
        owners={shop.merchant_id: _log_rows(soldt.admin(shop)) for shop in SHOPS},
        stranger=seen_by_stranger,
        visitor=seen_by_visitor,
    )


def _log_rows(conn: psycopg.Connection) -> dict[UUID, int]:
    return dict(conn.execute(_MERCHANTS_SEEN).fetchall())


def newest_log_row(admin: psycopg.Connection, outbox_id: int) -> dict[str, Any] | None:
    """The last attempt at one event, as this session may read it."""
    with admin.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_ONE_LOG, [outbox_id]).fetchone()


def taken(requests: Iterable[Received]) -> list[Received]:
    """Those that Omnisend took in, whether or not its answer arrived."""
    return [one for one in requests if one.accepted]


def answered(requests: Iterable[Received]) -> list[Received]:
    """Those that Omnisend took in and said so."""
    return [one for one in requests if one.accepted and one.status == 202]
