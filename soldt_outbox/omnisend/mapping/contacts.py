"""A customer as Omnisend's contact: who it is, and on which channels they agreed to be written to.

The row says that something changed; what each address may be used for is read from the recorded consents when the
row is sent. Sources: Omnisend's contacts reference for v5 and 2026-03-15, where not said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never
from uuid import UUID

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.json_objects import encode
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping.contact_details import contact_details
from soldt_outbox.omnisend.mapping.events import MAX_BODY_BYTES
from soldt_outbox.omnisend.mapping.people import E164, Customer, customer
from soldt_outbox.omnisend.mapping.reading import instant, kind_of, structure, text
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, OutboxRow, Skip

CONTACTS_PATH: Final = "/contacts"

NEVER_SAID: Final = "2000-01-01T00:00:00.000Z"
"""The instant of a status of which nothing is recorded: before Omnisend, so that it is older than anything said there.

Omnisend ignores a status that is older than the one it has (v3 contacts reference). With the instant of the order, a
customer who had unsubscribed at Omnisend and then orders would become nonSubscribed, and their opt-out would be lost. A new
contact takes this one. The database refuses consents from before it.
"""

MAX_SOURCE: Final = 100
MAX_USER_AGENT: Final = 200


class ContactRow(StrEnum):
    """The names of rows of kind ``contact``."""

    CONTACT_CHANGED = "contact_changed"
    CONSENT_GIVEN = "consent_given"
    CONSENT_WITHDRAWN = "consent_withdrawn"


class Channel(StrEnum):
    """How a person can be written to, and what consent is given for."""

    EMAIL = "email"
    SMS = "sms"


class Status(StrEnum):
    """A channel's, in Omnisend's words. ``NON_SUBSCRIBED``: nobody said anything."""

    SUBSCRIBED = "subscribed"
    NON_SUBSCRIBED = "nonSubscribed"
    UNSUBSCRIBED = "unsubscribed"


class Origin(StrEnum):
    """Where a recorded consent came from: a form of the shop, Omnisend itself, or an import from another system."""

    SHOP = "shop"
    OMNISEND = "omnisend"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentState:
    """What a person said last on a channel, at the instant ``since``.

    ``recent``: at most a day before it was read. ``consent_id`` is the recorded consent's.
    """

    status: Status
    since: datetime
    source: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    origin: Origin = Origin.SHOP
    recent: bool = False
    consent_id: int | None = None


Consents = Mapping[tuple[str, str], ConsentState]
"""By channel and identifier; what is not there, nobody said anything about."""

_IDENTIFIER_TYPES: Final = {Channel.EMAIL: "email", Channel.SMS: "phone"}


def read_consents(rows: Iterable[Mapping[str, Any]]) -> dict[UUID, dict[tuple[str, str], ConsentState]]:
    """The rows of the statement ``consent_states``, by merchant."""
    found: dict[UUID, dict[tuple[str, str], ConsentState]] = {}
    for row in rows:
        found.setdefault(row["merchant_id"], {})[row["channel"], row["identifier"]] = ConsentState(
            status=Status(row["status"]),
            since=row["since"],
            source=row["source"],
            ip=row["ip"],
            user_agent=row["user_agent"],
            origin=Origin(row["origin"]),
            recent=row["recent"],
            consent_id=row["consent_id"],
        )
    return found


def contact_identifiers(row: OutboxRow, merchant: MerchantProfile) -> list[tuple[str, str]]:
    """The (channel, identifier) pairs whose consents ``map_contact`` needs; none for what it would reject."""
    return [
        (channel.value, address) for channel, address in _stored_addresses(row.payload, merchant.country_code)
    ]


def contact_recipient(stored: Any, country: str) -> str | None:
    """Whom a contact's payload is about, as ``map_contact`` reads it: e-mail else phone; ``None`` where it names nobody."""
    addresses = _stored_addresses(stored, country)
    return addresses[0][1] if addresses else None


def map_contact(
    row: OutboxRow, merchant: MerchantProfile, consents: Consents, dialect: Dialect
) -> OmnisendRequest | Skip:
    """The request for a row of kind ``contact``, or why there is nothing to send.

    ``consents`` holds what is recorded of the addresses of ``contact_identifiers``. Raises ``PayloadRejected``.
    """
    name = _name(row)
    payload = structure(row.payload)
    if not isinstance(payload, dict):
        raise PayloadRejected("payload", f"is {kind_of(payload)}, not an object")
    who = _person(payload, merchant.country_code)
    addresses = _addresses(who)
    if not addresses:
        return Skip(
            reason="missing_identity",
            detail="no valid e-mail and no possible phone: Omnisend's contacts are known by these",
        )
    states = [(channel, address, consents.get((channel, address))) for channel, address in addresses]
    body = encode(
        {"identifiers": [_identifier(row, *state, dialect) for state in states]}
        | _contact_welcome(row, states, dialect)
        | _details(name, payload, who, merchant)
    )
    if len(body) > MAX_BODY_BYTES:
        raise PayloadRejected(
            "payload", f"makes a request of {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are sent"
        )
    return OmnisendRequest(method="POST", path=CONTACTS_PATH, body=body, recipient=addresses[0][1])


