import asyncio
from datetime import timedelta

from soldt_outbox.rows import Kind
from tests.support.worker_rows import SHOP, Clock, row
from worker.holdings import Holdings

LEASE_S, MARGIN_S = 60, 12


def _holdings() -> tuple[Holdings, Clock]:
    clock = Clock()
    return Holdings(timedelta(seconds=LEASE_S), margin=timedelta(seconds=MARGIN_S), clock=clock), clock


def test_a_row_may_be_sent_until_the_last_stretch_of_its_lease() -> None:
    holdings, clock = _holdings()
    one = row()
    holdings.take([one], asked_at=clock())
    clock.forward(LEASE_S - MARGIN_S - 0.1)
    assert holdings.may_send(one)
    clock.forward(0.1)
    assert not holdings.may_send(one)


def test_the_lease_is_reckoned_from_before_the_claim_was_asked_for() -> None:
    holdings, clock = _holdings()
    one = row()
    holdings.take([one], asked_at=clock() - 50)
    assert not holdings.may_send(one)


def test_a_renewed_lease_begins_again() -> None:
    holdings, clock = _holdings()
    one = row()
    holdings.take([one], asked_at=clock())
    clock.forward(50)
    assert holdings.ageing(older_than=20) == [one]
    holdings.renewed([one], asked_at=clock())
    assert holdings.may_send(one)
    assert holdings.ageing(older_than=20) == []


def test_a_row_that_was_lost_is_not_sent() -> None:
    holdings, clock = _holdings()
    one = row()
    holdings.take([one], asked_at=clock())
    assert holdings.lose(one)
    assert not holdings.may_send(one)
    holdings.let_go(one)
    assert not holdings.lose(one)


def test_a_row_claimed_again_replaces_its_older_self() -> None:
    """A worker that was stopped may rescue its own row: the older claim must not be sent, nor let the newer one go."""
    holdings, clock = _holdings()
    older = row(id=7)
    newer = row(id=7)
    holdings.take([older], asked_at=clock())
    clock.forward(100)
    holdings.take([newer], asked_at=clock())
    assert not holdings.may_send(older)
    assert holdings.may_send(newer)
    holdings.let_go(older)
    assert holdings.may_send(newer)
    for one in (older, newer):
        holdings.answered(one)
    assert holdings.unanswered[SHOP] == 0
    holdings.let_go(newer)
    assert len(holdings) == 0


def test_a_row_that_is_not_in_hand_was_claimed_long_ago() -> None:
    holdings, clock = _holdings()
    one = row()
    assert holdings.claimed_at(one) < clock() - 1e9
    holdings.take([one], asked_at=clock())
    assert holdings.claimed_at(one) == clock()


async def test_who_waits_for_fewer_rows_is_woken_when_one_goes() -> None:
    holdings, clock = _holdings()
    first, second = row(), row()
    holdings.take([first, second], asked_at=clock())
    waiting = asyncio.create_task(holdings.wait_for_fewer(10, 2))
    await asyncio.sleep(0)
    assert not waiting.done()
    holdings.let_go(second)
    await asyncio.wait_for(waiting, 1)


async def test_who_waits_for_fewer_unanswered_rows_is_woken_by_an_answer() -> None:
    holdings, clock = _holdings()
    first, second = row(), row()
    holdings.take([first, second], asked_at=clock())
    waiting = asyncio.create_task(holdings.wait_for_fewer(2, 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    holdings.answered(first)
    await waiting
    assert len(holdings) == 2


def test_batches_are_counted_apart_so_that_live_events_are_asked_for_beside_them() -> None:
    holdings, clock = _holdings()
    batch, event = row(kind=Kind.BATCH), row()
    holdings.take([batch, event], asked_at=clock())
    assert (holdings.batches, holdings.unanswered_in_all, holdings.unanswered[SHOP]) == (1, 1, 1)
    holdings.answered(batch)
    assert (holdings.batches, holdings.unanswered_in_all) == (0, 1)
    holdings.answered(event)
    assert (holdings.unanswered_in_all, holdings.unanswered[SHOP]) == (0, 0)
