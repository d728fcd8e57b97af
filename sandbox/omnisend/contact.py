"""What is said of a person: lengths and forms, wherever it stands, and the `contact` of an event.

The lengths are those of the Events API (OpenAPI file of version 2026-03-15); the Contacts API publishes none of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.omnisend.findings import Findings, join
from sandbox.omnisend.values import instant, is_e164, json_type

PERSON: Final[Mapping[str, int]] = {
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
"""The text fields of a contact, and how many characters each may have."""
_IDENTITY: Final[Mapping[str, int | None]] = {"id": None, "email": None, "phone": 15}
CONSENT: Final[Mapping[str, int]] = {"ip": 45, "source": 100, "userAgent": 200}
"""The text fields of a consent, and how many characters each may have."""
_CONSENT_LISTS: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = {
    "optIns": (10, {"channel": 5, "createdAt": 40, "source": 100}),
    "optOuts": (10, {"channel": 5, "createdAt": 40, "reason": 100, "source": 100}),
    "consents": (100, {"channel": 5, "createdAt": 40, **CONSENT}),
}
_MAX_TAGS: Final = 100
_CUSTOM_PROPERTY: Final = re.compile(r"[A-Za-z0-9_]{1,128}")
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
    elif name in _IDENTITY:
        _check_identity(name, value, out)
    elif name in _CONSENT_LISTS:
        _check_consents(name, value, out)
    elif not check_person(name, value, _HERE, out):
        out.ignored("contact_unknown", _HERE, name[:100], "is not a field of an event's contact")


def check_person(name: str, value: Any, here: str, out: Findings) -> bool:
    """Check a field (not null) that a contact has in every request; False for one that is none of those."""
    if name in PERSON:
        if check_length(name, value, PERSON[name], here, out):
            _check_person_text(name, value, here, out)
    elif name == "tags":
        _check_tags(value, here, out)
    elif name == "customProperties":
        _check_custom_properties(value, here, out)
    else:
        return False
    return True


def check_length(name: str, value: Any, longest: int | None, here: str, out: Findings) -> bool:
    """Whether it is a string that is not too long."""
    if type(value) is not str:
        out.rejected("contact_type", here, name, f"must be a string, is {json_type(value)}")
        return False
    if longest is not None and len(value) > longest:
        out.rejected("contact_too_long", here, name, f"has {len(value)} characters, {longest} are allowed")
        return False
    return True


def _check_person_text(name: str, value: str, here: str, out: Findings) -> None:
    if name == "gender" and value not in {"m", "f"}:
        out.rejected("contact_value", here, name, "must be m or f")
    elif name == "birthdate" and (not _BIRTHDATE.fullmatch(value) or not instant(f"{value}T00:00:00Z")):
        out.rejected("contact_value", here, name, "must be a date, YYYY-MM-DD")


def _check_identity(name: str, value: Any, out: Findings) -> None:
    if not check_length(name, value, _IDENTITY[name], _HERE, out):
        return
    if name == "email":
        check_email(value, _HERE, name, out)
    elif name == "phone":
        check_phone(value, _HERE, name, out)


def check_email(value: str, here: str, name: str, out: Findings) -> None:
    if _EMAIL.fullmatch(value.strip()) is None:
        out.rejected("email_invalid", here, name, "is not an e-mail address")
    elif value != value.strip() or value != value.lower():
        # The identifier is case-sensitive: another spelling is another contact (v5 contacts documentation).
        out.ignored("email_not_normalised", here, name, "must be trimmed and in lower case")


def check_phone(value: str, here: str, name: str, out: Findings) -> None:
    if not is_e164(value):
        out.ignored("phone_not_e164", here, name, "must be in E.164 form, as +27821234567")


def _check_tags(value: Any, here: str, out: Findings) -> None:
    if type(value) is not list or any(type(tag) is not str for tag in value):
        out.rejected("contact_type", here, "tags", "must be a list of strings")
    elif len(value) > _MAX_TAGS:
        out.rejected("contact_too_long", here, "tags", f"has {len(value)} items, {_MAX_TAGS} are allowed")
    elif not (value and all(value)):
        out.ignored("tags_empty", here, "tags", "has no tag, or an empty one; leave it out")


def _check_custom_properties(value: Any, here: str, out: Findings) -> None:
    if type(value) is not dict:
        message = f"must be an object, is {json_type(value)}"
        out.rejected("contact_type", here, "customProperties", message)
        return
    for key, entry in value.items():
        path = join(here, "customProperties")
        if _CUSTOM_PROPERTY.fullmatch(key) is None:
            # The rule of Omnisend's own plugin (wp-omnisend, Utils); no page of the documentation has one.
            out.rejected("custom_property_key", path, key[:100], "must be 1 to 128 of A-Z, a-z, 0-9 and _")
        elif entry is None:
            out.ignored("null", path, key, "is null; leave the property out")


def _check_consents(name: str, value: Any, out: Findings) -> None:
    most, lengths = _CONSENT_LISTS[name]
    if type(value) is not list:
        out.rejected("contact_type", _HERE, name, f"must be a list, is {json_type(value)}")
        return
    if len(value) > most:
        out.rejected("contact_too_long", _HERE, name, f"has {len(value)} items, {most} are allowed")
    for index, entry in enumerate(value[:most]):
        _check_consent(entry, join(_HERE, name), f"[{index}]", lengths, out)
    if value and not out.has_rejection_under(join(_HERE, name)):
        # Consent belongs to the Contacts API, with its own instant; an event repeats it at the wrong moment.
        out.ignored("consent_with_event", _HERE, name, "changes what the contact has consented to")


def _check_consent(entry: Any, parent: str, name: str, lengths: Mapping[str, int], out: Findings) -> None:
    if type(entry) is not dict:
        out.rejected("contact_type", parent, name, f"must be an object, is {json_type(entry)}")
        return
    path = join(parent, name)
    if entry.get("channel") not in ("email", "sms"):
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
