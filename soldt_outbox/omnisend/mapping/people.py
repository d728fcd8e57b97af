"""Who it is about: e-mail, phone and names, and the event's ``contact``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

import phonenumbers

from soldt_outbox.omnisend.mapping.reading import Names, Source, ident, is_absent, structure, text

MAX_NAME = 50  # Omnisend's bound on firstName and lastName
MAX_PHONE: Final = 15  # characters, the + among them: Omnisend's bound on an event's contact.phone

_EMAIL = re.compile(r"[^\s@,;<>()\[\]\"\\]{1,64}@[^\s@,;<>()\[\]\"\\.]+(\.[^\s@,;<>()\[\]\"\\.]+)+")
_CONTACT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""The rule of the database for a phone to which consent is given."""

_EMAIL_NAMES = ("email", "customer_email", "customerEmail")
_PHONE_NAMES = ("phone", "customer_phone", "customerPhone")
_FULL_NAME = ("customer_name", "customerName", "fullName")
_CONTACT_ID_NAMES = ("contactID", "contactId")

PERSON_NAME = {
    "name": ("name", *_FULL_NAME),
    "first_name": ("firstName", "first_name"),
    "last_name": ("lastName", "last_name"),
}
_CONTACT = Names(id=("id", *_CONTACT_ID_NAMES), email=_EMAIL_NAMES, phone=_PHONE_NAMES, **PERSON_NAME)
# At the top of a payload ``name`` is the event's, and ``id`` the order's.
_PAYLOAD = Names(
    contact=("contact",),
    id=_CONTACT_ID_NAMES,
    email=_EMAIL_NAMES,
    phone=_PHONE_NAMES,
    **(PERSON_NAME | {"name": _FULL_NAME}),
)


_PAYLOAD_FIELDS = tuple(name for names in _PAYLOAD.fields.values() for name in names)
_CONTACT_FIELDS = tuple(name for names in _CONTACT.fields.values() for name in names)


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
    """E.164, ``+27821234567``; ``country`` is where a number without ``+`` belongs. ``None`` where impossible or too long to send."""
    found = _dialled(value, country)
    return found if found is not None and len(found) <= MAX_PHONE else None


def consent_phone(value: Any, country: str) -> str | None:
    """As ``phone``, by the database's rule: the form in which a consent is recorded, whatever the length Omnisend takes of events."""
    found = _dialled(value, country)
    return found if found is not None and E164.fullmatch(found) else None


def _dialled(value: Any, country: str) -> str | None:
    cleaned = text(value, 40)
    return None if cleaned is None else _e164(cleaned, country)


@lru_cache(maxsize=4_096)  # a customer's placed, paid and fulfilled ask for the same number
def _e164(number: str, country: str) -> str | None:
    return _ordinary_e164(number, country) or _parsed_e164(number, country)


def _parsed_e164(number: str, country: str) -> str | None:
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


class _Numbering(NamedTuple):
    """A country's numbers in service, as the library's tables have them."""

    code: str  # "+27"
    international: re.Pattern[str]  # what is dialled before another country's code
    general: re.Pattern[str]
    kinds: tuple[tuple[frozenset[int], re.Pattern[str]], ...]  # lengths and pattern: mobile, fixed line, ...


_PUNCTUATION: Final = str.maketrans("", "", " -().")
_KINDS: Final = (
    "mobile",
    "fixed_line",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


@lru_cache(maxsize=300)
def _numbering(country: str) -> _Numbering | None:
    """The tables of a country that has its code to itself and puts a plain 0 before its numbers; else ``None``."""
    tables = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
    if (
        tables is None
        or tables.national_prefix != "0"
        or tables.national_prefix_for_parsing != "0"
        or tables.national_prefix_transform_rule
        or not (tables.country_code and tables.international_prefix and tables.general_desc)
        or len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(tables.country_code, ())) != 1
    ):
        return None
    kinds = (getattr(tables, kind) for kind in _KINDS)
    return _Numbering(
        f"+{tables.country_code}",
        re.compile(tables.international_prefix),
        re.compile(tables.general_desc.national_number_pattern or ""),
        tuple(
            (frozenset(kind.possible_length), re.compile(kind.national_number_pattern))
            for kind in kinds
            if kind is not None and kind.national_number_pattern
        ),
    )


