"""What may be written down of a request, an answer or an error: no personal data in the clear, never a credential.

Log rows are read by a merchant's admins and kept for weeks. They must answer "why did this customer get no mail?",
which takes the event, its ids and amounts, and enough of the address to recognise it: ``ab***@example.com`` with a
prefix of its SHA-256 (so that a known address can be looked for), and a phone's last four digits.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

MAX_LOGGED_ITEMS = 10  # of up to 1,000: enough to recognise the order, and keeps a log row under 4 KB
MAX_LOGGED_TEXT = 100  # characters of any one value that is kept
MAX_SCRUBBED_TEXT = 2_000  # characters of free text looked at; patterns over megabytes would cost the loop

_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_API_KEY = re.compile(r"\b[0-9a-fA-F]{24}-[\w-]{4,}")
_BEARER = re.compile(r"(?i)\b(bearer|omnisend-api-key|x-api-key)(\s*[:=]\s*|\s+)[^\s,;\"']+")
# Nine to fifteen digits with the usual separators; not a date, and not part of a word, a UUID or a number.
_PHONE = re.compile(r"(?<![\w.-])(?!\d{4}-\d\d-\d\d)\+?(?:\d[ ().-]{0,2}){8,14}\d(?![\w-])")


def contact_hash(address: str) -> str:
    """Finds a known e-mail (else E.164 phone) again: 16 hex digits of the SHA-256 of it, trimmed and lower-cased."""
    return hashlib.sha256(address.strip().lower().encode("utf-8", "replace")).hexdigest()[:16]


def mask_email(email: str) -> str:
    """``ab***@example.com#0123456789abcdef``: two characters, the domain, 16 hex digits of the address's SHA-256."""
    email = email.strip().lower()
    digest = contact_hash(email)
    local, at, domain = email.rpartition("@")
    if not at:
        return f"***#{digest}"
    shown = local[:2] if len(local) > 2 else ""
    return f"{shown}***@{domain[:MAX_LOGGED_TEXT]}#{digest}"


def mask_phone(phone: str) -> str:
    """``***4567``: the last four digits, or nothing of a number too short to hide the rest."""
    digits = "".join(c for c in phone[:64] if c.isdigit())
    return f"***{digits[-4:]}" if len(digits) > 6 else "***"


def mask_name(name: str) -> str:
    """``T***``: the first letter."""
    return f"{name[:1]}***"


