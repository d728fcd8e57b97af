"""Who it is about: e-mail, phone and names, and the event's ``contact``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import phonenumbers

from soldt_outbox.omnisend.mapping.reading import Source, ident, structure, text

MAX_NAME = 50  # Omnisend's bound on firstName and lastName

_EMAIL = re.compile(r"[^\s@,;<>()\[\]\"\\]{1,64}@[^\s@,;<>()\[\]\"\\.]+(\.[^\s@,;<>()\[\]\"\\.]+)+")
_CONTACT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

EMAIL = ("email", "customer_email", "customerEmail")
PHONE = ("phone", "customer_phone", "customerPhone")
FULL_NAME = ("customer_name", "customerName", "fullName")
NAME = ("name", *FULL_NAME)  # within a person's object; at the top of a payload ``name`` is the event's
FIRST_NAME = ("firstName", "first_name")
LAST_NAME = ("lastName", "last_name")
CONTACT_ID = ("id", "contactID", "contactId")


class PersonName(NamedTuple):
    """A name as Omnisend has it; ``None`` for a part that is not known."""

    first: str | None
    last: str | None


def email(value: Any) -> str | None:
    """Trimmed and lower-cased, since Omnisend tells addresses apart by case; ``None`` where it is none."""
    if type(value) is not str:
        return None
    cleaned = text(value, 255)
    if cleaned is None or len(cleaned) > 254 or _EMAIL.fullmatch(cleaned) is None:
        return None
    return cleaned.lower()


def phone(value: Any, country: str) -> str | None:
    """E.164, ``+27821234567``; ``country`` is where a number without ``+`` belongs. ``None`` where impossible."""
    cleaned = text(value, 40)
    return None if cleaned is None else _e164(cleaned, country)


@lru_cache(
    maxsize=4_096
)  # a customer's placed, paid and fulfilled ask for the same number; parsing takes 15 µs
def _e164(number: str, country: str) -> str | None:
    """Prefers a reading that is a number in service; a merely possible one (its length fits) is taken as well."""
    possible = None
    for candidate in (
        (number,) if number.startswith("+") else (number, f"+{number}")
    ):  # SOLDT has 27821234567 too
        try:
            parsed = phonenumbers.parse(candidate, country)
        except phonenumbers.NumberParseException:
            continue
        formatted = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(parsed):
            return formatted
        if possible is None and phonenumbers.is_possible_number(parsed):
            possible = formatted
    return possible


def split_name(full: Any) -> PersonName:
    """``Thabo van der Merwe`` → ``Thabo``, ``van der Merwe``: the first word, and the rest."""
    cleaned = text(full, 2 * MAX_NAME + 1)
    if cleaned is None:
        return PersonName(None, None)
    first, _, last = " ".join(cleaned.split()).partition(" ")
    return PersonName(text(first, MAX_NAME), text(last, MAX_NAME))


def person_name(source: Source, full_name: tuple[str, ...] = NAME) -> PersonName:
    """First and last name where they stand apart, else the full name split."""
    first, last = text(source.get(FIRST_NAME), MAX_NAME), text(source.get(LAST_NAME), MAX_NAME)
    return PersonName(first, last) if first or last else split_name(source.get(full_name))


class Customer(NamedTuple):
    """Whom an event is about, as far as is known."""

    contact_id: str | None
    email: str | None
    phone: str | None
    name: PersonName

    @property
    def identified(self) -> bool:
        """Omnisend answers 400 to an event without any of the three."""
        return bool(self.contact_id or self.email or self.phone)

    def contact(self) -> dict[str, str]:
        """The event's ``contact``. It holds no consent: an order subscribes nobody."""
        fields = (
            ("id", self.contact_id),
            ("email", self.email),
            ("phone", self.phone),
            ("firstName", self.name.first),
            ("lastName", self.name.last),
        )
        return {key: value for key, value in fields if value}


def customer(payload: Source, country: str) -> Customer:
    """The customer, from the payload's ``contact`` and, for what that lacks, from an order row's own columns."""
    given = structure(payload.get(("contact",)))
    contact = Source(given) if isinstance(given, dict) else Source({})
    contact_id = ident(contact.get(CONTACT_ID) or payload.get(CONTACT_ID[1:]))
    name = person_name(contact)
    return Customer(
        contact_id if contact_id and _CONTACT_ID.fullmatch(contact_id) else None,
        email(contact.get(EMAIL)) or email(payload.get(EMAIL)),
        phone(contact.get(PHONE), country) or phone(payload.get(PHONE), country),
        name if name.first or name.last else person_name(payload, FULL_NAME),
    )
