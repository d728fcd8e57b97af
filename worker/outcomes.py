"""From how an attempt ended to what becomes of the row, its merchant's lane and the connection: pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, assert_never

import msgspec

from soldt_outbox.backoff import RetryPolicy, told_wait
from soldt_outbox.errors import MayHaveBeenSeen, NeverSeen, PayloadRejected, TransportError
from soldt_outbox.oauth.scopes import Scope, permission_for
from soldt_outbox.omnisend.answers import (
    AnswerClass,
    Blocked,
    Delivered,
    Later,
    Rejected,
    Retired,
    SwitchCall,
    Throttled,
)
from soldt_outbox.redaction import scrub
from soldt_outbox.rows import FollowUp, Kind, OutboxRow, Outcome, Pause, PauseReason, Record, Skip, Verdict

# How long a lane waits before one row goes out to see whether a refused key works again. A new `connect` ends the
# wait at once; without one, a mistake on Omnisend's side must not silence a shop until somebody notices.
BLOCKED_FOR: Final = timedelta(minutes=15)
RETIRED_FOR: Final = timedelta(minutes=15)  # after a 410: then one row of a merchant goes out to see
LOOK_AGAIN_IN: Final = timedelta(minutes=5)  # for an operator to notice the warning
ASK_FOR_SCOPE_IN: Final = timedelta(hours=1)  # granting it takes a person
TOKEN_FOR: Final = timedelta(seconds=30)  # as long as the lease under which a token is refreshed
CREDENTIAL_FOR: Final = timedelta(minutes=5)  # shorter: nothing is asked of Omnisend

_SENTENCES: Final = {
    PauseReason.AUTH: "Omnisend refused the API key: it is invalid or was revoked. Create a key at Omnisend and connect again; waiting events are then sent.",
    PauseReason.FORBIDDEN: "The API key lacks a permission: sending events needs events.write. Add it at Omnisend (it takes up to five minutes) or connect with another key.",
    PauseReason.RETIRED: "Omnisend retired the version of its API that is spoken to it. Nothing is lost: events wait until another version is set.",
    PauseReason.PAYMENT: "Omnisend answers that the account's plan or payment does not allow this. Check billing at Omnisend; waiting events are then sent.",
}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attempt beside how it ended. ``status`` is the last answer's, if there was one."""

    row: OutboxRow
    requests_made: int
    status: int | None
    log: dict[str, Any]  # common fields of the Outcome: event_id, contact_hash, request_log
    milliseconds: int


def settled(attempt: Attempt, verdict: Verdict, error: str | None = None, **more: Any) -> Outcome:
    """An outcome with what every attempt's log row holds."""
    response: dict[str, Any] = {"requests": attempt.requests_made, "milliseconds": attempt.milliseconds}
    if error is not None:
        response["message"] = error
    return Outcome(
        row=attempt.row,
        verdict=verdict,
        error=error,
        status_code=attempt.status,
        requests_made=attempt.requests_made,
        response_log=response,
        **attempt.log,
        **more,
    )


def of_answer(  # noqa: PLR0911 - one return per class of answer
    attempt: Attempt, meaning: AnswerClass, *, policy: RetryPolicy, rng: random.Random
) -> Outcome:
    """The outcome of a whole answer."""
    match meaning:
        case Delivered():
            return of_delivery(attempt)
        case Rejected(words):
            return settled(attempt, Verdict.DEAD, f"Omnisend refused it: {words}", healthy=True)
        case Blocked(PauseReason.FORBIDDEN, words) if attempt.row.kind is not Kind.EVENT:
            return _of_forbidden_kind(attempt, words)
        case Blocked(reason, words):
            pause = Pause(
                reason=reason, duration=BLOCKED_FOR, message=_SENTENCES[reason], breaks_integration=True
            )
            return settled(
                attempt, Verdict.RELEASE, f"{reason}: {words}", counted=False, pause=pause, healthy=False
            )
        case Throttled(wait, told_by, words):
            told = told_wait(wait, rng)
            message = f"Omnisend's limit was reached; waiting {told.total_seconds():.0f} s (told by {told_by}): {words}"
            pause = Pause(reason=PauseReason.THROTTLED, duration=told, message=message)
            return settled(attempt, Verdict.RELEASE, message, counted=False, pause=pause)
        case Retired(words):
            return settled(
                attempt,
                Verdict.RELEASE,
                f"Omnisend retired this version of its API: {words}",
                counted=False,
                pause=_retirement(RETIRED_FOR),
            )
        case Later(words):
            return _later(attempt, f"Omnisend could not take it: {words}", policy=policy, rng=rng)
        case SwitchCall(
            _, words
        ):  # the other call was made too: somebody else creates and deletes it just now
            return _later(
                attempt,
                f"Omnisend says both that it is there and that it is not: {words}",
                policy=policy,
                rng=rng,
            )
        case _:
            assert_never(meaning)