def scrub(text: str, *, limit: int = 500) -> str:
    """Free text with e-mails, phones, API keys and bearer tokens masked, cut to ``limit`` characters."""
    text = text[:MAX_SCRUBBED_TEXT]
    text = _BEARER.sub(r"\1 ***", text)
    text = _API_KEY.sub("***", text)
    text = _EMAIL.sub(lambda m: mask_email(m[0]), text)
    text = _PHONE.sub(lambda m: mask_phone(m[0]), text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class _Contact(msgspec.Struct):
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    firstName: str | None = None  # noqa: N815 - Omnisend's names, here and below
    lastName: str | None = None  # noqa: N815


class _Item(msgspec.Struct):
    productID: str | None = None  # noqa: N815
    productVariantID: str | None = None  # noqa: N815
    productQuantity: int | None = None  # noqa: N815
    productPrice: float | None = None  # noqa: N815


class _Product(_Item):
    """Of ``viewed product``; ``ordered product`` has an item's fields in its place."""

    id: str | None = None
    price: float | None = None


class _Properties(msgspec.Struct):
    orderID: str | None = None  # noqa: N815
    cartID: str | None = None  # noqa: N815
    currency: str | None = None
    totalPrice: float | None = None  # noqa: N815
    value: float | None = None
    totalRefundedAmount: float | None = None  # noqa: N815
    paymentStatus: str | None = None  # noqa: N815
    fulfillmentStatus: str | None = None  # noqa: N815
    createdAt: str | None = None  # noqa: N815
    lineItems: list[_Item] | None = None  # noqa: N815
    addedItem: _Item | None = None  # noqa: N815
    product: _Product | None = None
    # Present or not is all that is told of these.
    billingAddress: msgspec.Raw = msgspec.Raw()  # noqa: N815
    shippingAddress: msgspec.Raw = msgspec.Raw()  # noqa: N815
    note: msgspec.Raw = msgspec.Raw()
    cancelReason: msgspec.Raw = msgspec.Raw()  # noqa: N815
    tracking: msgspec.Raw = msgspec.Raw()


class _Envelope(msgspec.Struct):
    eventName: str | None = None  # noqa: N815
    eventID: str | None = None  # noqa: N815
    eventTime: str | None = None  # noqa: N815
    eventVersion: str | None = None  # noqa: N815
    origin: str | None = None
    contact: _Contact | None = None


class _Body(_Envelope):
    properties: _Properties | None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_WITHHELD = ("billingAddress", "shippingAddress", "note", "cancelReason", "tracking")


def redact_request(body: bytes) -> dict[str, Any]:
    """What the log row keeps of a request body: an allow-list, under 4 KB, whatever the body holds.

    A body that is not one of this project's event requests is told by its size alone.
    """
    try:
        parsed = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _redacted_envelope(body)
    logged = _told(parsed)
    if parsed.properties is not None:
        logged["properties"] = _masked_properties(parsed.properties)
    return logged


def _redacted_envelope(body: bytes) -> dict[str, Any]:
    """Of a custom event, under whose properties the names that are known here may stand for anything."""
    try:
        parsed = _decode_envelope(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {"withheld": "the body is not an event request", "bytes": len(body)}
    return _told(parsed) | {"withheld": ["properties"]}


def _told(parsed: _Envelope) -> dict[str, Any]:
    logged = _present(parsed, ("eventName", "eventID", "eventTime", "eventVersion", "origin"))
    if parsed.contact is not None:
        logged["contact"] = _masked_contact(parsed.contact)
    return logged


def _masked_contact(contact: _Contact) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    if contact.id is not None:
        masked["id"] = contact.id[:MAX_LOGGED_TEXT]
    if contact.email is not None:
        masked["email"] = mask_email(contact.email)
    if contact.phone is not None:
        masked["phone"] = mask_phone(contact.phone)
    if contact.firstName is not None:
        masked["firstName"] = mask_name(contact.firstName)
    if contact.lastName is not None:
        masked["lastName"] = mask_name(contact.lastName)
    return masked


_KEPT = (
    "orderID",
    "cartID",
    "currency",
    "totalPrice",
    "value",
    "totalRefundedAmount",
    "paymentStatus",
    "fulfillmentStatus",
    "createdAt",
)
_KEPT_OF_ITEM = ("productID", "productVariantID", "productQuantity", "productPrice")


def _masked_properties(properties: _Properties) -> dict[str, Any]:
    logged = _present(properties, _KEPT)
    if properties.addedItem is not None:
        logged["addedItem"] = _present(properties.addedItem, _KEPT_OF_ITEM)
    if properties.product is not None:
        logged["product"] = _present(properties.product, ("id", "price", *_KEPT_OF_ITEM))
    items = properties.lineItems
    if items is not None:
        logged["lineItems"] = [_present(item, _KEPT_OF_ITEM) for item in items[:MAX_LOGGED_ITEMS]]
        if len(items) > MAX_LOGGED_ITEMS:
            logged["lineItemsInAll"] = len(items)
    withheld = [name for name in _WITHHELD if bytes(getattr(properties, name))]
    if withheld:
        logged["withheld"] = withheld
    return logged


def _present(struct: msgspec.Struct, names: tuple[str, ...]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in names:
        value = getattr(struct, name)
        if value is not None:
            kept[name] = _shown(value) if type(value) is str else value
    return kept


def _shown(value: str) -> str:
    """An id or a word, as it is; a shop may make a cart's id of its customer's address."""
    value = value[:MAX_LOGGED_TEXT]
    return _EMAIL.sub(lambda m: mask_email(m[0]), value) if "@" in value else value
