"""Workers that die or stall with rows in hand: somebody else takes over, and what they say late is refused."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta

from sandbox.omnisend import Fault
from soldt_outbox.database import open_database
from soldt_outbox.rows import Outcome, Verdict
from soldt_outbox.store import Budget, Store
from tests.support.shop import place
from tests.support.worker import PLENTY, SHORT, Scene, until


def _place(scene: Scene, customers: int = 1) -> None:
    with scene.database.connect() as conn:
        for n in range(customers):
            place(conn, customer_email=f"customer-{n}@example.com")


def _settled(scene: Scene) -> list[tuple[object, ...]]:
    return [(row["id"], row["state"], row["attempts"], row["settled_at"]) for row in scene.outbox()]


async def test_rows_of_a_killed_worker_are_taken_over_when_their_lease_has_run_out(scene: Scene) -> None:
    scene.connect()
    _place(scene, 5)
    scene.omnisend.add_fault(Fault(kind="hang", count=5, processed=False))
    async with scene.process(short=True) as doomed:
        await scene.omnisend.wait_for(5, of="received")
        doomed.send(signal.SIGKILL)
        await doomed.ended()
    held = {row["id"]: row for row in scene.outbox()}
    assert {(row["state"], row["attempts"], row["rescues"]) for row in held.values()} == {("pending", 1, 0)}
    async with scene.workers() as fleet:
        await fleet.reached("delivered", 5)

    assert {(row["state"], row["rescues"]) for row in scene.outbox()} == {("delivered", 1)}
    early = [row["id"] for row in scene.outbox() if row["settled_at"] <= held[row["id"]]["lease_until"]]
    assert early == [], "taken over while their lease lasted"
    assert len({one.event_id for one in scene.omnisend.received()}) == 5


async def test_a_result_that_comes_after_another_worker_took_over_is_refused(scene: Scene) -> None:
    scene.connect()
    _place(scene)
    url = scene.database.url("omnisend_worker")
    async with open_database(url, application_name="twin") as database:
        store = Store(database, budget=Budget.below(PLENTY))
        merchants = await store.due_merchants()
        (row,) = await store.claim(merchants, limit=1, worker_id="twin", lease=timedelta(seconds=60))
        scene.let_leases_run_out()
        async with scene.workers() as fleet:
            await fleet.reached("delivered")
        before = _settled(scene), scene.logs(), scene.lane()["failures_in_row"], scene.connection()
        late = [
            Outcome(row=row, verdict=Verdict.DEAD, error="late", healthy=False),
            Outcome(row=row, verdict=Verdict.RELEASE, counted=False),
        ]
        for outcome in late:
            assert await store.settle([outcome]) == set()
        assert await store.renew([row], lease=timedelta(seconds=60)) == set()

    assert (_settled(scene), scene.logs(), scene.lane()["failures_in_row"], scene.connection()) == before


async def test_of_two_who_hold_a_row_only_the_later_one_may_settle_it(scene: Scene) -> None:
    scene.connect()
    _place(scene)
    async with open_database(scene.database.url("omnisend_worker"), application_name="twins") as database:
        store = Store(database, budget=Budget.below(PLENTY))
        merchants, lease = await store.due_merchants(), timedelta(seconds=60)
        (stale,) = await store.claim(merchants, limit=1, worker_id="first", lease=lease)
        assert await store.claim(merchants, limit=1, worker_id="second", lease=lease) == []
        scene.let_leases_run_out()
        (fresh,) = await store.claim(merchants, limit=1, worker_id="second", lease=lease)
        assert (fresh.attempts, fresh.rescues) == (2, 1)
        for verdict in (Verdict.DELIVERED, Verdict.DEAD, Verdict.RETRY, Verdict.RELEASE):
            assert await store.settle([Outcome(row=stale, verdict=verdict)]) == set()
        assert await store.renew([stale, fresh], lease=lease) == {fresh.id}
        assert await store.settle([Outcome(row=fresh, verdict=Verdict.DELIVERED)]) == {fresh.id}
    assert [log["attempt"] for log in scene.logs()] == [2]


async def test_a_worker_that_was_stopped_past_its_lease_sends_nothing_when_it_goes_on(scene: Scene) -> None:
    """It has rows in its queue behind one that hangs; none of them may go out a second time."""
    scene.connect()
    _place(scene, 4)
    scene.omnisend.add_fault(Fault(kind="hang", count=1, processed=False))
    async with scene.process(short=True, WORKER_CONCURRENCY="1") as stalled:
        await scene.omnisend.wait_for(1, of="received")
        await until(lambda: all(row["leased_by"] for row in scene.outbox()), "all are claimed")
        stalled.send(signal.SIGSTOP)
        async with scene.workers() as fleet:
            await fleet.reached("delivered", 4)
            delivered = _settled(scene)
            stalled.send(signal.SIGCONT)
            await stalled.says("result dropped: the lease was lost", times=4)
            stalled.send(signal.SIGTERM)
            assert await stalled.ended() == 0

    assert _settled(scene) == delivered
    assert scene.omnisend.summary().total.received == 5
    assert scene.omnisend.summary().total.duplicates == 0


async def test_a_row_that_workers_keep_dying_with_ends_as_a_dead_letter(scene: Scene) -> None:
    scene.connect()
    _place(scene, 1)
    scene.omnisend.add_fault(Fault(kind="hang", processed=False))
    for death in range(1, 6):
        async with scene.process() as doomed:
            await scene.omnisend.wait_for(death, of="received")
            doomed.send(signal.SIGKILL)
            await doomed.ended()
        scene.let_leases_run_out()
    _place(scene, 1)
    scene.omnisend.clear_faults()
    async with scene.workers() as fleet:
        await fleet.reached("dead")
        await fleet.reached("delivered")

    dead, behind = scene.outbox()
    assert (dead["state"], dead["rescues"], behind["state"]) == ("dead", 5, "delivered")
    assert dead["last_error"].startswith("its lease ran out 5 times")
    (told,) = scene.query("select omnisend_private.placed_order(%s) is not null as still", [dead["id"]])
    assert told["still"], "it keeps what it has to tell"


async def test_leases_of_slow_requests_are_renewed(scene: Scene) -> None:
    """With a lease of three seconds, rows that wait longer than that for a connection stay with their worker."""
    scene.connect()
    _place(scene, 8)
    scene.omnisend.add_fault(Fault(kind="delay", delay_s=0.6))
    async with scene.workers(2, tuning=SHORT, worker_concurrency=1) as fleet:
        await fleet.reached("delivered", 8)
        assert fleet.counts.get("lost_leases", 0) == 0

    assert scene.omnisend.summary().total.received == 8
    assert {row["rescues"] for row in scene.outbox()} == {0}


async def test_a_try_within_a_lease_that_is_over_is_not_made(scene: Scene) -> None:
    """Stopped between two tries and continued after its lease: the second try would be somebody else's event."""
    scene.connect()
    _place(scene)
    scene.omnisend.add_fault(Fault(kind="status", status=503, count=1))
    async with scene.process(short=True) as stalled:
        await scene.omnisend.wait_for(1, of="settled")
        await asyncio.sleep(0.1)  # it has read the answer and waits, for at least twice as long, to try again
        stalled.send(signal.SIGSTOP)
        assert scene.omnisend.summary().total.received == 1
        scene.let_leases_run_out()
        async with scene.workers() as fleet:
            await fleet.reached("delivered")
        await asyncio.sleep(
            2
        )  # the time itself is what is tested: by its own clock its lease must be too short
        stalled.send(signal.SIGCONT)
        await stalled.says("result dropped: the lease was lost")
        stalled.send(signal.SIGTERM)
        assert await stalled.ended() == 0

    assert scene.omnisend.summary().total.received == 2
