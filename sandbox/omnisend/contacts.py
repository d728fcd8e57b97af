"""The contacts of a brand, and what becomes of them when a request or an event speaks of one.

Sources: the OpenAPI file of the Contacts API (version 2026-03-15), DOCS/reference-link/contacts and the page on
channel statuses of version 3, where DOCS is https://api-docs.omnisend.com.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Final, Literal, NamedTuple

import msgspec

from sandbox.omnisend.contact import PERSON
from sandbox.omnisend.values import instant
from sandbox.omnisend.views import ChannelView, ConsentView, ContactView, WelcomeMessage

IdentifierKind = Literal["email", "phone"]
ChannelName = Literal["email", "sms"]
ChannelStatus = Literal["subscribed", "nonSubscribed", "unsubscribed"]

CHANNEL_OF: Final[Mapping[str, ChannelName]] = {"email": "email", "phone": "sms"}
"""Each identifier has one channel (DOCS/reference-link/contacts)."""
_numbers: Final = count(0x65F000000000000000000001)
"""Of Omnisend's contact ids only the form is known: 24 hex digits."""
STATUSES: Final[tuple[ChannelStatus, ...]] = ("subscribed", "nonSubscribed", "unsubscribed")


class Identifier(NamedTuple):
    kind: IdentifierKind
    value: str


class Consent(NamedTuple):
    channel: ChannelName
    created_at: datetime
    details: Mapping[str, str]
    """source, ip, userAgent."""


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    status: ChannelStatus
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class IdentifierChange:
    """What a request says of one identifier; `welcome` already has the dialect's default in it."""

    identifier: Identifier
    path: str
    status: StatusChange | None
    consent: Consent | None
    welcome: bool


