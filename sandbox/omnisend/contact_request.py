"""Reading the body of a request of the Contacts API: what is wrong with it, and what it changes.

Sources: the OpenAPI file of version 2026-03-15 (`ContactRequest` and what it refers to); for version 5
DOCS/v5/reference/contacts and DOCS/v5/docs/how-to-sync-contacts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sandbox.omnisend.contact import CONSENT, PERSON, check_email, check_length, check_person, check_phone
from sandbox.omnisend.contacts import (
    CHANNEL_OF,
    STATUSES,
    Consent,
    ContactChange,
    Identifier,
    IdentifierChange,
    IdentifierKind,
    StatusChange,
)
from sandbox.omnisend.dialect import Dialect
from sandbox.omnisend.findings import Findings, join
from sandbox.omnisend.validation import Reading, decoded
from sandbox.omnisend.values import instant, json_type

_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_WELCOME: Final = "sendWelcomeMessage"
_OF_IDENTIFIER: Final = frozenset({"type", "id", "source", "channels", "consent", _WELCOME})


def reader(*, creates: bool) -> Callable[[bytes, Dialect], Reading]:
    """Reads bodies of `POST /contacts` (creates: identifiers are required) or of PATCH."""

    def read(body: bytes, dialect: Dialect) -> Reading:
        out = Findings()
        content = decoded(body, out)
        if content is None:
            return Reading(findings=tuple(out.items))
        change = _Body(content, dialect, out).read(creates=creates)
        email = next(
            (one.identifier.value for one in change.identifiers if one.identifier.kind == "email"), None
        )
        return Reading(email=email, content=change, findings=tuple(out.items))

    return read


class _Body:
    """One body on its way to a `ContactChange`."""

    def __init__(self, content: dict[str, Any], dialect: Dialect, out: Findings) -> None:
        self._content = content
        self._dialect = dialect
        self._out = out

    def read(self, *, creates: bool) -> ContactChange:
        content, out = self._content, self._out
        for name, value in content.items():
            self._check_field(name, value)
        entries = content.get("identifiers")
        if creates and not entries:
            out.rejected(
                "identifiers_missing", "", "identifiers", "an e-mail address or a phone number is needed"
            )
        custom, tags = content.get("customProperties"), content.get("tags")
        created = content.get("createdAt")
        return ContactChange(
            identifiers=self._identifiers(entries if type(entries) is list else []),
            fields={name: value for name in PERSON if type(value := content.get(name)) is str},
            tags=[tag for tag in tags if type(tag) is str] if type(tags) is list else (),
            custom={
                **(custom if type(custom) is dict else {}),
                **({"externalCreated": created} if type(created) is str else {}),
            },
        )

    def _check_field(self, name: str, value: Any) -> None:
        out = self._out
        if value is None:
            out.ignored("null", "", name, "is null; leave the field out")
        elif check_person(name, value, "", out):
            return
        elif name == "identifiers":
            if type(value) is not list:
                out.rejected("contact_type", "", name, f"must be a list, is {json_type(value)}")
        elif name == "createdAt":
            if type(value) is not str or instant(value) is None:
                out.rejected("date_invalid", "", name, "must be an RFC 3339 instant")
        elif name == self._dialect.welcome_of_contact:
            if type(value) is not bool:
                out.rejected("contact_type", "", name, f"must be a boolean, is {json_type(value)}")
        else:
            out.ignored("contact_unknown", "", name[:100], "is not a field of a contact in this version")

    def _identifiers(self, entries: list[Any]) -> tuple[IdentifierChange, ...]:
        changes = []
        for index, entry in enumerate(entries):
            path = f"identifiers[{index}]"
            if type(entry) is not dict:
                self._out.rejected("contact_type", "", path, f"must be an object, is {json_type(entry)}")
                continue
            change = self._identifier(entry, path)
            if change is not None:
                changes.append(change)
        return tuple(changes)

    def _identifier(self, entry: dict[str, Any], path: str) -> IdentifierChange | None:
        out = self._out
        for name in entry.keys() - _OF_IDENTIFIER:
            out.ignored(
                "contact_unknown", path, name[:100], "is not a field of an identifier in this version"
            )
        known, value = _known(entry.get("type")), entry.get("id")
        welcome = self._welcome(entry, path)
        if known is None:
            out.rejected("identifier_invalid", path, "type", "must be email or phone")
            return None
        if not check_length("id", value, None, path, out) or type(value) is not str:
            return None
        if known == "email":
            check_email(value, path, "id", out)
        else:
            check_phone(value, path, "id", out)
        return IdentifierChange(
            identifier=Identifier(known, value),
            path=path,
            status=self._status(entry.get("channels"), known, path),
            consent=self._consent(entry, known, path),
            welcome=welcome,
        )

    def _welcome(self, entry: dict[str, Any], path: str) -> bool:
        """Whether to welcome this identifier's person; a finding where the request leaves it to the default.

        Version 5 documents the field beside the identifiers, and its guide shows it in them; both are read.
        """
        of_contact = self._dialect.welcome_of_contact
        asked = entry.get(_WELCOME)
        if asked is None and of_contact is not None:
            asked = self._content.get(of_contact)
        if asked is None:
            default = "true" if self._dialect.welcome_default else "false"
            message = f"is not given, and {default} by default; say what is meant"
            self._out.ignored("welcome_not_explicit", path, _WELCOME, message)
            return self._dialect.welcome_default
        if type(asked) is not bool:
            self._out.rejected("contact_type", path, _WELCOME, f"must be a boolean, is {json_type(asked)}")
            return False
        return asked

    def _status(self, channels: Any, kind: IdentifierKind, path: str) -> StatusChange | None:
        out, path = self._out, join(path, "channels")
        if channels is None:
            return None
        if type(channels) is not dict:
            out.rejected("contact_type", path, "", f"must be an object, is {json_type(channels)}")
            return None
        own = CHANNEL_OF[kind]
        for name in channels.keys() - {own}:
            out.rejected(
                "channel_wrong", path, name[:100], f"an identifier of type {kind} has the channel {own}"
            )
        channel = channels.get(own)
        if type(channel) is not dict:
            out.rejected("contact_type", path, own, f"must be an object, is {json_type(channel)}")
            return None
        return self._status_of(channel, join(path, own))

    def _status_of(self, channel: dict[str, Any], path: str) -> StatusChange | None:
        out, date = self._out, self._dialect.status_date
        for name in channel.keys() - {"status", date}:
            out.ignored("contact_unknown", path, name[:100], "is not a field of a channel in this version")
        status = channel.get("status")
        if status not in STATUSES:
            out.rejected("status_unknown", path, "status", f"must be one of {', '.join(STATUSES)}")
            return None
        now, told = datetime.now(UTC), channel.get(date)
        if told is None:
            # It then counts as changed now: a late import would undo what the person has said since.
            out.ignored(
                "status_date_missing", path, date, "is not given, so the status counts as changed now"
            )
            return StatusChange(status=status, changed_at=now)
        at = instant(told) if type(told) is str else None
        if at is None:
            out.rejected("date_invalid", path, date, "must be an RFC 3339 instant")
            return None
        if at > now + _CLOCKS_DIFFER:
            out.ignored("status_date_in_future", path, date, "would outdate what the person says until then")
        return StatusChange(status=status, changed_at=at)

    def _consent(self, entry: dict[str, Any], kind: IdentifierKind, path: str) -> Consent | None:
        consent = entry.get("consent")
        if consent is None:
            return None
        out, path = self._out, join(path, "consent")
        if type(consent) is not dict:
            out.rejected("contact_type", path, "", f"must be an object, is {json_type(consent)}")
            return None
        if not consent:
            out.ignored("consent_empty", path, "", "is empty, which counts as consent given now")
        for name in consent.keys() - CONSENT.keys() - {"createdAt"}:
            out.ignored("contact_unknown", path, name[:100], "is not a field of a consent")
        details = {}
        for name, longest in CONSENT.items():
            if name in consent and check_length(name, consent[name], longest, path, out):
                details[name] = consent[name]
                if not consent[name]:
                    out.rejected("consent_invalid", path, name, "must be a string that says something")
        told = consent.get("createdAt")
        at = datetime.now(UTC) if told is None else instant(told) if type(told) is str else None
        if at is None:
            out.rejected("date_invalid", path, "createdAt", "must be an RFC 3339 instant")
            return None
        return Consent(CHANNEL_OF[kind], at, details)


def _known(kind: Any) -> IdentifierKind | None:
    match kind:
        case "email":
            return "email"
        case "phone":
            return "phone"
        case _:
            return None
