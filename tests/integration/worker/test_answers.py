"""What Omnisend answers, or fails to, and what becomes of the row, its merchant and everybody else."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.omnisend import Fault
from sandbox.shops import KAROO, PROTEA
from soldt_outbox.database import open_database
from soldt_outbox.store import Budget, Store
from tests.support.shop import admin
from tests.support.worker import PLENTY, QUICK, SHORT, Scene, cart, until


def _enqueue(scene: Scene, count: int = 1, **more: Any) -> None:
    for n in range(count):
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"), dedup_key=f"cart-{n}", **more)


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ({"body": {"retryAfter": 3}}, 3, 4.2),
        ({"headers": {"Retry-After": "5"}, "body": {}}, 5, 6.2),
        ({"body": {"retryAfter": 7}, "headers": {"Retry-After": "2"}}, 7, 8.2),
        ({"body": ""}, 60, 66.2),
    ],
    ids=["body", "header", "both", "nothing"],
)
async def test_a_429_pauses_its_brand_for_as_long_as_it_was_told(
    scene: Scene, told: dict[str, Any], least: float, most: float
) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=429, **told))
    _enqueue(scene)
    async with scene.workers() as fleet:
        await fleet.reached("release")

    lane = scene.lane()
    elapsed = (datetime.now(UTC) - scene.logs()[0]["created_at"]).total_seconds()
    assert least <= lane["paused_for"] + elapsed <= most
    assert lane["pause_reason"] == "THROTTLED"
    assert lane["throttled_until"] > datetime.now(UTC)
    (row,) = scene.outbox()
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert scene.connection()["status"] == "connected"


async def test_nothing_of_a_throttled_brand_is_sent_too_early_and_nobody_else_waits(scene: Scene) -> None:
    brand = scene.connect(PROTEA)
    scene.connect(KAROO)
    scene.omnisend.add_fault(
        Fault(kind="status", status=429, brand=brand.brand_id, count=1, body={"retryAfter": 2})
    )
    _enqueue(scene)
    async with scene.workers(3) as fleet:
        await fleet.reached("release")
        _enqueue(scene, 20)
        _enqueue(scene, 20, shop=KAROO)
        await fleet.reached("delivered", 40)

    arrived = [one.arrived_monotonic for one in scene.omnisend.received(brand=brand.brand_id)]
    assert arrived[1] - arrived[0] >= 2
    first_of_others = min(row["settled_at"] for row in scene.outbox(KAROO))
    assert first_of_others < min(row["settled_at"] for row in scene.outbox(PROTEA))
    assert {row["attempts"] for row in scene.outbox()} == {1}


async def test_rows_claimed_before_a_429_are_handed_back_unsent(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=429, delay_s=0.3, body={"retryAfter": 60}))
    _enqueue(scene, 8)  # a worker that sends two at once claims eight
    async with scene.workers(worker_concurrency=2) as fleet:
        await fleet.reached("release", 8)

    assert scene.omnisend.summary().total.received <= 2
    assert {(row["state"], row["attempts"], row["lease_token"]) for row in scene.outbox()} == {
        ("pending", 0, None)
    }


async def test_a_throttled_lane_runs_at_half_its_rate(scene: Scene) -> None:
    scene.connect()
    _enqueue(scene, 200)
    scene.query(
        "insert into integrations_omnisend_lanes (merchant_id, throttled_until) values (%s, now() + interval '10 minutes')",
        [PROTEA.merchant_id],
    )
    async with scene.workers(2, omnisend_requests_per_minute=1200) as fleet:  # 18/s and 48 at once, when well
        await fleet.reached("delivered", 24)
        before = fleet.counts["delivered"]
        await scene.omnisend.wait_for(before + 18, of="received")
    arrivals = scene.omnisend.arrivals()
    steady = arrivals[before : before + 18]
    assert 18 / (steady[-1] - steady[0]) < 9 * 1.4


async def test_a_throttled_lane_with_a_tiny_budget_still_sends(scene: Scene) -> None:
    """Where a request costs more than the whole burst, it must be let through when its time has come."""
    scene.connect()
    _enqueue(scene, 1)
    scene.query(
        "insert into integrations_omnisend_lanes (merchant_id, throttled_until) values (%s, now() + interval '10 minutes')",
        [PROTEA.merchant_id],
    )
    async with scene.workers(omnisend_requests_per_minute=10) as fleet:
        await fleet.reached("delivered")


async def test_a_410_stops_all_sending_and_loses_nothing(scene: Scene) -> None:
    for shop in (PROTEA, KAROO):
        scene.connect(shop)
    scene.omnisend.change_settings(retired=[scene.api_version])
    _enqueue(scene)
    async with scene.workers() as fleet:
        await fleet.reached("release")
        received = scene.omnisend.summary().total.received
        _enqueue(scene, 10)
        _enqueue(scene, 10, shop=KAROO)
        await fleet.reached("release", 2)
        await fleet.reached("rounds", fleet.counts["rounds"] + 8)
    assert scene.omnisend.summary().total.received == received == 1
    assert {
        lane["pause_reason"] for lane in scene.query("select pause_reason from integrations_omnisend_lanes")
    } == {"RETIRED"}
    assert {(row["state"], row["attempts"]) for row in scene.outbox()} == {("pending", 0)}
    assert scene.connection()["status"] == "connected"

    scene.omnisend.change_settings(retired=[])
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 20)


async def test_an_error_of_omnisends_is_tried_again_and_ends_as_a_dead_letter(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=500))
    _enqueue(scene)
    async with scene.workers() as fleet:
        await fleet.reached("dead")

    (row,) = scene.outbox()
    assert (row["state"], row["attempts"], row["last_status_code"]) == (
        "dead",
        QUICK.policy.max_attempts,
        500,
    )
    assert "the last" in row["last_error"]
    assert row["payload"] is not None
    logs = scene.logs()
    assert [(log["attempt"], log["outcome"]) for log in logs] == [
        (1, "retry"),
        (2, "retry"),
        (3, "retry"),
        (4, "dead"),
    ]
    waits = [(b["created_at"] - a["created_at"]).total_seconds() for a, b in itertools.pairwise(logs)]
    assert all(wait >= least for wait, least in zip(waits, (0.1, 0.2, 0.4), strict=True)), waits
    assert len({one.event_id for one in scene.omnisend.received()}) == 1


async def test_a_rejected_event_is_dead_at_once_with_omnisends_words(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(
        Fault(
            kind="status",
            status=400,
            body={"error": "Bad request", "fields": {"contact.email": "nomsa@example.com is odd"}},
        )
    )
    _enqueue(scene)
    async with scene.workers() as fleet:
        await fleet.reached("dead")

    (row,) = scene.outbox()
    assert row["attempts"] == 1
    assert "contact.email" in row["last_error"]
    assert "nomsa@" not in row["last_error"]


async def test_a_moment_of_503_passes_within_the_lease(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=503, count=2))
    _enqueue(scene)
    async with scene.workers() as fleet:
        await fleet.reached("delivered")

    (log,) = scene.logs()
    assert (log["outcome"], log["attempt"], log["response"]["requests"]) == ("delivered", 1, 3)


async def test_a_refused_connection_passes_within_the_lease(scene: Scene) -> None:
    scene.connect()
    _enqueue(scene)
    await scene.omnisend.refuse_connections()
    async with scene.workers() as fleet:
        await fleet.reached("retry")
        assert "could not be reached" in scene.logs()[0]["error"]
        await scene.omnisend.accept_connections()
        await fleet.reached("delivered")
    assert scene.omnisend.summary().total.received == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="hang", count=1),
        Fault(kind="reset_after_reading", count=1),
        Fault(kind="half_answer", count=1),
        Fault(kind="garbage", count=1),
    ],
    ids=lambda fault: fault.kind,
)
async def test_what_may_have_been_seen_is_sent_again_as_the_same_event_and_the_log_says_so(
    scene: Scene, fault: Fault
) -> None:
    scene.connect()
    scene.omnisend.add_fault(fault)
    _enqueue(scene)
    async with scene.workers(tuning=SHORT) as fleet:
        await fleet.reached("delivered")

    first, second = scene.omnisend.received()
    assert (first.event_id, first.event_time) == (second.event_id, second.event_time)
    assert first.body_sha256 == second.body_sha256
    ambiguous, delivered = scene.logs()
    assert ambiguous["outcome"] == "retry"
    assert "Omnisend may have acted" in ambiguous["error"]
    assert (delivered["outcome"], delivered["attempt"]) == ("delivered", 2)


async def test_one_outage_opens_the_breaker_once_and_the_next_probe_closes_it(scene: Scene) -> None:
    """Two dozen rows that fail together are one outage: the pause is the first step's, not the longest."""
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=500, delay_s=0.1, delay_max_s=0.4))
    _enqueue(scene, 24)
    async with scene.workers(2) as fleet:
        await fleet.reached("retry", 12)
        await until(lambda: scene.lane()["pause_reason"] == "FAILING", "the breaker is open")
    lane = scene.lane()
    assert lane["failures_in_row"] == 10
    assert 20 < lane["paused_for"] <= 36

    async with scene.workers() as fleet:
        scene.query("update integrations_omnisend_outbox set available_at = now()")
        scene.end_pause()
        await fleet.reached("retry", 1)
        assert scene.lane()["failures_in_row"] == 11
        assert 55 < scene.lane()["paused_for"] <= 72
        scene.omnisend.clear_faults()
        scene.query("update integrations_omnisend_outbox set available_at = now()")
        scene.end_pause()
        await fleet.reached("delivered", 24)
    assert (scene.lane()["failures_in_row"], scene.lane()["paused_until"]) == (0, None)
    with admin(scene.database) as owner, admin(scene.database, KAROO) as other:
        recorded = "select name, outcome, error from public.integrations_omnisend_logs where kind = 'lane' order by id"
        opened, closed = owner.execute(recorded).fetchall()
        assert other.execute(recorded).fetchall() == []
    assert opened[:2] == ("FAILING", "paused")
    assert "10 requests in a row failed" in opened[2]
    assert closed[:2] == ("FAILING", "resumed")


async def test_what_waits_too_long_behind_a_paused_lane_expires_there(scene: Scene) -> None:
    scene.connect()
    _enqueue(scene, 2)
    scene.query("update integrations_omnisend_outbox set expires_at = now() where dedup_key = 'cart-0'")
    scene.query(
        "insert into integrations_omnisend_lanes (merchant_id, paused_until, pause_reason) values (%s, now() + interval '1 hour', 'AUTH')",
        [PROTEA.merchant_id],
    )
    async with open_database(scene.database.url("omnisend_worker"), application_name="test") as database:
        store = Store(database, budget=Budget.below(PLENTY))
        assert await store.expire_waiting(limit=100) == 1
        assert await store.expire_waiting(limit=100) == 0

    assert [(row["state"], row["payload"] is None) for row in scene.outbox()] == [
        ("expired", True),
        ("pending", False),
    ]
    (log,) = scene.logs()
    assert (log["outcome"], log["error"]) == ("expired", "waited past its time to live: expired")
