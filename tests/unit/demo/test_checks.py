"""Each of the demo's expectations holds for what should be found, and fails for the thing it is there to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import pytest

from sandbox.demo.checks import check_all
from sandbox.demo.chronicle import Chronicle, Key, Killing, Revocation, Throttling
from sandbox.demo.facts import Facts, LogRow, Row, Seen
from sandbox.omnisend import Finding, Received
from sandbox.shops import BO_KAAP, KAROO, PROTEA, SHOPS, Shop
from soldt_outbox.rows import State

CUSTOMER = "ann@example.com"
PLACED = Key(PROTEA.merchant_id, "order_placed", "1")
PAID = Key(PROTEA.merchant_id, "order_paid", "1")
SHIPPED = Key(PROTEA.merchant_id, "order_fulfilled", "1")
BROKEN = Key(PROTEA.merchant_id, "order_placed", "2")
WAITED = Key(KAROO.merchant_id, "order_placed", "3")
SLOWED = Key(BO_KAAP.merchant_id, "order_placed", "4")
TOLD = (PLACED, PAID, SHIPPED, WAITED, SLOWED)
KEY = "203bdbc36a412e0a512c6286-a-secret"


def request(key: Key, seq: int, **changes: Any) -> Received:
    """An event as the stand-in took it in, a second after the one before."""
    body = {"properties": {"tracking": {"code": "TCG-1"}}} if key == SHIPPED else {"properties": {}}
    taken = Received(
        seq=seq,
        arrived_at="2026-11-22T10:00:00Z",
        arrived_monotonic=float(seq),
        method="POST",
        path="/v5/events",
        brand="203bdbc36a412e0a512c6286",
        key="203bdbc36a412e0a512c6286-****",
        status=202,
        outcome="answered",
        fault=None,
        event_name=key.name,
        event_id=key.event_id,
        event_time="2026-11-22T09:59:59Z",
        accepted=True,
        duplicate=False,
        processed=True,
        body=body,
        body_sha256="",
        findings=[],
    )
    return msgspec.structs.replace(taken, **changes)


def row(number: int, key: Key, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "state": "delivered",
        "attempts": 1,
        "rescues": 0,
        "last_error": None,
        "emptied": True,
    }
    return Row(
        id=number,
        merchant_id=key.merchant_id,
        name=key.name,
        dedup_key=key.dedup_key,
        **(fields | changes),
    )


def log(number: int, key: Key, outbox_id: int, **changes: Any) -> LogRow:
    fields: dict[str, Any] = {
        "outcome": "delivered",
        "status_code": 202,
        "error": None,
        "text": "an***@example.com",
    }
    return LogRow(
        id=number,
        merchant_id=key.merchant_id,
        outbox_id=outbox_id,
        name=key.name,
        event_id=key.event_id,
        attempt=1,
        **(fields | changes),
    )


def done() -> Chronicle:
    """One order of Protea's that was killed, unanswered, refused with 500 and shipped; a broken one; two shops in trouble."""
    chronicle = Chronicle(
        rolled_back=["EFT-9"],
        tracking={SHIPPED: "TCG-1"},
        told_later={PAID},
        unanswered={PLACED},
        killing=Killing(worker="worker.1", rows=frozenset({1}), still_running=False),
        revocation=Revocation(
            shop=KAROO, status="error", code="AUTH", waiting=frozenset({WAITED}), delivered_elsewhere=2
        ),
        throttling=Throttling(shop=BO_KAAP, seconds=3),
    )
    for key in (*TOLD, BROKEN):
        fate = State.DEAD if key == BROKEN else State.DELIVERED
        chronicle.happened(key, customer=CUSTOMER, fate=fate)
    chronicle.happened(PLACED, customer=CUSTOMER, refused=True)
    return chronicle


