"""What a contact has beside its addresses and consents, within Omnisend's limits.

What is too long is cut; what is broken and only describes is left out; a custom property's key is refused, since cut
or mended it would be another property.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping.addresses import address
from soldt_outbox.omnisend.mapping.countries import COUNTRY_NAMES, country_code
from soldt_outbox.omnisend.mapping.people import Customer
from soldt_outbox.omnisend.mapping.reading import (
    Names,
    Source,
    is_absent,
    kind_of,
    optional_instant,
    structure,
    text,
    texts,
)

DEFAULT_TAGS: Final = (
    "source: soldt",
)  # the form that Omnisend's contacts reference asks new contacts to have
MAX_TAGS: Final = 100
MAX_TAG: Final = 128  # characters; as Omnisend's WordPress plugin takes them
MAX_ADDRESS: Final = 500
MAX_PROPERTY_TEXT: Final = 1_000  # characters; Omnisend tells no bound
PROPERTY_KEY: Final = re.compile(r"[A-Za-z0-9_]{1,128}")  # as Omnisend's WordPress plugin takes them

_DETAILS: Final = Names(
    shipping_address=("shipping_address",),
    address=("address",),
    country=("country",),
    country_code=("countryCode", "country_code"),
    birthdate=("birthdate", "birth_date", "dateOfBirth", "date_of_birth"),
    gender=("gender",),
    tags=("tags",),
    custom_properties=("customProperties", "custom_properties"),
    created_at=("createdAt",),  # and not created_at: an order's row has that, and it is the order's
)
_GENDERS: Final = {"m": "m", "male": "m", "f": "f", "female": "f"}


def contact_details(payload: dict[str, Any], who: Customer, default_country: str) -> dict[str, Any]:
    """Name, place, tags and custom properties, from the contact's own fields or an order's row.

    Raises ``PayloadRejected`` for a custom property that cannot be one.
    """
    nested = structure(payload.get("contact"))
    source = Source(nested, _DETAILS, "contact.") if isinstance(nested, dict) else Source(payload, _DETAILS)
    fields = {
        "firstName": who.name.first,
        "lastName": who.name.last,
        **_place(source, who, default_country),
        "gender": _GENDERS.get((text(source.get("gender"), 10) or "").lower()),
        "birthdate": _birthdate(source.get("birthdate")),
        "tags": _tags(source.get("tags")),
        "customProperties": _custom_properties(source),
        "createdAt": optional_instant(source.get("created_at")),
    }
    return {field: value for field, value in fields.items() if value}


def _place(source: Source, who: Customer, default_country: str) -> dict[str, str | None]:
    """Where they live: an order's shipping address, an address as an object, or the fields side by side."""
    given = (structure(source.get(field)) for field in ("shipping_address", "address"))
    whole = next((place for place in given if isinstance(place, dict)), source.data)
    found = address(whole, who, default_country)
    if found is None:
        country = text(source.get("country"), 100)
        code = country_code(text(source.get("country_code"), 100) or country or "")
        return {"country": COUNTRY_NAMES.get(code or "", country), "countryCode": code}
    lines = (found.get("address1"), found.get("address2"))
    return {
        "address": text(", ".join(line for line in lines if line), MAX_ADDRESS),
        "city": found.get("city"),
        "state": found.get("state"),
        "postalCode": found.get("zip"),
        "country": found.get("country"),
        "countryCode": found.get("countryCode"),
    }


def _birthdate(value: Any) -> str | None:
    day = (text(value, 40) or "")[:10]
    try:
        return date.fromisoformat(day).isoformat() if len(day) == 10 else None
    except ValueError:
        return None


def _tags(value: Any) -> list[str]:
    given = dict.fromkeys(texts(value, limit=MAX_TAG, count=10 * MAX_TAGS))
    return list(given)[:MAX_TAGS] or list(DEFAULT_TAGS)


def _custom_properties(source: Source) -> dict[str, Any]:
    given = structure(source.get("custom_properties"))
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise source.reject("custom_properties", f"is {kind_of(given)}, not an object")
    return contact_properties(given, source.where("custom_properties"))


def contact_properties(given: dict[str, Any], where: str) -> dict[str, Any]:
    """A contact's custom properties as they are sent: without those that say nothing, their texts cut.

    Raises ``PayloadRejected`` for a name or a value that cannot be one, by its path under ``where``.
    """
    for key in given:
        if PROPERTY_KEY.fullmatch(key) is None:
            raise PayloadRejected(
                f"{where}.{ascii(key[:50])[1:-1]}",
                "is no name of a custom property: 1 to 128 letters, digits and underscores",
            )
    found = {key: _property(value, f"{where}.{key}") for key, value in given.items() if not is_absent(value)}
    return {key: value for key, value in found.items() if value not in (None, [])}


def _property(value: Any, where: str) -> Any:
    """Text, a number, true or false, or a list of texts: what Omnisend's reference shows."""
    match value:
        case bool():
            return value
        case str():
            return text(value, MAX_PROPERTY_TEXT)
        case int() | float() if abs(value) < 10**18:
            return value
        case Decimal() if value.is_finite() and -18 <= value.adjusted() <= 18:
            return value
        case int() | float() | Decimal():
            raise PayloadRejected(
                where, "is not finite, or has more than 18 digits before the point or after it"
            )
        case list() if all(isinstance(item, str) for item in value):
            return texts(value, limit=MAX_PROPERTY_TEXT)
        case _:
            raise PayloadRejected(
                where,
                f"is {kind_of(value)}; a custom property is text, a number, true or false, or a list of texts",
            )
