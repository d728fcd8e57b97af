"""Addresses: SOLDT's ``{address, city, province, postalCode}`` and Omnisend's own, to Omnisend's."""

from __future__ import annotations

from typing import Any

from soldt_outbox.omnisend.mapping.countries import COUNTRY_NAMES, country_code, province_code
from soldt_outbox.omnisend.mapping.people import Customer, person_name, phone
from soldt_outbox.omnisend.mapping.reading import Source, structure, text

ADDRESS1 = ("address1", "address", "street", "line1")
ADDRESS2 = ("address2", "line2", "suburb")
CITY = ("city", "town")
COMPANY = ("company",)
COUNTRY = ("country",)
COUNTRY_CODE = ("countryCode", "country_code")
STATE = ("state", "province")
STATE_CODE = ("stateCode", "provinceCode", "state_code")
ZIP = ("zip", "postalCode", "postal_code", "postcode")
PHONE = ("phone",)


def address(value: Any, customer: Customer, default_country: str) -> dict[str, str] | None:
    """Omnisend's address, or ``None`` where nothing in ``value`` says where.

    Name and phone are the customer's where the address has none; the country is the merchant's where it has none.
    """
    given = structure(value)
    if isinstance(given, str):
        given = {"address": given}
    if not isinstance(given, dict):
        return None
    source = Source(given)
    state = text(source.get(STATE), 100)
    places = (
        ("address1", text(source.get(ADDRESS1), 500)),
        ("address2", text(source.get(ADDRESS2), 500)),
        ("city", text(source.get(CITY), 100)),
        ("zip", text(source.get(ZIP), 20)),
        ("state", state),
    )
    found = {key: place for key, place in places if place}
    if not found:
        return None
    country, code = _country(source, default_country)
    name = person_name(source)
    if not (name.first or name.last):
        name = customer.name
    others = (
        (
            "stateCode",
            text(source.get(STATE_CODE), 10) or (province_code(code or "", state) if state else None),
        ),
        ("country", country),
        ("countryCode", code),
        ("company", text(source.get(COMPANY), 100)),
        ("firstName", name.first),
        ("lastName", name.last),
        ("phone", phone(source.get(PHONE), code or default_country) or customer.phone),
    )
    found.update((key, part) for key, part in others if part)
    return found


def _country(source: Source, default: str) -> tuple[str | None, str | None]:
    """Name and code, each filled from the other, or from the merchant's country where both are absent."""
    given = text(source.get(COUNTRY), 100)
    code = country_code(text(source.get(COUNTRY_CODE), 100) or given or "")
    if code is None and given is None:
        code = country_code(default)
    name = given if given is not None and country_code(given) != given.upper() else None
    return name or COUNTRY_NAMES.get(code or ""), code
