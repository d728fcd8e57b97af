"""The demo's expectations: what was done against what was found. Pure, so that a test can doctor either.

None of them holds a number of its own: each is derived from the chronicle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sandbox.demo.chronicle import Chronicle, Key, Occurrence
from sandbox.demo.facts import Facts, LogRow, answered, taken
from soldt_outbox.rows import PauseReason, State, Verdict

_UNDER_WAY_S: Final = 1.0  # what was being sent when a 429 came may still arrive; a loaded machine is slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One expectation. ``found`` says what was found instead, and is empty where the expectation held."""

    sentence: str
    found: str = ""

    @property
    def held(self) -> bool:
        return not self.found


def check_all(done: Chronicle, found: Facts) -> list[Check]:
    """Every expectation, in the order in which a reader would ask."""
    return [
        *_written(done, found),
        *_delivered(done, found),
        *_in_order(done, found),
        *_through_trouble(done, found),
        *_on_record(done, found),
    ]


def _written(done: Chronicle, found: Facts) -> Iterable[Check]:
    counts = Counter(row.key for row in found.rows)
    wrong = [f"{_name(key)} is there {counts[key]} times" for key in done.occurrences if counts[key] != 1]
    yield _check(
        f"Each of the {len(done.occurrences)} events that were written stands in the outbox exactly once",
        wrong,
    )
    yield _check(
        "Nothing else does: an order that was rolled back left no row behind",
        [f"{_name(key)} was never written" for key in counts if key not in done.occurrences]
        + [f"order {reference} exists" for reference in done.rolled_back if reference in found.placed],
    )
    again = done.written_again.total()
    yield _check(
        f"The database refused all {again} repetitions of an event it had",
        [f"it refused {done.refused.total()}"] if done.refused != done.written_again else [],
    )


def _delivered(done: Chronicle, found: Facts) -> Iterable[Check]:
    for fate, sentence in (
        (State.DELIVERED, "Every event that can be told was delivered: {}"),
        (State.SKIPPED, "An event without a customer was skipped: {}"),
        (State.EXPIRED, "An event that was old news was not sent: {}"),
        (State.DEAD, "An event that cannot be told is a dead letter: {}"),
    ):
        meant = _with_fate(done, fate)
        yield _check(
            sentence.format(len(meant)),
            [
                f"{_name(one.key)} is {_state(found, one.key)}"
                for one in meant
                if _state(found, one.key) != fate
            ],
        )
    yield _check(
        "Nothing waits any more",
        [f"{_name(row.key)} waits: {row.last_error}" for row in found.rows if row.state == State.PENDING],
    )
    delivered = _with_fate(done, State.DELIVERED)
    yield _check(
        "Omnisend confirmed each of them exactly once, under the eventID that was expected",
        [
            f"{_name(one.key)} was confirmed {times} times"
            for one in delivered
            if (times := len(answered(found.requests_of(one.key)))) != 1
        ],
    )
    yield _check(
        "It had an event twice only where its first answer never arrived, and then with the same eventID and eventTime",
        [problem for one in delivered if (problem := _unexplained_duplicate(one.key, found))],
    )
    expected = {one.key.event_id for one in delivered}
    strange = [
        one for requests in found.requests.values() for one in requests if one.event_id not in expected
    ]
    yield _check(
        "It was sent nothing else", [f"{one.event_name} with eventID {one.event_id}" for one in strange]
    )
    yield _check(
        "It had nothing to object to in any of them: every name, type and amount is as documented",
        sorted(
            {
                f"{one.event_name}: {finding.path} {finding.message}"
                for requests in found.requests.values()
                for one in requests
                for finding in one.findings
            }
        ),
    )


def _unexplained_duplicate(key: Key, found: Facts) -> str | None:
    received = taken(found.requests_of(key))
    if len({one.event_time for one in received}) > 1:
        return f"{_name(key)} came with different eventTimes"
    confirmed = [one for one in received[:-1] if one.status == 202]
    return f"{_name(key)} was sent again after it was confirmed" if confirmed else None


def _in_order(done: Chronicle, found: Facts) -> Iterable[Check]:
    wrong = []
    several = 0
    for customer in done.customers():
        for merchant_id in dict.fromkeys(key.merchant_id for key in done.occurrences):
            keys = _told(done, customer, merchant_id)
            several += len(keys) > 1
            arrived = arrivals(keys, found)
            if arrived != keys:
                wrong.append(f"{customer}: {', then '.join(key.name for key in arrived)}")
    yield _check(
        f"Every customer's events arrived in the order in which they happened ({several} customers had several)",
        wrong,
    )


def arrivals(keys: Sequence[Key], found: Facts) -> list[Key]:
    """``keys`` in the order in which Omnisend first took each in; without those it never did."""
    first = {key: taken(found.requests_of(key)) for key in keys}
    return sorted((key for key in keys if first[key]), key=lambda key: first[key][0].seq)


def _told(done: Chronicle, customer: str, merchant_id: UUID) -> list[Key]:
    return [
        one.key
        for one in done.occurrences.values()
        if one.customer == customer and one.key.merchant_id == merchant_id and one.fate is State.DELIVERED
    ]


