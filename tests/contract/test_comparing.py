"""The comparison itself: it names the field, and takes nothing for the same that JSON or HTTP tell apart."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.expectations import FORM, Expectation, differences
from tests.contract.recorder import Sent


def sent(body: bytes = b"", target: str = "/v5/events", **headers: str) -> Sent:
    return Sent(method="POST", target=target, headers=headers, body=body, status=202)


def wanted(body: Any = None, query: dict[str, str] | None = None, **headers: str | None) -> Expectation:
    return Expectation(
        source=[],
        method="POST",
        path="/v5/events",
        query=query or {},
        headers=headers,
        body=body,
        answer=202,
    )


@pytest.mark.parametrize(
    ("body", "expected", "named"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["body.a.b[1] is 2 and should be 3"]),
        ({"a": True}, {"a": 1}, ["body.a is True and should be 1"]),
        ({"a": "1"}, {"a": 1}, ["body.a is '1' and should be 1"]),
        ({"a": 1, "b": None}, {"a": 1}, ["body.b is not expected: None"]),
        ({"a": 1}, {"a": 1, "b": {}}, ["body.b is missing"]),
        ({"a": []}, {"a": {}}, ["body.a is [] and should be {}"]),
    ],
)
def test_the_field_that_differs_is_named(body: Any, expected: Any, named: list[str]):
    assert differences(sent(json.dumps(body).encode()), wanted(expected)) == named


def test_a_number_is_the_same_however_many_zeros_it_ends_with():
    assert (
        differences(sent(b'{"price": 12.50, "total": 10.0}'), wanted({"price": Decimal("12.5"), "total": 10}))
        == []
    )


def test_headers_are_compared_and_some_must_be_absent():
    found = differences(sent(authorization="x"), wanted(authorization=None, accept="application/json"))
    assert sorted(found) == [
        "headers.accept is None and should be 'application/json'",
        "headers.authorization is 'x' and should be None",
    ]


def test_a_path_and_its_query_are_compared_apart():
    found = differences(sent(target="/v5/contacts?limit=1"), wanted(query={"limit": "250"}))
    assert sorted(found) == [
        "path is '/v5/contacts' and should be '/v5/events'",
        "query.limit is '1' and should be '250'",
    ]


def test_a_form_is_read_as_one():
    form = sent(b"code=a%20b&client_id=soldt", **{"content-type": FORM})
    assert differences(form, wanted({"code": "a b", "client_id": "other"})) == [
        "body.client_id is 'soldt' and should be 'other'"
    ]