def of_delivery(
    attempt: Attempt, follow_ups: tuple[FollowUp, ...] = (), records: tuple[Record, ...] = ()
) -> Outcome:
    """Omnisend has it; ``follow_ups`` are what else is to be told now, ``records`` what else is noted."""
    return settled(attempt, Verdict.DELIVERED, healthy=True, follow_ups=follow_ups, records=records)


def _of_forbidden_kind(attempt: Attempt, words: str) -> Outcome:
    """The key may send events and not this: the merchant's events go on."""
    return settled(
        attempt,
        Verdict.RELEASE,
        f"{PauseReason.FORBIDDEN}: {words}",
        counted=False,
        forbidden=_forbidden(attempt.row.kind),
    )


def with_more(
    outcome: Outcome, *, records: tuple[Record, ...] = (), follow_ups: tuple[FollowUp, ...] = ()
) -> Outcome:
    """What else is written when it is settled."""
    return msgspec.structs.replace(outcome, records=records, follow_ups=follow_ups)


def _forbidden(kind: Kind) -> str:
    return (
        f"The API key or token lacks a permission: {kind} needs {permission_for(kind)}. Add it at Omnisend (it takes up to five minutes) "
        "or connect again; what waits is then sent. Events go on meanwhile."
    )


def of_missing_scope(row: OutboxRow, scope: Scope) -> Outcome:
    """The token was not granted what the row needs. Known before Omnisend, whose 403 would not name it, is asked."""
    error = f"{PauseReason.FORBIDDEN}: {scope} was not granted"
    if row.kind is not Kind.EVENT:
        return Outcome(
            row=row,
            verdict=Verdict.RELEASE,
            error=error,
            counted=False,
            forbidden=_forbidden(row.kind),
        )
    pause = Pause(
        reason=PauseReason.FORBIDDEN,
        duration=BLOCKED_FOR,
        message=f"The shop's authorization lacks {scope}, which sending events needs. Connect again and grant it.",
        breaks_integration=True,
    )
    return Outcome(row=row, verdict=Verdict.RELEASE, error=error, counted=False, pause=pause)


def _retirement(duration: timedelta) -> Pause:
    return Pause(reason=PauseReason.RETIRED, duration=duration, message=_SENTENCES[PauseReason.RETIRED])


def of_retired_dialect(row: OutboxRow, remaining: timedelta) -> Outcome:
    """Omnisend answered 410 to somebody a moment ago: it is not asked again for each merchant."""
    return Outcome(
        row=row,
        verdict=Verdict.RELEASE,
        error=_SENTENCES[PauseReason.RETIRED],
        counted=False,
        pause=_retirement(remaining),
    )


def of_ungranted_batch(row: OutboxRow, missing: Sequence[Scope]) -> Outcome:
    """The token was not granted what this batch needs; batches of other things go on."""
    error = f"{PauseReason.FORBIDDEN}: {', '.join(missing)} was not granted: connect again and grant it; this waits"
    return Outcome(row=row, verdict=Verdict.RETRY, retry_in=ASK_FOR_SCOPE_IN, counted=False, error=error)


def of_transport_error(
    attempt: Attempt, error: TransportError, *, policy: RetryPolicy, rng: random.Random
) -> Outcome:
    """The outcome of a request without a whole answer. Where it may have been seen, the log says so."""
    if isinstance(error, MayHaveBeenSeen):
        words = f"no whole answer ({error}): Omnisend may have acted; sent again with the same eventID and eventTime"
    elif isinstance(error, NeverSeen):
        words = f"Omnisend could not be reached ({error})"
    else:
        words = f"no answer ({error})"
    return _later(attempt, words, policy=policy, rng=rng)


def of_skip(row: OutboxRow, skip: Skip) -> Outcome:
    """Nothing to send."""
    return Outcome(row=row, verdict=Verdict.SKIPPED, error=f"{skip.reason}: {skip.detail}")


def of_rejected_payload(row: OutboxRow, error: PayloadRejected) -> Outcome:
    """A payload that cannot become a request is dead at once: it will not change."""
    # The path it names may go through a key of the payload's, and that may be anything.
    return Outcome(row=row, verdict=Verdict.DEAD, error=scrub(f"cannot be sent: {error}", limit=1000))


def of_failed_look_up(row: OutboxRow, what: str) -> Outcome:
    """The database lacks a table or a right: nothing is known of what the row is about, so nothing is told of it."""
    return Outcome(
        row=row,
        verdict=Verdict.RETRY,
        retry_in=LOOK_AGAIN_IN,
        counted=False,
        error=f"{what} cannot be looked up: has the worker's role lost a right, or is a table missing?",
    )


