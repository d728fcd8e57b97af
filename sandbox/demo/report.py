"""What the demo shows at the end: tables, one log row, one customer's events. From the same facts as the checks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from sandbox.demo.checks import Check, arrivals
from sandbox.demo.chronicle import Chronicle
from sandbox.demo.facts import Facts, newest_log_row, taken
from sandbox.demo.narrator import Narrator
from sandbox.demo.people import NOMSA
from sandbox.demo.soldt import Soldt
from sandbox.demo.world import STORE_NAMES
from sandbox.omnisend import Received
from sandbox.shops import KAROO, PROTEA, SHOPS, Shop
from soldt_outbox.events import EventName
from soldt_outbox.rows import State

_ENDS: Final = (State.DELIVERED, State.SKIPPED, State.EXPIRED, State.PENDING, State.DEAD)


def show(narrator: Narrator, done: Chronicle, found: Facts, soldt: Soldt) -> None:
    """Everything but the expectations."""
    narrator.heading("What the outbox holds")
    narrator.show(_outbox(done, found))
    narrator.paragraph(
        "deduplicated: written again, and refused because it was there.", indent=3, style="dim"
    )
    narrator.heading("What Omnisend saw")
    narrator.show(_omnisend(found))
    narrator.paragraph(
        "silence: read and never answered; twice: came again with the same eventID; findings: what Omnisend would ignore.",
        indent=3,
        style="dim",
    )
    narrator.heading(f"{NOMSA.name}'s events, as they reached Omnisend")
    narrator.show(_story(done, found))
    narrator.heading(f"A row of the log, as {_name(PROTEA)}'s admin reads it under row level security")
    _record(narrator, done, found, soldt)


def _table(*headings: str) -> Table:
    """A table of numbers behind a name, narrow enough for eighty columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left", no_wrap=True, vertical="bottom")
    return table


def _outbox(done: Chronicle, found: Facts) -> Table:
    table = _table(
        "merchant", "written", "deduplicated", "delivered", "skipped", "expired", "waiting", "dead"
    )
    for shop in SHOPS:
        rows = [row for row in found.rows if row.merchant_id == shop.merchant_id]
        table.add_row(
            _name(shop),
            str(len(rows)),
            _some(done.refused[shop.merchant_id]),
            *(_some(found.in_state(shop.merchant_id, state)) for state in _ENDS),
        )
    return table


def _omnisend(found: Facts) -> Table:
    table = _table(
        "merchant", "requests", "202", "401", "429", "5xx", "silence", "events", "twice", "findings"
    )
    for shop in SHOPS:
        requests = found.requests[shop.merchant_id]
        statuses = Counter(one.status for one in requests)
        table.add_row(
            _name(shop),
            str(len(requests)),
            *(_some(statuses[status]) for status in (202, 401, 429)),
            _some(sum(count for status, count in statuses.items() if status and status >= 500)),
            _some(statuses[None]),
            str(len({one.event_id for one in taken(requests)})),
            _some(sum(one.duplicate for one in requests)),
            _some(sum(len(one.findings) for one in requests)),
        )
    return table


def _story(done: Chronicle, found: Facts) -> Table:
    keys = [one.key for one in done.occurrences.values() if one.customer == NOMSA.email]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "event", "arrived"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it says", overflow="fold")
    for number, key in enumerate(arrivals(keys, found), start=1):
        request = taken(found.requests_of(key))[0]
        table.add_row(
            str(number),
            request.event_name,
            _clock(request.arrived_at),
            _gist(request),
        )
    return table


def _gist(request: Received) -> str:
    """A few of the properties that an automation reads."""
    properties: dict[str, Any] = request.body["properties"]
    product = properties.get("product") or {}
    amount = properties.get("totalPrice") or properties.get("value") or product.get("price")
    parts = (
        ("order", properties.get("orderID")),
        (properties.get("currency") or product.get("currency"), amount and f"{amount:.2f}"),
        ("", properties.get("paymentStatus")),
        ("", properties.get("fulfillmentStatus")),
        ("parcel", (properties.get("tracking") or {}).get("code")),
    )
    return ", ".join(f"{name} {value}".strip() for name, value in parts if value is not None)


def _record(narrator: Narrator, done: Chronicle, found: Facts, soldt: Soldt) -> None:
    """One delivered event's log row as two admins see it, and one dead letter's reason."""
    key = next((key for key in done.occurrences if key.name == EventName.ORDER_FULFILLED), None)
    row = found.row(key) if key is not None else None
    mine = newest_log_row(soldt.admin(PROTEA), row.id) if row is not None else None
    if row is not None and mine is not None:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in mine.items():
            table.add_row(name, Text(_compact(value)))
        narrator.show(table)
        theirs = newest_log_row(soldt.admin(KAROO), row.id)
        narrator.paragraph(
            f"{_name(KAROO)}'s admin asks for the same row and sees {'it too' if theirs else 'nothing'}.",
            indent=3,
        )
    for dead in (row for row in found.rows if row.state == State.DEAD):
        narrator.paragraph(f"A dead letter: {dead.name} {dead.dedup_key}: {dead.last_error}", indent=3)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def show_checks(narrator: Narrator, checks: Sequence[Check]) -> None:
    """Each expectation with its mark; under one that did not hold, what was found."""
    held, broken = narrator.marks
    narrator.heading("What had to hold")
    for check in checks:
        mark, style = (held, "green") if check.held else (broken, "bold red")
        narrator.mark(mark, check.sentence, style=style)
        if not check.held:
            narrator.paragraph(f"found: {check.found}", indent=6, style="red")


def _name(shop: Shop) -> str:
    return STORE_NAMES[shop.merchant_id]


def _some(number: int) -> str:
    return str(number) if number else "-"


def _clock(instant: str | None) -> str:
    """Hours to tenths of a second of an RFC 3339 instant."""
    return instant[11:21] if instant else ""
