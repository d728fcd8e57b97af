"""`/contacts`: creating, changing, reading and listing (DOCS/reference-link/contacts)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sandbox.omnisend.answers import Answer, ok
from sandbox.omnisend.contact_request import reader
from sandbox.omnisend.contacts import CHANNEL_OF, STATUSES, Applied, Contact, ContactChange
from sandbox.omnisend.dialect import Dialect
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.paging import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    CursorPage,
    cursor,
    cursor_page,
    one_of,
    whole,
)
from sandbox.omnisend.routing import Call, Endpoint, Methods
from sandbox.omnisend.values import instant

_FILTERS: Final = frozenset({"email", "phone", "status", "segmentID", "tag"})
_LISTING: Final = _FILTERS | {"limit", "after", "before", "sort", "direction", "updatedAtFrom"}


def upsert(call: Call) -> Answer:
    """Create a contact (201) or change the one that has the e-mail address, else the phone number (200)."""
    if call.reading.is_rejected():
        return call.invalid()
    change: ContactChange = call.reading.content
    applied = call.world.contacts(call.brand.brand_id).upsert(change, datetime.now(UTC))
    return _answer(call, applied)


def _answer(call: Call, applied: Applied) -> Answer:
    for note in applied.notes:
        call.note(*note)
    return ok(shown(applied.contact, call.dialect), 201 if applied.created else 200)


def change_by_id(call: Call) -> Answer:
    return _change(call, call.world.contacts(call.brand.brand_id).get(call.parameters["id"]))


def change_by_email(call: Call) -> Answer:
    email = call.query.get("email")
    if not email:
        out = Findings()
        out.rejected("query_missing", "", "email", "is required")
        return call.invalid(tuple(out.items))
    _note_lost_plus(call, email)
    return _change(call, call.world.contacts(call.brand.brand_id).owner("email", email))


def _change(call: Call, contact: Contact | None) -> Answer:
    """404 for an unknown contact, 409 where an identifier belongs to another (OpenAPI file, both PATCHes)."""
    if call.reading.is_rejected():
        return call.invalid()
    if contact is None:
        return call.refuse(404, "Contact not found")
    contacts, change = call.world.contacts(call.brand.brand_id), call.reading.content
    if contacts.taken(change, contact) is not None:
        return call.refuse(409, "Contact identifier already exists")
    return _answer(call, contacts.change(contact, change, datetime.now(UTC)))


def show(call: Call) -> Answer:
    contact = call.world.contacts(call.brand.brand_id).get(call.parameters["id"])
    return call.refuse(404, "Contact not found") if contact is None else ok(shown(contact, call.dialect))


def list_contacts(call: Call) -> Answer:
    """Contacts in pages, newest first unless asked otherwise."""
    out, query = Findings(), call.query
    limit = whole(query, "limit", out, default=DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    by = one_of(query, "sort", ("createdAt", "updatedAt"), out)
    direction = one_of(query, "direction", ("asc", "desc"), out)
    after, before = cursor(query, "after", out), cursor(query, "before", out)
    wanted = _Filter(query, out)
    if "email" in query:
        _note_lost_plus(call, query["email"])
    if out.items:
        return call.invalid(tuple(out.items))
    page = cursor_page(
        [one for one in call.world.contacts(call.brand.brand_id) if wanted.takes(one)],
        lambda one: (_at(one.updated_at if by == "updatedAt" else one.created_at), one.contact_id),
        limit=limit,
        descending=direction != "asc",
        after=after,
        before=before,
    )
    contacts = [shown(one, call.dialect) for one in page.items]
    return ok({"contacts": contacts, "paging": _paging(call, page, limit)})


def _note_lost_plus(call: Call, email: str) -> None:
    if " " in email:
        # wp-omnisend encodes it with this reason: a plus sign means a space in a query.
        call.note("query_plus_unencoded", "email", "has a space in it; a plus sign must be sent as %2B")


class _Filter:
    """Which contacts a list shall hold; what cannot be combined is rejected."""

    def __init__(self, query: Mapping[str, str], out: Findings) -> None:
        self._query = query
        one_of(query, "status", STATUSES, out)
        if "tag" in query and "status" in query:
            out.rejected("query_combination", "", "tag", "cannot be used together with status")
        since = query.get("updatedAtFrom")
        self._since = instant(since) if since is not None else None
        if since is not None and self._since is None:
            out.rejected("query_invalid", "", "updatedAtFrom", "must be an RFC 3339 instant")
        for name in sorted(_FILTERS & query.keys()) if since is not None else ():
            out.rejected("query_combination", "", "updatedAtFrom", f"cannot be combined with {name}")

    def takes(self, contact: Contact) -> bool:
        if self._since is not None:
            return contact.updated_at >= self._since
        return all(_has(contact, name, value) for name, value in self._query.items() if name in _FILTERS)


def _has(contact: Contact, name: str, value: str) -> bool:
    match name:
        case "email":
            return contact.email == value
        case "phone":
            return value in contact.phones
        case "status":
            return contact.status == value
        case "tag":
            return value in contact.tags
        case _:
            return False  # segmentID: there are no segments here


def _paging(call: Call, page: CursorPage[Contact], limit: int) -> dict[str, Any]:
    if call.dialect.cursors:
        cursors = {"after": page.after, "before": page.before}
        return {"limit": limit, "hasMore": page.after is not None, "cursors": cursors}
    rest = {name: value for name, value in call.query.items() if name not in {"after", "before"}}

    def link(name: str, token: str | None) -> str | None:
        return None if token is None else f"{call.url()}?{urlencode({**rest, name: token})}"

    return {"limit": limit, "next": link("after", page.after), "previous": link("before", page.before)}


def _at(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(contact: Contact, dialect: Dialect) -> dict[str, Any]:
    """A contact as the API answers it."""
    identifiers, statuses = [], []
    for identifier, subscription in contact.subscriptions.items():
        at = _at(subscription.changed_at or contact.created_at)
        channel, status = CHANNEL_OF[identifier.kind], subscription.status
        state = {channel: {"status": status, dialect.status_date: at}}
        identifiers.append({"type": identifier.kind, "id": identifier.value, "channels": state})
        statuses.append({"channel": channel, "status": status, dialect.status_date_listed: at})
    return {
        dialect.contact_id: contact.contact_id,
        "createdAt": _at(contact.created_at),
        "updatedAt": _at(contact.updated_at),
        **contact.fields,
        **({"email": contact.email} if contact.email is not None else {}),
        "phone": contact.phones,
        "status": contact.status,
        "identifiers": identifiers,
        "statuses": statuses,
        "optIns": [{"channel": name, dialect.opt_in_date: _at(at)} for name, at in contact.opt_ins],
        "consents": [
            {"channel": one.channel, "createdAt": _at(one.created_at), **one.details}
            for one in contact.consents
        ],
        "tags": contact.tags,
        "segments": [],
        "customProperties": contact.custom,
    }


_READ: Final = "contacts.read"
_WRITE: Final = "contacts.write"

ROUTES: Final[dict[str, Methods]] = {
    "/contacts": {
        "GET": Endpoint(permission=_READ, act=list_contacts, parameters=_LISTING),
        "POST": Endpoint(permission=_WRITE, read=reader(creates=True), act=upsert, takes_body=True),
        "PATCH": Endpoint(
            permission=_WRITE,
            read=reader(creates=False),
            act=change_by_email,
            takes_body=True,
            parameters=frozenset({"email"}),
        ),
    },
    "/contacts/{id}": {
        "GET": Endpoint(permission=_READ, act=show),
        "PATCH": Endpoint(permission=_WRITE, read=reader(creates=False), act=change_by_id, takes_body=True),
    },
}