def _through_trouble(done: Chronicle, found: Facts) -> Iterable[Check]:
    if done.killing is not None:
        rows = [row for row in found.rows if row.id in done.killing.rows]
        wrong = [f"{_name(row.key)} was not taken over" for row in rows if row.rescues < 1]
        wrong += [f"{done.killing.worker} is still running"] if done.killing.still_running else []
        yield _check(
            f"What {done.killing.worker} was sending when it was killed, another worker took over: {len(rows)}",
            wrong or ([] if rows else ["it was sending nothing"]),
        )
    if done.revocation is not None:
        yield _revocation(done, found)
    if done.throttling is not None:
        yield _throttling(done, found)
    yield _check(
        f"A 500 was tried again later: {len(done.told_later)}",
        [
            f"{_name(key)}: {_as_read(found.attempts_at(key))}"
            for key in sorted(done.told_later)
            if not any(
                log.status_code == 500 and log.outcome == Verdict.RETRY for log in found.attempts_at(key)
            )
        ],
    )
    yield _check(
        f"The log admits where Omnisend may have acted although no answer came: {len(done.unanswered)}",
        [
            f"{_name(key)}: {_as_read(found.attempts_at(key))}"
            for key in sorted(done.unanswered)
            if not any("Omnisend may have acted" in (log.error or "") for log in found.attempts_at(key))
        ],
    )
    yield _check(
        "A tracking number that was saved after the status went out with the shipment",
        [
            f"{_name(key)} went out without {code}"
            for key, code in done.tracking.items()
            if not any(_tracking_code(one.body) == code for one in taken(found.requests_of(key)))
        ],
    )


def _revocation(done: Chronicle, found: Facts) -> Check:
    revoked = done.revocation
    assert revoked is not None  # noqa: S101 - asked before
    wrong = []
    if (revoked.status, revoked.code) != ("error", PauseReason.AUTH):
        wrong.append(f"the admin read {revoked.status} ({revoked.code})")
    if not revoked.waiting:
        wrong.append("nothing waited")
    if not revoked.delivered_elsewhere:
        wrong.append("nothing was delivered for the others meanwhile")
    for key in revoked.waiting:
        row = found.row(key)
        if row is None or row.attempts != 1:
            wrong.append(f"{_name(key)} has {row.attempts if row else 'no'} attempts instead of 1")
    now = found.statuses.get(revoked.shop.merchant_id)
    if now != "connected":
        wrong.append(f"it is now {now}")
    return _check(
        f"While one merchant's key was revoked its admin read why, {len(revoked.waiting)} events waited uncounted, "
        f"{revoked.delivered_elsewhere} of others were delivered, and a new key put it right",
        wrong,
    )


def _throttling(done: Chronicle, found: Facts) -> Check:
    told = done.throttling
    assert told is not None  # noqa: S101 - asked before
    requests = found.requests[told.shop.merchant_id]
    refused = [one for one in requests if one.status == 429]
    early = [
        f"{one.event_name} came {one.arrived_monotonic - refusal.arrived_monotonic:.1f} s after a 429"
        for refusal in refused
        for one in requests
        if _UNDER_WAY_S < one.arrived_monotonic - refusal.arrived_monotonic < told.seconds
    ]
    return _check(
        f"After a 429 nothing was sent for that merchant before the {told.seconds:g} s were over ({len(refused)} refused)",
        early if refused else ["there was no 429"],
    )


def _on_record(done: Chronicle, found: Facts) -> Iterable[Check]:
    yield _check(
        "Each dead letter names the field that is wrong, and keeps its payload until somebody decides",
        [
            f"{_name(row.key)}: {row.last_error}"
            for row in found.rows
            if row.state == State.DEAD and ("items" not in (row.last_error or "") or row.emptied)
        ],
    )
    yield _check(
        "Every other settled row holds no personal data any more",
        [
            _name(row.key)
            for row in found.rows
            if row.state not in {State.PENDING, State.DEAD} and not row.emptied
        ],
    )
    logged = {log.outbox_id for log in found.logs}
    yield _check(
        "Every event has its log row", [_name(row.key) for row in found.rows if row.id not in logged]
    )
    yield _sight(found)
    customers = done.customers()
    texts = {f"log row {log.id}": log.text for log in found.logs} | {"a program log": found.program_logs}
    yield _check(
        "No log holds a customer's address or an API key",
        [
            f"{where} holds {'a key' if secret in found.secrets else 'an address'}"
            for where, text in texts.items()
            for secret in (*customers, *found.secrets)
            if secret in text
        ],
    )


def _sight(found: Facts) -> Check:
    wrong = []
    for merchant_id, seen in found.seen.owners.items():
        own = sum(log.merchant_id == merchant_id for log in found.logs)
        if dict(seen) != {merchant_id: own}:
            wrong.append(f"an admin of {merchant_id} sees {dict(seen)} instead of {own} of their own")
    if found.seen.stranger:
        wrong.append("somebody without a shop sees log rows")
    if found.seen.visitor is not None:
        wrong.append("a visitor may ask for log rows")
    return _check(
        "A merchant's admin sees all of their log rows and nobody else's; a stranger sees none, a visitor may not ask",
        wrong,
    )


def _check(sentence: str, wrong: Sequence[str]) -> Check:
    more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return Check(sentence=sentence, found="; ".join(wrong[:5]) + more)


def _with_fate(done: Chronicle, fate: State) -> list[Occurrence]:
    return [one for one in done.occurrences.values() if one.fate is fate]


def _state(found: Facts, key: Key) -> str:
    row = found.row(key)
    return "not there" if row is None else row.state


def _name(key: Key) -> str:
    return f"{key.name} {key.dedup_key}"


def _as_read(logs: Sequence[LogRow]) -> str:
    return (
        ", then ".join(f"{log.outcome} {log.status_code or log.error or ''}".strip() for log in logs)
        or "no log"
    )


def _tracking_code(body: object) -> object:
    properties = body.get("properties") if isinstance(body, dict) else None
    tracking = properties.get("tracking") if isinstance(properties, dict) else None
    return tracking.get("code") if isinstance(tracking, dict) else None
