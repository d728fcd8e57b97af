import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from soldt_outbox.backoff import DEFAULT_POLICY, RetryPolicy, told_wait


def seeded(seed):
    return random.Random(seed)  # noqa: S311 - jitter is no secret


def test_the_steps_read_aloud():
    seconds = [DEFAULT_POLICY.step(attempt).total_seconds() for attempt in range(1, 8)]
    assert seconds == [5, 20, 80, 320, 1280, 3600, 3600]


@given(st.integers(min_value=-5, max_value=10**6), st.integers())
def test_a_wait_lies_in_the_upper_half_of_its_step(attempt, seed):
    policy = RetryPolicy(max_attempts=10**7)
    wait = policy.next_wait(attempt, seeded(seed))
    assert wait is not None
    assert policy.step(attempt) / 2 <= wait <= policy.step(attempt) <= policy.cap


def test_the_twentieth_failure_is_the_last():
    rng = seeded(1)
    assert DEFAULT_POLICY.next_wait(19, rng) is not None
    assert DEFAULT_POLICY.next_wait(20, rng) is None
    assert DEFAULT_POLICY.next_wait(21, rng) is None


def test_the_random_source_decides_alone():
    assert DEFAULT_POLICY.next_wait(3, seeded(7)) == DEFAULT_POLICY.next_wait(3, seeded(7))


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(hours=1)), st.integers())
def test_a_told_wait_is_never_cut_short(told, seed):
    wait = told_wait(told, seeded(seed))
    assert told <= wait <= told + max(timedelta(seconds=1), told / 10)