def found() -> Facts:
    unanswered = "no whole answer: Omnisend may have acted; sent again"
    ids = {key: number for number, key in enumerate((*TOLD, BROKEN), start=1)}
    rows = [row(number, key) for key, number in ids.items()]
    rows[0] = replace(rows[0], rescues=1)
    rows[-1] = replace(rows[-1], state="dead", last_error="items: is text", emptied=False)
    logs = [log(number, key, number) for key, number in ids.items()]
    logs.append(log(7, PLACED, 1, outcome="retry", status_code=None, error=unanswered))
    logs.append(log(8, PAID, 2, outcome="retry", status_code=500))
    own = {shop.merchant_id: sum(one.merchant_id == shop.merchant_id for one in logs) for shop in SHOPS}
    return Facts(
        rows=rows,
        logs=logs,
        requests={
            PROTEA.merchant_id: [
                request(PLACED, 1, status=None, outcome="hang"),
                request(PLACED, 2, duplicate=True),
                request(PAID, 3, status=500, accepted=False),
                request(PAID, 4),
                request(SHIPPED, 5),
            ],
            KAROO.merchant_id: [request(WAITED, 6, status=401, accepted=False), request(WAITED, 7)],
            BO_KAAP.merchant_id: [request(SLOWED, 8, status=429, accepted=False), request(SLOWED, 12)],
        },
        placed=frozenset({"EFT-1"}),
        statuses={shop.merchant_id: "connected" for shop in SHOPS},
        seen=Seen(
            owners={merchant_id: {merchant_id: count} for merchant_id, count in own.items()},
            stranger={},
            visitor=None,
        ),
        program_logs='{"event": "started"}',
        secrets=frozenset({KEY}),
    )


def broken(chronicle: Chronicle, facts: Facts) -> list[str]:
    return [f"{check.sentence}: {check.found}" for check in check_all(chronicle, facts) if not check.held]


def test_every_expectation_holds_for_what_should_be_found() -> None:
    assert broken(done(), found()) == []


def of_row(number: int, **changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts, rows=[replace(one, **changes) if one.id == number else one for one in facts.rows]
    )


def of_log(number: int, **changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts, logs=[replace(one, **changes) if one.id == number else one for one in facts.logs]
    )


def of_requests(shop: Shop, change: Callable[[list[Received]], list[Received]]) -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts,
        requests={**facts.requests, shop.merchant_id: change(list(facts.requests[shop.merchant_id]))},
    )


def of_seen(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, seen=replace(facts.seen, **changes))


def with_finding(requests: list[Received]) -> list[Received]:
    finding = Finding("ignored", "property_unknown", "properties.taxPrice", "is totalTax meant?")
    return [*requests[:-1], msgspec.structs.replace(requests[-1], findings=[finding])]


