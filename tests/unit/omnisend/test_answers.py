import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soldt_outbox.omnisend.answers import (
    Answer,
    Blocked,
    Delivered,
    Later,
    Rejected,
    Retired,
    Switch,
    SwitchCall,
    Throttled,
    ToldBy,
    classify,
    explain,
    throttle_wait,
)
from soldt_outbox.omnisend.dialects import DIALECTS, V5, V2026_03_15
from soldt_outbox.rows import Kind, PauseReason


def meaning(status, kind=Kind.EVENT, **fields):
    return classify(Answer(status=status, **fields), kind=kind, dialect=V5)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_delivered(status):
    assert meaning(status) == Delivered()


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 418, 422, 451])
def test_rejected(status):
    assert isinstance(meaning(status), Rejected)


@pytest.mark.parametrize(
    ("status", "reason"), [(401, PauseReason.AUTH), (402, PauseReason.PAYMENT), (403, PauseReason.FORBIDDEN)]
)
def test_blocked(status, reason):
    got = meaning(status)
    assert isinstance(got, Blocked)
    assert got.reason is reason


@pytest.mark.parametrize(
    "status", [100, 103, 301, 302, 304, 307, 408, 425, 500, 501, 502, 503, 504, 524, 599, 0, 999]
)
def test_later(status):
    assert isinstance(meaning(status), Later)


def test_retired():
    assert isinstance(meaning(410), Retired)
    assert isinstance(meaning(410, Kind.PRODUCT), Retired)


@pytest.mark.parametrize("kind", [Kind.PRODUCT, Kind.CATEGORY])
def test_catalogue_calls_switch(kind):
    exists = json.dumps({"error": "Product with 'x' productID already exists"}).encode()
    assert isinstance(meaning(404, kind), SwitchCall)
    assert meaning(404, kind).to is Switch.CREATE
    assert meaning(409, kind).to is Switch.REPLACE
    assert meaning(422, kind, body=exists).to is Switch.REPLACE
    assert isinstance(meaning(422, kind), Rejected)
    assert isinstance(meaning(422, Kind.CONTACT, body=exists), Rejected)


@pytest.mark.parametrize(
    ("body", "headers", "seconds", "told_by"),
    [
        (b'{"retryAfter":10}', {"retry-after": "20"}, 10, ToldBy.BODY),
        (b'{"retryAfter":"7"}', {}, 7, ToldBy.BODY),
        (b"{}", {"retry-after": "20", "x-rate-limit-reset": "30"}, 20, ToldBy.RETRY_AFTER),
        (
            b"",
            {"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            30,
            ToldBy.RETRY_AFTER,
        ),
        (
            b"",
            {"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            1,
            ToldBy.RETRY_AFTER,
        ),
        (b"not json", {"retry-after": "soon", "x-rate-limit-reset": "30"}, 30, ToldBy.RATE_LIMIT_RESET),
        (b"", {}, 60, ToldBy.NOBODY),
        (b'{"retryAfter":-5}', {}, 60, ToldBy.NOBODY),
        (b'{"retryAfter":true}', {}, 60, ToldBy.NOBODY),
        (b"", {"x-rate-limit-reset": "1795255200"}, 60, ToldBy.NOBODY),
        (b'{"retryAfter":1e400}', {}, 60, ToldBy.NOBODY),
        (b'{"retryAfter":0}', {}, 1, ToldBy.BODY),
        (b'{"retryAfter":999999}', {}, 3600, ToldBy.BODY),
    ],
)
def test_how_long_a_429_waits(body, headers, seconds, told_by):
    answer = Answer(status=429, body=body, headers=headers)
    assert throttle_wait(answer) == (timedelta(seconds=seconds), told_by)
    got = classify(answer, kind=Kind.EVENT, dialect=V5)
    assert isinstance(got, Throttled)
    assert got.wait == timedelta(seconds=seconds)


V5_BODY = {"error": "Invalid event", "fields": {"contact.email": "thandi@example.com is not an address"}}
PROBLEM_BODY = {
    "type": "https://problems.omnisend.com/validation",
    "title": "Validation failed",
    "status": 400,
    "detail": "2 errors",
    "instance": "urn:omnisend:request:6b1f7a52-6a39-5c0e-9a57-0f4a3c1f8e26",
    "errors": [
        {"field": "contact.phone", "code": "invalid", "message": "+27821234567 is no phone"},
        {"code": "odd"},
        5,
    ],
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=str)
def test_omnisend_s_words_in_either_format_with_personal_data_masked(dialect):
    words = explain(Answer(status=400, body=json.dumps(V5_BODY).encode()), dialect)
    assert words.startswith("HTTP 400: Invalid event; contact.email: th***@example.com#")
    words = explain(Answer(status=400, body=json.dumps(PROBLEM_BODY).encode()), dialect)
    assert words == (
        "HTTP 400: Validation failed: 2 errors; contact.phone: ***4567 is no phone; odd; "
        "(urn:omnisend:request:6b1f7a52-6a39-5c0e-9a57-0f4a3c1f8e26)"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", "no body"), (b"<html>", "6 bytes"), (b"[1]", "3 bytes"), (b"[" * 99_999, "bytes")],
)
def test_an_answer_without_words(body, words):
    assert words in explain(Answer(status=500, body=body), V5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda c: (
        st.lists(c)
        | st.dictionaries(st.sampled_from(["error", "fields", "title", "errors", "retryAfter", "x"]), c)
    ),
    max_leaves=10,
)


@given(st.integers(0, 1000), st.binary() | json_values.map(lambda v: json.dumps(v).encode()), st.dictionaries(
    st.sampled_from(["retry-after", "date", "x-rate-limit-reset"]), st.text()
), st.sampled_from(Kind))  # fmt: skip
def test_every_answer_has_a_meaning_and_short_words(status, body, headers, kind):
    got = classify(Answer(status=status, body=body, headers=headers), kind=kind, dialect=V2026_03_15)
    assert len(getattr(got, "words", "")) <= 500
    if isinstance(got, Throttled):
        assert timedelta(seconds=1) <= got.wait <= timedelta(hours=1)
