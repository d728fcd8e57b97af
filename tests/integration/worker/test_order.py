"""One customer's events arrive in the order in which they happened, whoever sends them."""

from __future__ import annotations

from dataclasses import replace

from sandbox.omnisend import Fault
from tests.support.shop import admin, change, place
from tests.support.worker import QUICK, Scene, cart, names_by_customer

#: One request in four fails here, so four tries in a row now and then do too: nobody must run out of them.
STUBBORN = replace(QUICK, policy=replace(QUICK.policy, max_attempts=100))
STORY = ["started checkout", "placed order", "paid for order", "order canceled"]
CUSTOMERS = 100


def _tell_the_story(scene: Scene, email: str) -> None:
    """Four events, each committed straight after the one before."""
    scene.enqueue("checkout_started", cart(email))
    with admin(scene.database) as conn:
        order_id = place(conn, customer_email=email)
        change(conn, order_id, payment_status="paid")
        change(conn, order_id, status="cancelled")


async def test_the_events_of_a_hundred_customers_arrive_in_order_from_eight_workers(scene: Scene) -> None:
    scene.connect()
    customers = [f"customer-{n}@example.com" for n in range(CUSTOMERS)]
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0, delay_max_s=0.15, seed=7))
    async with scene.workers(8, worker_concurrency=16) as fleet:
        for email in customers:
            _tell_the_story(scene, email)
        await fleet.reached("delivered", CUSTOMERS * len(STORY))

    told = names_by_customer(scene.omnisend.received())
    assert {email: told[email] for email in customers if told[email] != STORY} == {}
    assert scene.omnisend.summary().total.duplicates == 0


async def test_an_event_that_must_be_retried_holds_back_those_behind_it_and_nobody_elses(
    scene: Scene,
) -> None:
    scene.connect()
    scene.omnisend.add_fault(
        Fault(kind="status", status=500, email="held@example.com", event_name="started checkout", count=3)
    )
    _tell_the_story(scene, "held@example.com")
    _tell_the_story(scene, "free@example.com")
    async with scene.workers(3) as fleet:
        await fleet.reached("delivered", 2 * len(STORY))

    told = names_by_customer(scene.omnisend.received())
    assert told["held@example.com"] == ["started checkout"] * 3 + STORY
    assert told["free@example.com"] == STORY
    first_of_held = next(row for row in scene.outbox() if row["name"] == "checkout_started")
    assert first_of_held["attempts"] == 4


async def test_what_stands_behind_a_dead_letter_goes_on(scene: Scene) -> None:
    scene.connect()
    scene.omnisend.add_fault(Fault(kind="status", status=400, event_name="started checkout"))
    _tell_the_story(scene, "nomsa@example.com")
    async with scene.workers(2) as fleet:
        await fleet.reached("delivered", 3)

    assert [row["state"] for row in scene.outbox()] == ["dead", "delivered", "delivered", "delivered"]
    assert names_by_customer(scene.omnisend.received())["nomsa@example.com"] == STORY


async def test_answers_that_are_lost_and_resets_at_random_change_no_order(scene: Scene) -> None:
    """Each event may arrive more than once; what arrives first of each is still in order."""
    scene.connect()
    for fault in (
        Fault(kind="status", status=503, probability=0.06, seed=1, count=30),
        Fault(kind="reset_after_reading", probability=0.06, seed=2, count=30),
        Fault(kind="status", status=500, probability=0.06, seed=3, count=30),
        Fault(kind="half_answer", probability=0.06, seed=4, count=30),
    ):
        scene.omnisend.add_fault(fault)
    customers = [f"customer-{n}@example.com" for n in range(20)]
    for email in customers:
        _tell_the_story(scene, email)
    async with scene.workers(4, tuning=STUBBORN, worker_concurrency=8) as fleet:
        await fleet.reached("delivered", len(customers) * len(STORY))

    for email, told in names_by_customer([one for one in scene.omnisend.received() if one.accepted]).items():
        assert list(dict.fromkeys(told)) == STORY, email
    assert scene.states() == {"delivered": len(customers) * len(STORY)}
