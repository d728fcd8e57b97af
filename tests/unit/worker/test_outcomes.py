"""Every class of answer and every error, and what becomes of row, lane and connection."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import get_args

import pytest

from soldt_outbox.backoff import DEFAULT_POLICY
from soldt_outbox.errors import MayHaveBeenSeen, NeverSeen, PayloadRejected, TransportError
from soldt_outbox.omnisend.answers import (
    AnswerClass,
    Blocked,
    Delivered,
    Later,
    Rejected,
    Retired,
    Switch,
    SwitchCall,
    Throttled,
    ToldBy,
)
from soldt_outbox.rows import Kind, Outcome, PauseReason, Skip, Verdict
from tests.support.worker_rows import row
from worker import outcomes
from worker.outcomes import Attempt

RNG = random.Random(1)  # noqa: S311 - jitter needs no secrecy
LAST = DEFAULT_POLICY.max_attempts


def _attempt(attempts: int = 1, status: int | None = 500, kind: Kind = Kind.EVENT) -> Attempt:
    return Attempt(
        row=row(attempts=attempts, kind=kind),
        requests_made=2,
        status=status,
        log={"request_log": {"a": 1}},
        milliseconds=7,
    )


def _of(meaning: AnswerClass, attempts: int = 1, kind: Kind = Kind.EVENT) -> Outcome:
    return outcomes.of_answer(_attempt(attempts, kind=kind), meaning, policy=DEFAULT_POLICY, rng=RNG)


ANSWERS: list[tuple[AnswerClass, Verdict, bool, bool | None, PauseReason | None]] = [
    # meaning, verdict, counted, healthy, pause
    (Delivered(), Verdict.DELIVERED, True, True, None),
    (Rejected("no such field"), Verdict.DEAD, True, True, None),
    (Blocked(PauseReason.AUTH, "w"), Verdict.RELEASE, False, False, PauseReason.AUTH),
    (Blocked(PauseReason.FORBIDDEN, "w"), Verdict.RELEASE, False, False, PauseReason.FORBIDDEN),
    (Blocked(PauseReason.PAYMENT, "w"), Verdict.RELEASE, False, False, PauseReason.PAYMENT),
    (Throttled(timedelta(seconds=30), ToldBy.BODY, "w"), Verdict.RELEASE, False, None, PauseReason.THROTTLED),
    (Retired("w"), Verdict.RELEASE, False, None, PauseReason.RETIRED),
    (Later("w"), Verdict.RETRY, True, False, None),
    (SwitchCall(Switch.CREATE, "w"), Verdict.RETRY, True, False, None),
]


@pytest.mark.parametrize(
    ("meaning", "verdict", "counted", "healthy", "reason"), ANSWERS, ids=lambda v: str(v)[:40]
)
def test_each_class_of_answer_has_its_outcome(
    meaning: AnswerClass, verdict: Verdict, counted: bool, healthy: bool | None, reason: PauseReason | None
) -> None:
    outcome = _of(meaning)
    assert (outcome.verdict, outcome.counted, outcome.healthy) == (verdict, counted, healthy)
    assert (outcome.pause.reason if outcome.pause else None) is reason
    assert outcome.status_code == 500
    assert outcome.requests_made == 2
    assert outcome.request_log == {"a": 1}
    assert outcome.response_log is not None
    assert outcome.response_log["requests"] == 2
    assert (outcome.error is None) == (verdict is Verdict.DELIVERED)


def test_the_table_above_is_whole() -> None:
    assert {type(meaning) for meaning, *_ in ANSWERS} == set(get_args(AnswerClass))


@pytest.mark.parametrize("reason", [PauseReason.AUTH, PauseReason.FORBIDDEN, PauseReason.PAYMENT])
def test_what_an_admin_must_mend_breaks_the_integration_with_a_sentence(reason: PauseReason) -> None:
    pause = _of(Blocked(reason, "HTTP 4xx")).pause
    assert pause is not None
    assert pause.breaks_integration
    assert pause.duration == outcomes.BLOCKED_FOR
    assert pause.message.endswith((".", "sent."))


@pytest.mark.parametrize("kind", [Kind.CONTACT, Kind.PRODUCT, Kind.CATEGORY, Kind.BATCH])
def test_a_permission_that_one_kind_lacks_is_named_and_stops_that_kind_alone(kind: Kind) -> None:
    outcome = _of(Blocked(PauseReason.FORBIDDEN, "HTTP 403"), kind=kind)
    assert (outcome.verdict, outcome.counted, outcome.pause) == (Verdict.RELEASE, False, None)
    assert outcome.forbidden is not None
    assert f"{kind} needs " in outcome.forbidden
    assert ".write" in outcome.forbidden


def test_a_throttled_lane_waits_at_least_as_long_as_told_and_is_not_broken() -> None:
    told = timedelta(seconds=30)
    pauses = [_of(Throttled(told, ToldBy.BODY, "w")).pause for _ in range(50)]
    for pause in pauses:
        assert pause is not None
        assert told <= pause.duration <= told * 1.1
        assert not pause.breaks_integration


def test_the_last_attempt_ends_as_a_dead_letter_and_says_so() -> None:
    outcome = _of(Later("HTTP 500"), attempts=LAST)
    assert (outcome.verdict, outcome.retry_in) == (Verdict.DEAD, None)
    assert f"attempt {LAST}, the last" in str(outcome.error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            MayHaveBeenSeen("ReadTimeout"),
            "Omnisend may have acted; sent again with the same eventID and eventTime",
        ),
        (NeverSeen("refused"), "could not be reached"),
        (TransportError("odd"), "no answer"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_request_without_an_answer_is_tried_later_and_the_log_says_what_is_known(
    error: TransportError, words: str
) -> None:
    outcome = outcomes.of_transport_error(_attempt(status=None), error, policy=DEFAULT_POLICY, rng=RNG)
    assert (outcome.verdict, outcome.healthy, outcome.counted) == (Verdict.RETRY, False, True)
    assert words in str(outcome.error)
    assert outcome.retry_in is not None
    assert outcome.retry_in > timedelta(seconds=2)
    last = outcomes.of_transport_error(_attempt(LAST, None), error, policy=DEFAULT_POLICY, rng=RNG)
    assert last.verdict is Verdict.DEAD


def test_what_was_not_sent() -> None:
    one = row(rescues=5)
    skipped = outcomes.of_skip(one, Skip(reason="missing_identity", detail="nobody"))
    assert (skipped.verdict, skipped.error) == (Verdict.SKIPPED, "missing_identity: nobody")
    assert outcomes.of_expiry(one).verdict is Verdict.EXPIRED
    rejected = outcomes.of_rejected_payload(one, PayloadRejected("items[3].price", "is words" + "x" * 5000))
    assert rejected.verdict is Verdict.DEAD
    assert str(rejected.error).startswith("cannot be sent: items[3].price: is words")
    assert len(str(rejected.error)) <= 1000
    poison = outcomes.of_too_many_rescues(one)
    assert (poison.verdict, "5 times" in str(poison.error)) == (Verdict.DEAD, True)
    handed_back = outcomes.handed_back(one)
    assert (handed_back.verdict, handed_back.counted, handed_back.requests_made) == (
        Verdict.RELEASE,
        False,
        0,
    )


def test_an_unusable_credential_pauses_the_lane_and_blames_no_row() -> None:
    outcome = outcomes.of_unusable_credential(row(), "key k2 is missing")
    assert (outcome.verdict, outcome.counted, outcome.requests_made) == (Verdict.RELEASE, False, 0)
    assert outcome.pause is not None
    assert (outcome.pause.reason, outcome.pause.breaks_integration) == (PauseReason.CREDENTIAL, True)
    assert "key k2 is missing" in outcome.pause.message


def test_a_defect_is_tried_again_without_repeating_its_words() -> None:
    outcome = outcomes.of_defect(row(), KeyError("nomsa@example.com"), policy=DEFAULT_POLICY, rng=RNG)
    assert outcome.verdict is Verdict.RETRY
    assert "nomsa" not in str(outcome.error)
    last = outcomes.of_defect(row(attempts=LAST), KeyError("x"), policy=DEFAULT_POLICY, rng=RNG)
    assert last.verdict is Verdict.DEAD


@pytest.mark.parametrize("make", [outcomes.of_cut_off, outcomes.of_too_late])
def test_attempts_that_the_worker_gave_up_are_not_counted(make: object) -> None:
    outcome = make(_attempt())  # type: ignore[operator]
    assert not outcome.counted
    assert outcome.verdict in (Verdict.RETRY, Verdict.RELEASE)
    assert outcome.requests_made == 2
    assert outcome.pause is None