def _name(row: OutboxRow) -> ContactRow:
    if row.kind is not Kind.CONTACT:
        raise PayloadRejected("kind", f"is {row.kind}, which is not a contact")
    try:
        return ContactRow(row.name)
    except ValueError:
        raise PayloadRejected("name", f"is none of {', '.join(ContactRow)}") from None


def _person(payload: dict[str, Any], country: str) -> Customer:
    """Who it is about. A phone for which a consent was recorded is taken as it was recorded: that is its key."""
    who = customer(payload, country)
    recorded = payload.get("phone")
    if payload.get("channel") == Channel.SMS and isinstance(recorded, str) and E164.fullmatch(recorded):
        return who._replace(phone=recorded)
    return who


def _stored_addresses(stored: Any, country: str) -> list[tuple[Channel, str]]:
    payload = structure(stored)
    return _addresses(_person(payload, country)) if isinstance(payload, dict) else []


def _addresses(who: Customer) -> list[tuple[Channel, str]]:
    found = [(Channel.EMAIL, who.email)] if who.email else []
    if who.phone and E164.fullmatch(who.phone):
        found.append((Channel.SMS, who.phone))
    return found


def _identifier(
    row: OutboxRow, channel: Channel, address: str, state: ConsentState | None, dialect: Dialect
) -> dict[str, Any]:
    status = Status.NON_SUBSCRIBED if state is None else state.status
    found: dict[str, Any] = {
        "type": _IDENTIFIER_TYPES[channel],
        "id": address,
        "channels": {channel: {"status": status, dialect.status_changed_field: _status_changed(state)}},
        "sendWelcomeMessage": _welcome(row, state),
    }
    if state is not None and status is Status.SUBSCRIBED:
        found["consent"] = _proof(state)
    return found


def _status_changed(state: ConsentState | None) -> str:
    """The consent's own instant, so that a row that leaves late cannot undo what was said since.

    It is sent to the millisecond, a withdrawal's rounded up: at Omnisend too it is newer than a consent of its instant.
    """
    if state is None:
        return NEVER_SAID
    match state.status:
        case Status.SUBSCRIBED:
            return instant(state.since)
        case Status.UNSUBSCRIBED:
            return instant(state.since + timedelta(milliseconds=1))
        case Status.NON_SUBSCRIBED:
            return NEVER_SAID
        case _:
            assert_never(state.status)


def _proof(state: ConsentState) -> dict[str, str]:
    """Never empty: Omnisend takes an empty object for consent given now."""
    fields = (
        ("source", text(state.source, MAX_SOURCE)),
        ("ip", state.ip),
        ("userAgent", text(state.user_agent, MAX_USER_AGENT)),
    )
    return {"createdAt": instant(state.since)} | {field: value for field, value in fields if value}


def _welcome(row: OutboxRow, state: ConsentState | None) -> bool:
    """Whether Omnisend greets: for the consent of this very row, given in the shop within the day, and nothing said since.

    Always sent, since its default is true in 2026-03-15 and false in v3.
    """
    return (
        row.name == ContactRow.CONSENT_GIVEN
        and state is not None
        and state.status is Status.SUBSCRIBED
        and state.origin is Origin.SHOP
        and state.recent
        and str(state.consent_id) == row.dedup_key
    )


def _contact_welcome(
    row: OutboxRow, states: list[tuple[Channel, str, ConsentState | None]], dialect: Dialect
) -> dict[str, bool]:
    """The contact's own word on it in v5, which is about e-mail.

    Its reference has this field ("Create or update existing contact"), its guide ("How to: sync contacts") the identifiers'
    one; both are sent and say the same, so that neither place is left to a default.
    """
    if dialect.contact_welcome_field is None:
        return {}
    of_email = (state for channel, _, state in states if channel is Channel.EMAIL)
    return {dialect.contact_welcome_field: any(_welcome(row, state) for state in of_email)}


def _details(
    name: ContactRow, payload: dict[str, Any], who: Customer, merchant: MerchantProfile
) -> dict[str, Any]:
    match name:
        case ContactRow.CONTACT_CHANGED | ContactRow.CONSENT_GIVEN:
            return contact_details(payload, who, merchant.country_code)
        case ContactRow.CONSENT_WITHDRAWN:
            return {}  # nothing odd in a detail may hold an opt-out up
        case _:
            assert_never(name)
