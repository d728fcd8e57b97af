from soldt_outbox.rows import Kind
from tests.support.worker_rows import OTHER_SHOP, SHOP, Clock
from worker.lanes import Lanes
from worker.outcomes import RETIRED_FOR


def test_a_pause_on_its_way_holds_every_row_of_its_merchant_and_no_others() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    lanes.hold(SHOP)
    assert lanes.is_held(SHOP)
    assert lanes.holds(SHOP, Kind.EVENT, claimed_at=clock() + 1)
    assert not lanes.holds(OTHER_SHOP, Kind.EVENT, claimed_at=clock())


def test_a_stored_pause_holds_what_was_claimed_before_it_for_ever_and_nothing_after() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    claimed_before = clock()
    clock.forward(1)
    lanes.hold(SHOP)
    clock.forward(1)
    lanes.pause_stored(SHOP)
    clock.forward(3600)
    assert not lanes.is_held(SHOP)
    assert lanes.holds(SHOP, Kind.EVENT, claimed_at=claimed_before)
    assert not lanes.holds(SHOP, Kind.EVENT, claimed_at=clock())


def test_of_several_pauses_the_last_one_stored_counts() -> None:
    lanes = Lanes(Clock())
    lanes.hold(SHOP)
    lanes.hold(SHOP)
    lanes.pause_stored(SHOP)
    assert lanes.is_held(SHOP)
    lanes.pause_stored(SHOP)
    assert not lanes.is_held(SHOP)


def test_a_pause_of_one_kind_leaves_the_others_alone() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    lanes.hold(SHOP, Kind.PRODUCT)
    assert not lanes.is_held(SHOP)
    claimed_before = clock()
    clock.forward(1)
    lanes.pause_stored(SHOP, Kind.PRODUCT)
    assert lanes.holds(SHOP, Kind.PRODUCT, claimed_at=claimed_before)
    assert not lanes.holds(SHOP, Kind.EVENT, claimed_at=claimed_before)
    clock.forward(1)
    assert not lanes.holds(SHOP, Kind.PRODUCT, claimed_at=clock())


def test_a_retired_version_is_not_asked_for_a_while_and_others_are() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    assert lanes.retired_for("v5") is None
    lanes.retire("v5", "gone")
    assert lanes.retired_for("v5") == RETIRED_FOR
    assert lanes.retired_for("2026-03-15") is None
    clock.forward(RETIRED_FOR.total_seconds())
    assert lanes.retired_for("v5") is None


def test_a_merchant_that_gives_nothing_is_asked_less_and_less_often_up_to_a_second() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    waits = []
    for _ in range(6):
        lanes.nothing_came([SHOP])
        start = clock()
        while lanes.is_cooling(SHOP):
            clock.forward(0.01)
        waits.append(round(clock() - start, 1))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_merchant_of_whom_something_was_settled_is_asked_at_once() -> None:
    lanes = Lanes(Clock())
    lanes.nothing_came([SHOP])
    lanes.something_changed(SHOP)
    assert not lanes.is_cooling(SHOP)


def test_merchants_asked_long_ago_are_forgotten() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    lanes.nothing_came([SHOP])
    clock.forward(60)
    assert not lanes.is_cooling(SHOP)
    assert not lanes._cooling


def test_a_wake_up_ends_the_first_wait_of_a_merchant_that_gave_nothing_and_no_longer_one() -> None:
    clock = Clock()
    lanes = Lanes(clock)
    lanes.nothing_came([SHOP])
    lanes.woken(SHOP)
    assert not lanes.is_cooling(SHOP)
    lanes.nothing_came([SHOP])
    for _ in range(3):
        lanes.woken(SHOP)
        assert lanes.is_cooling(SHOP)
    lanes.something_changed(SHOP)
    lanes.woken(SHOP)
    assert not lanes.is_cooling(SHOP)
