"""Addresses: SOLDT's ``{address, city, province, postalCode}`` and Omnisend's own, to Omnisend's."""

from __future__ import annotations

from typing import Any

from soldt_outbox.omnisend.mapping.countries import COUNTRY_NAMES, country_code, province_code
from soldt_outbox.omnisend.mapping.people import PERSON_NAME, Customer, person_name, phone
from soldt_outbox.omnisend.mapping.reading import Names, Source, structure, text

_ADDRESS = Names(
    address1=("address1", "address", "street", "line1"),
    address2=("address2", "line2", "suburb"),
    city=("city", "town"),
    company=("company",),
    country=("country",),
    country_code=("countryCode", "country_code"),
    state=("state", "province"),
    state_code=("stateCode", "provinceCode", "state_code"),
    zip=("zip", "postalCode", "postal_code", "postcode"),
    phone=("phone",),
    **PERSON_NAME,
)


def address(value: Any, customer: Customer, default_country: str) -> dict[str, str] | None:
    """Omnisend's address, or ``None`` where nothing in ``value`` says where.

    Name and phone are the customer's where the address has none; the country is the merchant's where it has none.
    """
    given = structure(value)
    if isinstance(given, str):
        given = {"address": given}
    if not isinstance(given, dict):
        return None
    source = Source(given, _ADDRESS)
    state = text(source.get("state"), 100)
    places = (
        ("address1", text(source.get("address1"), 500)),
        ("address2", text(source.get("address2"), 500)),
        ("city", text(source.get("city"), 100)),
        ("zip", text(source.get("zip"), 20)),
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
            text(source.get("state_code"), 10) or (province_code(code or "", state) if state else None),
        ),
        ("country", country),
        ("countryCode", code),
        ("company", text(source.get("company"), 100)),
        ("firstName", name.first),
        ("lastName", name.last),
        ("phone", phone(source.get("phone"), code or default_country) or customer.phone),
    )
    found.update((key, part) for key, part in others if part)
    return found


def _country(source: Source, default: str) -> tuple[str | None, str | None]:
    """Name and code, each filled from the other, or from the merchant's country where both are absent."""
    given = text(source.get("country"), 100)
    code = country_code(text(source.get("country_code"), 100) or given or "")
    if code is None and given is None:
        code = country_code(default)
    name = given if given is not None and country_code(given) != given.upper() else None
    return name or COUNTRY_NAMES.get(code or ""), code
