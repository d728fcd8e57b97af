"""What settling does for rows that are no events: a kind the key may not send waits alone, and rows follow from rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sandbox.shops import PROTEA
from soldt_outbox.database import open_database
from soldt_outbox.rows import FollowUp, Kind, OutboxRow, Outcome, Verdict
from soldt_outbox.store import Budget, Store
from tests.support.worker import PLENTY, Scene

LEASE = timedelta(seconds=60)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
async def store(scene: Scene) -> AsyncIterator[Store]:
    scene.connect()
    async with open_database(scene.database.url("omnisend_worker"), application_name="test") as database:
        yield Store(database, budget=Budget.below(PLENTY))


def _write(scene: Scene, *kinds: Kind) -> None:
    for kind in kinds:
        scene.query(
            """insert into integrations_omnisend_outbox (merchant_id, kind, name, dedup_key)
            values (%s, %s, 'something', gen_random_uuid()::text) returning id""",
            [PROTEA.merchant_id, kind],
        )


async def _claim(store: Store) -> list[OutboxRow]:
    due = await store.due_merchants()
    return await store.claim(due, limit=10, worker_id="test", lease=LEASE) if due else []


async def _settle(store: Store, rows: Sequence[OutboxRow], verdict: Verdict, **more: Any) -> None:
    outcomes = [Outcome(row=row, verdict=verdict, requests_made=1, healthy=True, **more) for row in rows]
    assert await store.settle(outcomes) == {row.id for row in rows}


async def test_a_kind_that_the_key_may_not_send_waits_and_the_others_go_on(
    scene: Scene, store: Store
) -> None:
    _write(scene, Kind.PRODUCT)
    await _settle(
        store, await _claim(store), Verdict.RELEASE, counted=False, forbidden="product needs products.write."
    )
    _write(scene, Kind.PRODUCT, Kind.EVENT)
    assert {due.kind for due in await store.due_merchants()} == {Kind.EVENT}
    assert [row.kind for row in await _claim(store)] == [Kind.EVENT]
    (told,) = [log for log in scene.logs() if log["kind"] == "lane"]
    assert (told["name"], told["outcome"], told["error"]) == (
        "FORBIDDEN",
        "paused",
        "product needs products.write.",
    )
    assert scene.connection()["status"] == "connected"

    scene.query("update integrations_omnisend_lanes set forbidden_until = now() returning merchant_id")
    await _settle(store, await _claim(store), Verdict.DELIVERED)
    assert scene.lane()["forbidden_kinds"] == "{}"
    assert [log["outcome"] for log in scene.logs() if log["kind"] == "lane"] == ["paused", "resumed"]


async def test_a_new_key_is_asked_at_once_for_what_the_old_one_might_not_do(
    scene: Scene, store: Store
) -> None:
    _write(scene, Kind.CONTACT)
    await _settle(
        store, await _claim(store), Verdict.RELEASE, counted=False, forbidden="contact needs contacts.write."
    )
    assert await store.due_merchants() == []
    scene.connect()
    assert {due.kind for due in await store.due_merchants()} == {Kind.CONTACT}


async def test_what_waits_for_a_permission_too_long_expires(scene: Scene, store: Store) -> None:
    _write(scene, Kind.CONTACT)
    await _settle(
        store, await _claim(store), Verdict.RELEASE, counted=False, forbidden="contact needs contacts.write."
    )
    scene.query("update integrations_omnisend_outbox set expires_at = now() returning id")
    assert await store.expire_waiting(limit=10) == 1


def _follow_up(**changes: Any) -> FollowUp:
    given: dict[str, Any] = {
        "kind": Kind.CONTACT,
        "name": "contact_changed",
        "dedup_key": "abc",
        "payload": {"email": "nomsa@example.com", "price": 1},
        "occurred_at": NOON,
        "time_to_live": timedelta(days=30),
        "ordered_by": "contact:nomsa@example.com",
        "wait": timedelta(hours=1),
    }
    return FollowUp(**given | changes)


async def test_rows_that_follow_are_written_once_when_theirs_is_settled(scene: Scene, store: Store) -> None:
    for _ in range(2):
        _write(scene, Kind.EVENT)
        await _settle(store, await _claim(store), Verdict.DELIVERED, follow_ups=(_follow_up(),))
    (row,) = [row for row in scene.outbox() if row["kind"] == "contact"]
    assert (str(row["merchant_id"]), row["payload"], row["occurred_at"]) == (
        str(PROTEA.merchant_id),
        {"email": "nomsa@example.com", "price": 1},
        NOON,
    )
    assert row["expires_at"] == NOON + timedelta(days=30)
    assert row["due_in"] > timedelta(minutes=59).total_seconds()
    (same,) = scene.query(
        "select omnisend_private.ordering_key(%s, 'contact:nomsa@example.com') as key", [PROTEA.merchant_id]
    )
    assert row["ordering_key"] == same["key"]


async def test_nothing_follows_from_a_result_that_comes_too_late(scene: Scene, store: Store) -> None:
    _write(scene, Kind.EVENT)
    (row,) = await _claim(store)
    scene.let_leases_run_out()
    (taken_over,) = await _claim(store)
    late = Outcome(row=row, verdict=Verdict.DELIVERED, healthy=True, follow_ups=(_follow_up(),))
    assert await store.settle([late]) == set()
    assert [one["kind"] for one in scene.outbox()] == ["event"]
    in_time = msgspec.structs.replace(late, row=taken_over)
    assert await store.settle([in_time]) == {row.id}
    assert [one["kind"] for one in scene.outbox()] == ["event", "contact"]
