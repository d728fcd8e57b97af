"""Reading contacts at Omnisend, page by page, for people who unsubscribed there. Pure.

There is no webhook for it: "no webhooks for contact changes", so ``GET /contacts?updatedAtFrom=…`` is asked now and then
(Omnisend's contacts reference). The order of a list is not documented in both versions, so nothing here depends on it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.answers import Answer
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping.contacts import CONTACTS_PATH
from soldt_outbox.rows import OmnisendRequest, Unreadable

PAGE: Final = 250  # the most that Omnisend gives at once
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)  # before Omnisend
_CHANNELS: Final = ("email", "sms")
_MAX_CURSOR: Final = 2_000


class Walk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of ``contacts_poll``: where it goes on, if it has begun.

    ``since``: contacts changed since; None where that is to be looked up. ``newest``: the latest change seen so far. ``brand``:
    whose contacts these are.
    """

    brand: str | None = None
    since: datetime | None = None
    cursor: str | None = None
    newest: datetime | None = None


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who no longer wants to be written to on a channel, since ``at``."""

    channel: str
    identifier: str
    at: datetime


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a page holds of interest. ``cursor``: of the page after it, if there is one."""

    unsubscribed: list[Unsubscribed]
    newest: datetime | None
    cursor: str | None


def read_walk(payload: Any) -> Walk:
    """A row's payload. Raises ``PayloadRejected`` for what this project did not write."""
    if isinstance(payload, Unreadable):
        raise PayloadRejected("payload", payload.problem)
    try:
        return msgspec.convert(payload, Walk)
    except msgspec.ValidationError as error:
        raise PayloadRejected("payload", f"is no walk over contacts ({error})") from None


def page_request(since: datetime, cursor: str | None) -> OmnisendRequest:
    """The request for a page."""
    at = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"{CONTACTS_PATH}?limit={PAGE}&sort=updatedAt&updatedAtFrom={quote(at)}"
    if cursor is not None:
        path += f"&after={quote(cursor, safe='')}"
    return OmnisendRequest(method="GET", path=path, body=b"")


class _Identifier(msgspec.Struct):
    id: str | None = None
    channels: dict[str, Any] | None = None


class _Contact(msgspec.Struct):
    identifiers: list[_Identifier] | None = None
    updatedAt: str | None = None  # noqa: N815 - Omnisend's name


class _Contacts(msgspec.Struct):
    contacts: list[_Contact]
    paging: dict[str, Any] | None = None


def read_page(answer: Answer, dialect: Dialect) -> Page | None:
    """What a page says; None where it cannot be read."""
    try:
        listed = msgspec.json.decode(answer.body, type=_Contacts)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    changed = [at for one in listed.contacts if (at := _instant(one.updatedAt)) is not None]
    return Page(
        unsubscribed=[
            found
            for one in listed.contacts
            for identifier in one.identifiers or ()
            for found in _unsubscribed(identifier, dialect)
        ],
        newest=max(changed, default=None),
        cursor=_cursor(listed.paging or {}) if listed.contacts else None,
    )


def _unsubscribed(identifier: _Identifier, dialect: Dialect) -> list[Unsubscribed]:
    found = []
    for channel in _CHANNELS:
        said = (identifier.channels or {}).get(channel)
        if not isinstance(said, dict) or said.get("status") != "unsubscribed" or not _storable(identifier.id):
            continue
        at = _instant(said.get(dialect.status_changed_field))
        if at is not None and at >= BEGINNING:
            found.append(Unsubscribed(channel=channel, identifier=identifier.id, at=at))
    return found


def _cursor(paging: dict[str, Any]) -> str | None:
    """Named as such in 2026-03-15; in v5 a parameter of the next page's URL."""
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if after is None and isinstance(paging.get("next"), str):
        after = next(iter(parse_qs(urlsplit(paging["next"]).query).get("after", [])), None)
    return after if isinstance(after, str) and _storable(after) else None


def _storable(word: str | None) -> TypeGuard[str]:
    """Whether it can be kept in a row: an address or a cursor of a sane length, without what PostgreSQL does not store."""
    return word is not None and 0 < len(word) <= _MAX_CURSOR and word.isprintable()


def _instant(value: Any) -> datetime | None:
    try:
        found = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
