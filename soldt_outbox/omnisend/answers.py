"""What each answer of Omnisend means: the one table.

Sources: Omnisend, "Rate limits, timeouts and errors"; the OpenAPI files' declared answers; the official WordPress
plugin's handling. A status that no document mentions is treated as its hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from soldt_outbox.omnisend.dialects import Dialect, ErrorFormat
from soldt_outbox.redaction import scrub
from soldt_outbox.rows import Kind, PauseReason

DEFAULT_THROTTLE: Final = timedelta(seconds=60)  # the window of Omnisend's limit is a minute
MAX_THROTTLE: Final = timedelta(hours=1)  # a mistaken header must not silence a merchant for a year
MIN_THROTTLE: Final = timedelta(seconds=1)
MAX_WORDS: Final = 500  # characters of Omnisend's explanation that are kept

ANSWER_HEADERS: Final = ("retry-after", "x-rate-limit-reset", "date", "content-type")
"""The answer's headers that are looked at; the client keeps no others."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole HTTP answer.

    ``headers`` has lower-case names and only those of ``ANSWER_HEADERS``; the client adds ``date`` where it lacks.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivered:
    """2xx: Omnisend has it. For events 202 means queued, not that an automation matched."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Omnisend will never take this request; ``words`` are its reasons. Dead."""

    words: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """401, 403 or 402: not the row's fault; the merchant's lane pauses and an admin must act."""

    reason: PauseReason  # AUTH, FORBIDDEN or PAYMENT
    words: str


class ToldBy(StrEnum):
    """Where a 429's wait was read."""

    BODY = "body"
    RETRY_AFTER = "Retry-After"
    RATE_LIMIT_RESET = "X-Rate-Limit-Reset"
    NOBODY = "default"


@dataclass(frozen=True, slots=True)
class Throttled:
    """429: nothing for this brand before ``wait`` is over (``backoff.told_wait`` adds the jitter)."""

    wait: timedelta
    told_by: ToldBy
    words: str


@dataclass(frozen=True, slots=True)
class Retired:
    """410: this version of the API is gone. All sending in the dialect stops until the setting changes."""

    words: str


@dataclass(frozen=True, slots=True)
class Later:
    """A passing failure."""

    words: str


class Switch(StrEnum):
    """Which call to make instead."""

    CREATE = "create"  # 404: it does not exist
    REPLACE = "replace"  # 409, or v5's 422 "already exists"


@dataclass(frozen=True, slots=True)
class SwitchCall:
    """A catalogue call met the wrong state: send the other one."""

    to: Switch
    words: str


AnswerClass = Delivered | Rejected | Blocked | Throttled | Retired | Later | SwitchCall
"""Every meaning an answer can have; match it exhaustively."""

_CATALOGUE: Final = frozenset({Kind.PRODUCT, Kind.CATEGORY})
_BLOCKED: Final = {402: PauseReason.PAYMENT, 401: PauseReason.AUTH, 403: PauseReason.FORBIDDEN}
_LATER: Final = frozenset({408, 425})
SOON: Final = frozenset({502, 503})
"""Statuses that tend to pass in a second or two: worth another try within the lease."""


def classify(answer: Answer, *, kind: Kind, dialect: Dialect) -> AnswerClass:  # noqa: PLR0911 - one return per line of the table
    """What ``answer`` to a request about ``kind`` means. Pure, total: every status has a class."""
    status = answer.status
    if 200 <= status < 300:
        return Delivered()
    words = explain(answer, dialect)
    if status in _BLOCKED:
        return Blocked(_BLOCKED[status], words)
    if status == 429:
        wait, told_by = throttle_wait(answer)
        return Throttled(wait, told_by, words)
    if status == 410:
        return Retired(words)
    if kind in _CATALOGUE:
        switch = _switch(status, words)
        if switch is not None:
            return SwitchCall(switch, words)
    if 400 <= status < 500 and status not in _LATER:
        return Rejected(words)
    return Later(words)


def _switch(status: int, words: str) -> Switch | None:
    if status == 404:
        return Switch.CREATE
    if status == 409 or (status == 422 and "already exists" in words):
        return Switch.REPLACE
    return None


def throttle_wait(answer: Answer) -> tuple[timedelta, ToldBy]:
    """How long a 429 asks us to wait: its body, else Retry-After, else X-Rate-Limit-Reset, else a minute.

    Bounded to between a second and an hour. Omnisend documents none of the headers today and did in the past.
    """
    body = _json_object(answer.body)
    for told, told_by in (
        (_seconds(body.get("retryAfter")), ToldBy.BODY),
        (_retry_after(answer.headers), ToldBy.RETRY_AFTER),
        (_seconds(answer.headers.get("x-rate-limit-reset")), ToldBy.RATE_LIMIT_RESET),
    ):
        if told is not None:
            return min(max(told, MIN_THROTTLE), MAX_THROTTLE), told_by
    return DEFAULT_THROTTLE, ToldBy.NOBODY


def _seconds(value: object) -> timedelta | None:
    """A number of seconds, as number or text; ``None`` for what cannot be one (an epoch, a negative, words)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return timedelta(seconds=seconds) if 0 <= seconds < 1_000_000_000 else None


def _retry_after(headers: dict[str, str]) -> timedelta | None:
    """RFC 9110 10.2.3: seconds, or a date, which is read by the answer's own clock and not by ours."""
    value = headers.get("retry-after")
    if value is None:
        return None
    told = _seconds(value)
    if told is not None:
        return told
    until, now = _http_date(value), _http_date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return max(until - now, timedelta())


def _http_date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def explain(answer: Answer, dialect: Dialect) -> str:
    """Omnisend's words on an error, with personal data masked, at most ``MAX_WORDS`` characters.

    The dialect's own format is read first and the other one after it: gateways answer in either.
    """
    body = _json_object(answer.body)
    readers = (_fields_words, _problem_words)
    if dialect.error_format is ErrorFormat.PROBLEM:
        readers = (_problem_words, _fields_words)
    words = readers[0](body) or readers[1](body)
    if not words:
        words = (
            f"no explanation ({len(answer.body)} bytes that are not an error body)"
            if answer.body
            else "no body"
        )
    return scrub(f"HTTP {answer.status}: {words}", limit=MAX_WORDS)


def _fields_words(body: dict[str, Any]) -> str:
    """``{"error": "…", "fields": {…}}``."""
    parts = [_text(body.get("error"))]
    fields = body.get("fields")
    if isinstance(fields, dict):
        parts += [f"{name}: {_text(problem)}" for name, problem in list(fields.items())[:20]]
    elif isinstance(fields, list):
        parts += [_text(problem) for problem in fields[:20]]
    return "; ".join(part for part in parts if part)


def _problem_words(body: dict[str, Any]) -> str:
    """RFC 9457, with Omnisend's ``errors``; ``instance`` is what its support asks for."""
    heading = ": ".join(part for part in (_text(body.get("title")), _text(body.get("detail"))) if part)
    parts = [heading]
    errors = body.get("errors")
    if isinstance(errors, list):
        for error in errors[:20]:
            if isinstance(error, dict):
                message = _text(error.get("message")) or _text(error.get("code"))
                parts.append(": ".join(part for part in (_text(error.get("field")), message) if part))
    if any(parts) and (instance := _text(body.get("instance"))):
        parts.append(f"({instance})")
    return "; ".join(part for part in parts if part)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value[:MAX_WORDS]
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value[:5] if not isinstance(part, list))
    return str(value) if isinstance(value, int | float) else ""


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