@dataclass(frozen=True, kw_only=True)
class ContactChange:
    """What a request says of a contact; what it does not name stays."""

    identifiers: tuple[IdentifierChange, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    custom: Mapping[str, Any] = field(default_factory=dict)


class Subscription(msgspec.Struct, gc=False):
    """The status of an identifier's channel and since when it holds.

    `changed_at` is None as long as nobody has told a status: a contact that an event made known counts as
    nonSubscribed, and the first status that is told of it holds, whatever its date. Omnisend's documentation says
    nothing about it.
    """

    status: ChannelStatus = "nonSubscribed"
    changed_at: datetime | None = None

    def is_newer_than(self, at: datetime) -> bool:
        return self.changed_at is not None and at < self.changed_at


class Contact(msgspec.Struct, eq=False, gc=False):
    contact_id: str
    created_at: datetime
    updated_at: datetime
    subscriptions: dict[Identifier, Subscription] = {}
    fields: dict[str, str] = {}
    tags: list[str] = []
    custom: dict[str, Any] = {}
    consents: list[Consent] = []
    opt_ins: list[tuple[ChannelName, datetime]] = []
    told: Mapping[str, Any] | None = None
    """What the last event said; the next one mostly says the same."""

    @property
    def email(self) -> str | None:
        return next((one.value for one in self.subscriptions if one.kind == "email"), None)

    @property
    def phones(self) -> list[str]:
        return [one.value for one in self.subscriptions if one.kind == "phone"]

    @property
    def status(self) -> ChannelStatus:
        """That of the e-mail channel, or of the only one there is."""
        return next(iter(self.subscriptions.values())).status if self.subscriptions else "nonSubscribed"


class Note(NamedTuple):
    """Something that had no effect, as a finding."""

    code: str
    path: str
    message: str


@dataclass(frozen=True)
class Applied:
    """A contact after a request, and what of the request had no effect."""

    contact: Contact
    created: bool
    notes: list[Note]


class Contacts:
    """The contacts of one brand."""

    def __init__(self, brand_id: str) -> None:
        self._brand_id = brand_id
        self._by_id: dict[str, Contact] = {}
        self._by_identifier: dict[tuple[str, str], Contact] = {}
        self.welcome_messages: list[WelcomeMessage] = []
        self.ignored_statuses = 0
        """Statuses older than the one that was there."""
        self.ignored_identifiers = 0
        """Identifiers that belonged to another contact."""

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._by_id.values())

    def get(self, contact_id: str) -> Contact | None:
        return self._by_id.get(contact_id)

    def owner(self, kind: str, value: str) -> Contact | None:
        return self._by_identifier.get((kind, value))

    def upsert(self, change: ContactChange, now: datetime) -> Applied:
        """Change the contact with this e-mail, or if none is named with this phone; create it if there is none.

        The change must name one of them.
        """
        named = sorted(change.identifiers, key=lambda one: one.identifier.kind != "email")
        known = self._by_identifier.get(named[0].identifier)
        if known is not None:
            return self.change(known, change, now)
        contact = self._created(now)
        return Applied(contact, created=True, notes=self.change(contact, change, now).notes)

    def taken(self, change: ContactChange, contact: Contact) -> IdentifierChange | None:
        """The first identifier of a change that belongs to somebody else."""
        for one in change.identifiers:
            if self._by_identifier.get(one.identifier, contact) is not contact:
                return one
        return None

    def change(self, contact: Contact, change: ContactChange, now: datetime) -> Applied:
        notes: list[Note] = []
        for one in change.identifiers:
            problem = self._link(contact, one.identifier)
            if problem is not None:
                notes.append(Note(problem[0], f"{one.path}.id", problem[1]))
            else:
                self._follow(contact, one, notes, now)
        contact.told = None
        contact.fields.update(change.fields)
        contact.custom.update(change.custom)
        contact.tags += [tag for tag in change.tags if tag not in contact.tags]
        contact.updated_at = now
        return Applied(contact, created=False, notes=notes)

    def _created(self, now: datetime) -> Contact:
        contact = Contact(f"{next(_numbers):024x}", now, now)
        self._by_id[contact.contact_id] = contact
        return contact

    def _link(self, contact: Contact, identifier: Identifier) -> tuple[str, str] | None:
        """Give an identifier to a contact, as nonSubscribed; or the reason why it is silently ignored."""
        owner = self._by_identifier.get(identifier, contact)
        if owner is not contact:
            self.ignored_identifiers += 1
            return "identifier_taken", "belongs to another contact and is ignored"
        own = contact.subscriptions
        if identifier in own:
            return None
        if own and identifier.kind == "email":
            if contact.email is not None:
                # "You can update any field, except email" (PATCH of version 3); a contact has one address.
                return "email_not_changed", "is not the address this contact has, which stays"
            # First, for the contact's own status is that of its e-mail.
            contact.subscriptions = {identifier: Subscription(), **own}
        else:
            own[identifier] = Subscription()
        self._by_identifier[identifier] = contact
        return None

    def _follow(self, contact: Contact, one: IdentifierChange, notes: list[Note], now: datetime) -> None:
        """Take over status and consent."""
        if one.consent is not None:
            contact.consents.append(one.consent)
        if one.status is None:
            return
        subscription = contact.subscriptions[one.identifier]
        if subscription.is_newer_than(one.status.changed_at):
            # "If you'll post status date earlier than in system, status and statusDate won't be changed."
            self.ignored_statuses += 1
            notes.append(Note("status_older", f"{one.path}.channels", "is older than the status there is"))
            return
        became = one.status.status == "subscribed" and subscription.status != "subscribed"
        subscription.status, subscription.changed_at = one.status.status, one.status.changed_at
        channel = CHANNEL_OF[one.identifier.kind]
        if became:
            contact.opt_ins.append((channel, one.status.changed_at))
        if became and one.welcome:
            self.welcome_messages.append(
                WelcomeMessage(self._brand_id, contact.contact_id, channel, one.identifier.value, now)
            )

    def of_event(self, told: Mapping[str, Any], now: datetime) -> bool:
        """Create or change the contact an event is about; False where it names only an id that nobody has.

        Statuses stay as they are, and a new contact is nonSubscribed, unless the event carries opt-ins, opt-outs or
        consents. An identifier of another contact is ignored.
        """
        email, phone, wanted = told.get("email"), told.get("phone"), told.get("id")
        contact = self._by_id.get(wanted) if wanted else None
        if contact is None:
            contact = self._by_identifier.get(("email", email) if email else ("phone", phone or ""))
        if contact is None:
            if not (email or phone):
                return False
            contact = self._created(now)
        elif contact.told == told:
            return True
        if email:
            self._link(contact, Identifier("email", email))
        if phone:
            self._link(contact, Identifier("phone", phone))
        self._learn(contact, told, now)
        contact.told = told
        return True

    def _learn(self, contact: Contact, told: Mapping[str, Any], now: datetime) -> None:
        fields = contact.fields
        for name, value in told.items():
            if name in PERSON:
                if value and fields.get(name) != value:
                    fields[name] = value
                    contact.updated_at = now
            elif name == "tags":
                contact.tags += [tag for tag in value or () if tag not in contact.tags]
            elif name == "customProperties":
                contact.custom.update(value or {})
            elif name in {"optIns", "optOuts", "consents"}:
                _consent_of_event(contact, name, value or ())
                contact.updated_at = now

    def unsubscribe(self, identifier: Identifier, now: datetime) -> ContactView:
        """The person clicks "unsubscribe" in a message that came to this address or number.

        Raises:
            ValueError: nobody has it.
        """
        contact = self._by_identifier.get(identifier)
        if contact is None:
            raise ValueError(f"brand {self._brand_id} has no contact with this {identifier.kind}")
        contact.subscriptions[identifier] = Subscription("unsubscribed", now)
        contact.updated_at = now
        return self._view(contact)

    def views(self) -> list[ContactView]:
        return [self._view(contact) for contact in self]

    def _view(self, contact: Contact) -> ContactView:
        return ContactView(
            brand=self._brand_id,
            contact_id=contact.contact_id,
            created_at=contact.created_at,
            updated_at=contact.updated_at,
            channels=[
                ChannelView(
                    kind=identifier.kind,
                    identifier=identifier.value,
                    channel=CHANNEL_OF[identifier.kind],
                    status=one.status,
                    changed_at=one.changed_at,
                )
                for identifier, one in contact.subscriptions.items()
            ],
            fields=contact.fields,
            tags=contact.tags,
            custom_properties=contact.custom,
            consents=[
                ConsentView(channel=one.channel, created_at=one.created_at, details=dict(one.details))
                for one in contact.consents
            ],
        )


def _consent_of_event(contact: Contact, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
    for entry in entries:
        channel: ChannelName = entry["channel"]
        at = instant(entry["createdAt"])
        if at is None:
            continue
        if name == "consents":
            details = {key: entry[key] for key in ("source", "ip", "userAgent") if key in entry}
            contact.consents.append(Consent(channel, at, details))
            continue
        for identifier, subscription in contact.subscriptions.items():
            if CHANNEL_OF[identifier.kind] == channel and not subscription.is_newer_than(at):
                subscription.status = "subscribed" if name == "optIns" else "unsubscribed"
                subscription.changed_at = at
