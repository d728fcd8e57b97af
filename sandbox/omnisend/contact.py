"""The `contact` of an event: identity, lengths, consent (OpenAPI file of version 2026-03-15, Events API)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.omnisend.findings import Findings, join
from sandbox.omnisend.values import instant, is_e164, json_type

_MAX_LENGTH: Final[Mapping[str, int | None]] = {
    "id": None,
    "email": None,
    "phone": 15,
    "firstName": 50,
    "lastName": 50,
    "birthdate": 10,
    "gender": 1,
    "address": 500,
    "city": 100,
    "state": 100,
    "country": 100,
    "countryCode": 3,
    "postalCode": 20,
}
_CONSENT_LISTS: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = {
    "optIns": (10, {"channel": 5, "createdAt": 40, "source": 100}),
    "optOuts": (10, {"channel": 5, "createdAt": 40, "reason": 100, "source": 100}),
    "consents": (100, {"channel": 5, "createdAt": 40, "ip": 45, "source": 100, "userAgent": 200}),
}
_MAX_TAGS: Final = 100
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_BIRTHDATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_HERE: Final = "contact"


def check_contact(contact: Any, out: Findings) -> None:
    """Report what Omnisend would reject or ignore in the contact of an event."""
    if contact is None:
        out.rejected("contact_missing", "", _HERE, "an event needs a contact")
        return
    if type(contact) is not dict:
        out.rejected("contact_type", "", _HERE, f"must be an object, is {json_type(contact)}")
        return
    if not (contact.get("email") or contact.get("phone") or contact.get("id")):
        # Support article 1475482: anonymous visitors will return a 400 error.
        out.rejected("identity_missing", "", _HERE, "one of email, phone or id is needed")
    for name, value in contact.items():
        _check_field(name, value, out)


def _check_field(name: str, value: Any, out: Findings) -> None:
    if value is None:
        out.ignored("null", _HERE, name, "is null; leave the field out")
    elif name in _MAX_LENGTH:
        _check_text(name, value, out)
    elif name in _CONSENT_LISTS:
        _check_consents(name, value, out)
    elif name == "tags":
        _check_tags(value, out)
    elif name == "customProperties":
        if type(value) is not dict:
            out.rejected("contact_type", _HERE, name, f"must be an object, is {json_type(value)}")
    else:
        out.ignored("contact_unknown", _HERE, name[:100], "is not a field of an event's contact")


def _check_text(name: str, value: Any, out: Findings) -> None:
    if type(value) is not str:
        out.rejected("contact_type", _HERE, name, f"must be a string, is {json_type(value)}")
        return
    longest = _MAX_LENGTH[name]
    if longest is not None and len(value) > longest:
        out.rejected("contact_too_long", _HERE, name, f"has {len(value)} characters, {longest} are allowed")
    elif name == "email":
        _check_email(value, out)
    elif name == "phone" and not is_e164(value):
        out.ignored("phone_not_e164", _HERE, name, "must be in E.164 form, as +27821234567")
    elif name == "gender" and value not in {"m", "f"}:
        out.rejected("contact_value", _HERE, name, "must be m or f")
    elif name == "birthdate" and (not _BIRTHDATE.fullmatch(value) or not instant(f"{value}T00:00:00Z")):
        out.rejected("contact_value", _HERE, name, "must be a date, YYYY-MM-DD")


def _check_email(value: str, out: Findings) -> None:
    if _EMAIL.fullmatch(value.strip()) is None:
        out.rejected("email_invalid", _HERE, "email", "is not an e-mail address")
    elif value != value.strip() or value != value.lower():
        # The identifier is case-sensitive: another spelling is another contact (v5 contacts documentation).
        out.ignored("email_not_normalised", _HERE, "email", "must be trimmed and in lower case")


def _check_tags(value: Any, out: Findings) -> None:
    if type(value) is not list or any(type(tag) is not str for tag in value):
        out.rejected("contact_type", _HERE, "tags", "must be a list of strings")
    elif len(value) > _MAX_TAGS:
        out.rejected("contact_too_long", _HERE, "tags", f"has {len(value)} items, {_MAX_TAGS} are allowed")


def _check_consents(name: str, value: Any, out: Findings) -> None:
    most, lengths = _CONSENT_LISTS[name]
    if type(value) is not list:
        out.rejected("contact_type", _HERE, name, f"must be a list, is {json_type(value)}")
        return
    if len(value) > most:
        out.rejected("contact_too_long", _HERE, name, f"has {len(value)} items, {most} are allowed")
    for index, entry in enumerate(value[:most]):
        _check_consent(entry, join(_HERE, name), f"[{index}]", lengths, out)


def _check_consent(entry: Any, parent: str, name: str, lengths: Mapping[str, int], out: Findings) -> None:
    if type(entry) is not dict:
        out.rejected("contact_type", parent, name, f"must be an object, is {json_type(entry)}")
        return
    path = join(parent, name)
    if entry.get("channel") not in {"email", "sms"}:
        out.rejected("consent_invalid", path, "channel", "must be email or sms")
    created = entry.get("createdAt")
    if type(created) is not str or instant(created) is None:
        # An empty object would count as consent given now.
        out.rejected("consent_invalid", path, "createdAt", "must be an RFC 3339 instant")
    for key, value in entry.items():
        longest = lengths.get(key)
        if longest is None:
            out.ignored("contact_unknown", path, key[:100], "is not a field of a consent")
        elif type(value) is not str or not value:
            out.rejected("consent_invalid", path, key, "must be a string that says something")
        elif len(value) > longest:
            out.rejected("contact_too_long", path, key, f"has {len(value)} characters, {longest} are allowed")