def of_defect(row: OutboxRow, error: Exception, *, policy: RetryPolicy, rng: random.Random) -> Outcome:
    """An exception nobody foresaw: tried again as a later version of this program may do better, then dead."""
    wait = policy.next_wait(row.attempts, rng)
    words = f"a defect in the worker ({type(error).__name__}); see its log for event {row.id}"
    if wait is None:
        return Outcome(row=row, verdict=Verdict.DEAD, error=words)
    return Outcome(row=row, verdict=Verdict.RETRY, retry_in=wait, error=words)


def of_unreadable_answer(attempt: Attempt, what: str, *, policy: RetryPolicy, rng: random.Random) -> Outcome:
    """Omnisend answered 2xx with a body that does not say what it should."""
    return _later(attempt, f"Omnisend's answer does not say {what}", policy=policy, rng=rng)


def of_interrupted_look_up(
    attempt: Attempt, error: Exception, *, policy: RetryPolicy, rng: random.Random
) -> Outcome:
    """The database went away, or took too long, while the shop's data were read."""
    words = f"the shop's data could not be read ({type(error).__name__})"
    wait = policy.next_wait(attempt.row.attempts, rng)
    if wait is None:
        return settled(attempt, Verdict.DEAD, words)
    return settled(attempt, Verdict.RETRY, words, retry_in=wait)


def of_expiry(row: OutboxRow) -> Outcome:
    """Old news."""
    return Outcome(row=row, verdict=Verdict.EXPIRED, error="waited past its time to live")


def of_too_many_rescues(row: OutboxRow) -> Outcome:
    """A row in whose hands workers keep dying."""
    return Outcome(
        row=row,
        verdict=Verdict.DEAD,
        error=f"its lease ran out {row.rescues} times: workers stopped or stalled while sending it",
    )


def of_unusable_credential(row: OutboxRow, problem: str) -> Outcome:
    """No key, or one that cannot be opened: nobody was asked, the lane waits for an operator or an admin."""
    message = f"The stored API key cannot be used ({problem}). Connect again; waiting events are then sent."
    pause = Pause(
        reason=PauseReason.CREDENTIAL, duration=CREDENTIAL_FOR, message=message, breaks_integration=True
    )
    return Outcome(
        row=row,
        verdict=Verdict.RELEASE,
        error=f"CREDENTIAL: {problem}",
        counted=False,
        pause=pause,
        healthy=False,
    )


def of_lost_authorization(row: OutboxRow, problem: str) -> Outcome:
    """Omnisend ended the authorization: an admin must connect again."""
    pause = Pause(
        reason=PauseReason.AUTH,
        duration=BLOCKED_FOR,
        message=f"{problem[:1].upper()}{problem[1:]}. Waiting events are then sent.",
        breaks_integration=True,
    )
    return Outcome(
        row=row, verdict=Verdict.RELEASE, error=f"AUTH: {problem}", counted=False, pause=pause, healthy=False
    )


def of_unavailable_token(row: OutboxRow, problem: str) -> Outcome:
    """No access token for now, through nothing that the merchant could put right: its rows wait a moment."""
    pause = Pause(
        reason=PauseReason.CREDENTIAL, duration=TOKEN_FOR, message=f"No access token for now: {problem}."
    )
    return Outcome(
        row=row, verdict=Verdict.RELEASE, error=f"CREDENTIAL: {problem}", counted=False, pause=pause
    )


def handed_back(row: OutboxRow) -> Outcome:
    """Not sent; as if it had not been claimed."""
    return Outcome(row=row, verdict=Verdict.RELEASE, counted=False)


def of_too_late(attempt: Attempt) -> Outcome:
    """A try failed, and the lease ends too soon for another one."""
    return settled(
        attempt,
        Verdict.RELEASE,
        "not sent again within this lease, which was running out; another worker takes it up",
        counted=False,
    )


def of_replaced_credential(attempt: Attempt, pause: Pause) -> Outcome:
    """Refused with a key that was replaced meanwhile: the new one has not been asked."""
    return settled(
        attempt,
        Verdict.RELEASE,
        f"{pause.reason}: refused with a key that was replaced meanwhile; sent again with the new one",
        counted=False,
    )


def of_cut_off(attempt: Attempt) -> Outcome:
    """Still under way when the worker had to stop."""
    return settled(
        attempt,
        Verdict.RETRY,
        "cut off as the worker stopped: Omnisend may have acted; sent again with the same eventID and eventTime",
        retry_in=timedelta(),
        counted=False,
    )


def _later(attempt: Attempt, words: str, *, policy: RetryPolicy, rng: random.Random) -> Outcome:
    wait = policy.next_wait(attempt.row.attempts, rng)
    if wait is None:
        return settled(
            attempt, Verdict.DEAD, f"{words} (attempt {attempt.row.attempts}, the last)", healthy=False
        )
    return settled(attempt, Verdict.RETRY, words, retry_in=wait, healthy=False)