def _ordinary_e164(number: str, country: str) -> str | None:
    """What the library would say of ``082 123 4567`` or ``+27 82 123 4567`` in South Africa; ``None`` for "ask it".

    Nearly every number is written so, and the library takes 30 microseconds longer to say the same; a test
    compares them.
    """
    digits = number.translate(_PUNCTUATION)
    numbering = _numbering(country)
    if numbering is None:
        return None
    if digits.startswith(numbering.code):
        national = digits[len(numbering.code) :]
    elif digits.startswith("0") and numbering.international.match(digits) is None:
        national = digits[1:]
    else:
        return None
    if not (national.isdigit() and national.isascii()) or national.startswith("0"):
        return None
    if numbering.general.fullmatch(national) is None:
        return None
    length = len(national)
    for lengths, pattern in numbering.kinds:
        if length in lengths and pattern.fullmatch(national) is not None:
            return numbering.code + national
    return None


def split_name(full: Any) -> PersonName:
    """``Thabo van der Merwe`` → ``Thabo``, ``van der Merwe``: the first word, and the rest."""
    cleaned = text(full, 2 * MAX_NAME + 1)
    if cleaned is None:
        return PersonName(None, None)
    first, _, last = " ".join(cleaned.split()).partition(" ")
    return PersonName(text(first, MAX_NAME), text(last, MAX_NAME))


def person_name(source: Source) -> PersonName:
    """First and last name where they stand apart, else the full name split."""
    first, last = text(source.get("first_name"), MAX_NAME), text(source.get("last_name"), MAX_NAME)
    return PersonName(first, last) if first or last else split_name(source.get("name"))


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


def customer(payload: dict[str, Any], country: str) -> Customer:
    """The customer, from the payload's ``contact`` and, for what that lacks, from an order row's own columns."""
    columns = Source(payload, _PAYLOAD)
    beside = _person(columns, columns.get("id"), country)
    given = structure(columns.get("contact"))
    if not isinstance(given, dict):
        return beside
    contact = Source(given, _CONTACT)
    named = _person(contact, contact.get("id") or columns.get("id"), country)
    return Customer(
        named.contact_id,
        named.email or beside.email,
        named.phone or beside.phone,
        named.name if named.name.first or named.name.last else beside.name,
    )


def customer_fields(payload: dict[str, Any]) -> dict[str, Any]:
    """The part of a payload that says whom it is about, under the names it stands under: ``customer`` reads the same of it."""
    told = _present(payload, _PAYLOAD_FIELDS)
    contact = structure(told.pop("contact", None))
    return told | ({"contact": _present(contact, _CONTACT_FIELDS)} if isinstance(contact, dict) else {})


def _present(data: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: data[name] for name in names if not is_absent(data.get(name))}


class Details(NamedTuple):
    """A customer's details as they were stated: the e-mail lower-cased, the phone in any spelling."""

    email: str | None
    phone: str | None
    name: str | None


def stated_details(payload: dict[str, Any]) -> Details:
    """What a payload states of its customer, without knowing in which country its phone numbers belong."""
    columns = Source(payload, _PAYLOAD)
    given = structure(columns.get("contact"))
    sources = [Source(given, _CONTACT), columns] if isinstance(given, dict) else [columns]
    return Details(
        next((found for source in sources if (found := email(source.get("email")))), None),
        next((found for source in sources if (found := text(source.get("phone"), 40))), None),
        next((found for source in sources if (found := _whole_name(source))), None),
    )


def _whole_name(source: Source) -> str | None:
    parts = (text(source.get("first_name"), MAX_NAME), text(source.get("last_name"), MAX_NAME))
    return " ".join(part for part in parts if part) or text(source.get("name"), 2 * MAX_NAME + 1)


def _person(source: Source, contact_id: Any, country: str) -> Customer:
    known = ident(contact_id)
    return Customer(
        known if known and _CONTACT_ID.fullmatch(known) else None,
        email(source.get("email")),
        phone(source.get("phone"), country),
        person_name(source),
    )
