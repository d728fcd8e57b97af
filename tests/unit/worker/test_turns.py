"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from soldt_outbox.rows import Due, Kind
from worker.turns import Turns

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def shop(number: int) -> UUID:
    return UUID(int=number)


def due(*numbers: int, kind: Kind = Kind.EVENT) -> list[Due]:
    return [Due(merchant_id=shop(number), kind=kind, since=NOW) for number in numbers]


def asked(turns: Turns, most: int, *, gave: int = 1) -> list[int]:
    """Who is asked next, each giving ``gave`` rows where a share is one."""
    merchants = turns.next(most, lambda _: True)
    turns.asked(merchants, Counter(dict.fromkeys(merchants, gave)), share=1)
    return [merchant.int for merchant in merchants]


def test_those_that_have_more_are_asked_one_after_the_other() -> None:
    turns = Turns()
    turns.found(due(1, 2, 3))
    assert [asked(turns, 2) for _ in range(3)] == [[1, 2], [3, 1], [2, 3]]


def test_a_scan_does_not_start_the_round_anew() -> None:
    turns = Turns()
    turns.found(due(1, 2, 3))
    assert asked(turns, 2) == [1, 2]
    turns.found(due(1, 2, 3))  # the longest-waiting first, as ever
    assert asked(turns, 2) == [3, 1]


def test_a_newcomer_does_not_wait_for_the_others() -> None:
    turns = Turns()
    turns.found(due(1, 2, 3))
    asked(turns, 3)
    turns.found(due(1, 2, 3, 4))
    assert asked(turns, 2) == [4, 1]


def test_newcomers_leave_half_of_the_places_to_those_who_wait() -> None:
    turns = Turns()
    turns.found(due(1, 2))
    asked(turns, 2)
    turns.found(due(1, 2, *range(10, 30)))
    assert asked(turns, 4) == [10, 11, 1, 2]


def test_of_an_odd_number_of_places_each_side_has_the_odd_one_in_turn() -> None:
    turns = Turns()
    turns.found(due(1, 2))
    asked(turns, 2)
    turns.found(due(1, 2, 10, 11))
    assert [asked(turns, 1) for _ in range(3)] == [[10], [1], [11]]


def test_who_gave_less_than_its_share_is_not_asked_before_it_is_found_again() -> None:
    turns = Turns()
    turns.found(due(1, 2))
    assert asked(turns, 2, gave=0) == [1, 2]
    assert asked(turns, 2) == []
    turns.found(due(2))
    assert asked(turns, 2) == [2]


def test_who_is_due_no_more_leaves() -> None:
    turns = Turns()
    turns.found(due(1, 2))
    asked(turns, 2)
    turns.found(due(2))
    assert asked(turns, 2) == [2]
    turns.found([])
    assert len(turns) == 0


def test_a_merchant_is_asked_for_all_its_kinds_together() -> None:
    turns = Turns()
    turns.found(due(1) + due(1, kind=Kind.BATCH))
    assert turns.next(5, lambda _: True) == {shop(1): due(1) + due(1, kind=Kind.BATCH)}


def test_who_was_heard_of_is_a_newcomer_of_whose_first_row_nothing_is_known() -> None:
    turns = Turns()
    turns.found(due(1, kind=Kind.PRODUCT))
    asked(turns, 1)
    turns.woken(shop(1))
    turns.woken(shop(2))
    event = Due(merchant_id=shop(2), kind=Kind.EVENT)
    assert turns.next(2, lambda _: True) == {
        shop(2): [event],
        shop(1): [*due(1, kind=Kind.PRODUCT), Due(merchant_id=shop(1), kind=Kind.EVENT)],
    }


def test_who_may_not_be_asked_now_keeps_its_place() -> None:
    turns = Turns()
    turns.found(due(1, 2, 3))
    assert list(turns.next(2, lambda m: m != shop(1))) == [shop(2), shop(3)]
    assert asked(turns, 1) == [1]


@given(
    st.lists(st.sets(st.integers(1, 12), min_size=1), min_size=1, max_size=20),
    st.integers(1, 5),
)
def test_nobody_who_stays_due_waits_for_ever(newcomers: list[set[int]], most: int) -> None:
    """Whoever else comes and goes: merchant 0 is asked within as many claims as there are merchants, twice over."""
    turns = Turns()
    waited = 0
    for others in newcomers * 4:
        turns.found(due(0, *others))
        waited = 0 if 0 in asked(turns, most) else waited + 1
        assert waited <= 2 * 13


def test_who_is_heard_of_while_a_claim_is_under_way_is_asked_again() -> None:
    turns = Turns()
    turns.woken(shop(1))
    merchants = turns.next(1, lambda _: True)
    turns.woken(shop(1))  # the claim may have begun before this commit
    turns.asked(merchants, Counter(), share=1)
    assert asked(turns, 1, gave=0) == [1]
    assert asked(turns, 1) == []


def test_who_is_heard_of_while_a_scan_is_under_way_is_asked_although_it_found_nothing() -> None:
    turns = Turns()
    turns.woken(shop(1))
    turns.found(due(2))
    assert asked(turns, 2, gave=0) == [2, 1]
    turns.found([])
    assert len(turns) == 0
