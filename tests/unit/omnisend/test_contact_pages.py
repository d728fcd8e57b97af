"""Pages of contacts: who unsubscribed, and where the next page is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.answers import Answer
from soldt_outbox.omnisend.contact_pages import Page, Walk, page_request, read_page, read_walk
from soldt_outbox.omnisend.dialects import V5, V2026_03_15, Dialect

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("dialect", [V5, V2026_03_15], ids=lambda one: one.version)


def _contact(dialect: Dialect, status: str, *, kind: str = "email", at: Any = "2026-11-20T10:00:00Z") -> Any:
    channel = {"email": "email", "phone": "sms"}[kind]
    said = {"status": status, dialect.status_changed_field: at}
    return {
        "identifiers": [{"type": kind, "id": "someone", "channels": {channel: said}}],
        "updatedAt": "2026-11-21T09:00:00.5Z",
    }


def _read(dialect: Dialect, contacts: Any, paging: Any = None) -> Page:
    page = read_page(
        Answer(status=200, body=msgspec.json.encode({"contacts": contacts, "paging": paging})), dialect
    )
    assert page is not None
    return page


@BOTH
@pytest.mark.parametrize("kind", ["email", "phone"])
def test_an_unsubscribed_channel_is_read_with_its_own_instant(dialect: Dialect, kind: str) -> None:
    page = _read(dialect, [_contact(dialect, "unsubscribed", kind=kind)])
    (found,) = page.unsubscribed
    assert (found.channel, found.identifier) == ({"email": "email", "phone": "sms"}[kind], "someone")
    assert found.at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert page.newest == datetime(2026, 11, 21, 9, 0, 0, 500_000, tzinfo=UTC)


@BOTH
@pytest.mark.parametrize("status", ["subscribed", "nonSubscribed", "", "UNSUBSCRIBED"])
def test_nothing_but_unsubscribed_is_taken(dialect: Dialect, status: str) -> None:
    assert _read(dialect, [_contact(dialect, status)]).unsubscribed == []


@BOTH
@pytest.mark.parametrize("at", [None, "", "yesterday", 7, "1999-12-31T23:59:59Z"])
def test_an_unsubscribe_without_an_instant_is_passed_over(dialect: Dialect, at: Any) -> None:
    assert _read(dialect, [_contact(dialect, "unsubscribed", at=at)]).unsubscribed == []


@pytest.mark.parametrize(
    ("paging", "cursor"),
    [
        ({"cursors": {"after": "abc", "before": None}}, "abc"),
        ({"next": "https://api.omnisend.com/v5/contacts?limit=250&after=a%2Bc"}, "a+c"),
        ({"cursors": {"after": None}, "next": None}, None),
        ({"next": 7}, None),
        (None, None),
    ],
)
def test_where_the_next_page_is(paging: Any, cursor: str | None) -> None:
    assert _read(V5, [_contact(V5, "subscribed")], paging).cursor == cursor


def test_an_empty_page_is_the_last() -> None:
    assert _read(V5, [], {"cursors": {"after": "abc"}}).cursor is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"contacts": {}}', b"[" * 100_000])
def test_a_page_that_cannot_be_read_is_none(body: bytes) -> None:
    assert read_page(Answer(status=200, body=body), V5) is None


def test_a_page_is_asked_for_by_instant_and_cursor() -> None:
    path, _, query = page_request(NOON, "a+b/c").path.partition("?")
    assert path == "/contacts"
    assert parse_qs(query) == {
        "limit": ["250"],
        "sort": ["updatedAt"],
        "updatedAtFrom": ["2026-11-21T12:00:00Z"],
        "after": ["a+b/c"],
    }
    assert "after" not in urlsplit(page_request(NOON, None).path).query


def test_a_walk_comes_back_as_it_was_written() -> None:
    walk = Walk(since=NOON, cursor="abc", newest=NOON)
    assert read_walk(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(walk)))) == walk
    assert read_walk({}) == Walk()


@pytest.mark.parametrize("payload", [None, [], {"since": "yesterday"}, {"more": 1}])
def test_a_walk_that_this_project_did_not_write_is_refused(payload: Any) -> None:
    with pytest.raises(PayloadRejected, match="payload"):
        read_walk(payload)