STRANGE = UUID(int=9)
DAMAGES: list[tuple[str, Callable[[Facts], Facts]]] = [
    ("is there 0 times", lambda facts: replace(facts, rows=facts.rows[1:])),
    ("is there 2 times", lambda facts: replace(facts, rows=[*facts.rows, row(9, PLACED)])),
    (
        "was never written",
        lambda facts: replace(facts, rows=[*facts.rows, row(9, PLACED._replace(dedup_key="9"))]),
    ),
    ("order EFT-9 exists", lambda facts: replace(facts, placed=frozenset({"EFT-9"}))),
    ("order_paid 1 is dead", of_row(2, state="dead", last_error="items", emptied=False)),
    ("order_paid 1 waits: later", of_row(2, state="pending", last_error="later")),
    ("order_fulfilled 1 was confirmed 0 times", of_requests(PROTEA, lambda requests: requests[:-1])),
    (
        "order_paid 1 was confirmed 2 times",
        of_requests(PROTEA, lambda requests: [*requests, request(PAID, 20)]),
    ),
    (
        "sent again after it was confirmed",
        of_requests(PROTEA, lambda requests: [*requests, request(PAID, 20)]),
    ),
    (
        "came with different eventTimes",
        of_requests(
            PROTEA, lambda requests: [*requests, request(PLACED, 20, event_time="2026-11-22T11:00:00Z")]
        ),
    ),
    (
        "order_paid with eventID 00000000",
        of_requests(PROTEA, lambda requests: [*requests, request(PAID, 20, event_id=str(STRANGE))]),
    ),
    ("properties.taxPrice is totalTax meant?", of_requests(PROTEA, with_finding)),
    (
        "ann@example.com: order_paid, then order_placed, then order_fulfilled",
        of_requests(PROTEA, lambda requests: [request(PAID, 0), *requests[:2], request(SHIPPED, 5)]),
    ),
    ("was not taken over", of_row(1, rescues=0)),
    ("has 2 attempts instead of 1", of_row(4, attempts=2)),
    (
        "it is now error",
        lambda facts: replace(facts, statuses={**facts.statuses, KAROO.merchant_id: "error"}),
    ),
    (
        "came 2.0 s after a 429",
        of_requests(BO_KAAP, lambda requests: [requests[0], request(SLOWED, 10)]),
    ),
    ("there was no 429", of_requests(BO_KAAP, lambda requests: requests[1:])),
    ("order_paid 1: delivered 202, then retry 503", of_log(8, status_code=503)),
    ("order_placed 1: delivered 202, then retry timed out", of_log(7, error="timed out")),
    ("went out without TCG-1", of_requests(PROTEA, lambda r: [*r[:-1], request(SHIPPED, 5, body={})])),
    ("order_placed 2: it is broken", of_row(6, last_error="it is broken")),
    ("order_paid 1", of_row(2, emptied=False)),
    ("order_placed 2", lambda facts: replace(facts, logs=[one for one in facts.logs if one.outbox_id != 6])),
    ("sees", of_seen(owners={PROTEA.merchant_id: {PROTEA.merchant_id: 6, KAROO.merchant_id: 1}})),
    ("somebody without a shop", of_seen(stranger={PROTEA.merchant_id: 1})),
    ("a visitor may ask", of_seen(visitor={})),
    ("log row 3 holds an address", of_log(3, text=f"to {CUSTOMER}")),
    ("a program log holds a key", lambda facts: replace(facts, program_logs=KEY)),
]


@pytest.mark.parametrize(("words", "damage"), DAMAGES, ids=[words for words, _ in DAMAGES])
def test_each_expectation_sees_what_it_is_there_to_see(words: str, damage: Callable[[Facts], Facts]) -> None:
    told = broken(done(), damage(found()))
    assert any(words in one for one in told), told


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("it was sending nothing", {"killing": Killing(worker="w", rows=frozenset(), still_running=False)}),
        ("w is still running", {"killing": Killing(worker="w", rows=frozenset({1}), still_running=True)}),
        ("it refused 1", {"written_again": {PROTEA.merchant_id: 2}}),
    ],
)
def test_what_a_scene_noted_is_judged_too(words: str, changes: dict[str, Any]) -> None:
    chronicle = done()
    for name, value in changes.items():
        if name == "written_again":
            chronicle.written_again.update({PROTEA.merchant_id: 1})
        else:
            setattr(chronicle, name, value)
    assert any(words in one for one in broken(chronicle, found()))


def test_a_merchant_whose_admin_was_told_nothing_is_seen() -> None:
    chronicle = done()
    assert chronicle.revocation is not None
    chronicle.revocation = replace(
        chronicle.revocation, status="connected", code=None, waiting=frozenset(), delivered_elsewhere=0
    )
    told = " ".join(broken(chronicle, found()))
    for words in ("the admin read connected", "nothing waited", "nothing was delivered for the others"):
        assert words in told


def test_a_long_list_of_what_is_wrong_is_cut() -> None:
    many = [row(number, PLACED._replace(dedup_key=str(number))) for number in range(100, 120)]
    facts = found()
    told = broken(done(), replace(facts, rows=[*facts.rows, *many]))
    assert any(one.endswith("; and 15 more") for one in told), told
