"""What the log row keeps of a request of each kind: an allow-list, without personal data in the clear."""

from __future__ import annotations

from typing import Any, Final, Literal, assert_never

import msgspec

from soldt_outbox.redaction import MAX_LOGGED_TEXT, mask_email, mask_name, mask_phone, redact_request
from soldt_outbox.rows import Kind, OmnisendRequest


class _Channel(msgspec.Struct):
    status: str | None = None
    statusDate: str | None = None  # noqa: N815 - Omnisend's names, here and below
    statusChangedAt: str | None = None  # noqa: N815


class _Proof(msgspec.Struct):
    source: str | None = None
    createdAt: str | None = None  # noqa: N815


class _Identifier(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    channels: dict[str, _Channel] = {}
    consent: _Proof | None = None
    sendWelcomeMessage: bool | None = None  # noqa: N815


class _Contact(msgspec.Struct):
    identifiers: list[_Identifier] = []
    firstName: str | None = None  # noqa: N815
    lastName: str | None = None  # noqa: N815
    sendWelcomeEmail: bool | None = None  # noqa: N815


class _Variant(msgspec.Struct):
    id: str | None = None


class _Product(msgspec.Struct):
    id: str | None = None
    title: str | None = None
    status: str | None = None
    variants: list[_Variant] = []


class _Category(msgspec.Struct):
    categoryID: str | None = None  # noqa: N815
    title: str | None = None


_contact: Final = msgspec.json.Decoder(_Contact).decode
_product: Final = msgspec.json.Decoder(_Product).decode
_category: Final = msgspec.json.Decoder(_Category).decode


def logged_request(kind: Kind, request: OmnisendRequest) -> dict[str, Any]:
    """What to keep of ``request``, under 4 KB: of an event its body, redacted; else the call, and the body as far as it is known.

    Of a batch it is the call alone: what it holds is known to whoever sends it.
    """
    if kind is Kind.EVENT:
        return redact_request(request.body)
    call = {"call": f"{request.method} {request.path.partition('?')[0]}"[:300]}
    if kind is Kind.BATCH or not request.body:
        return call
    try:
        return call | _kept(kind, request.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return call | {"withheld": "the body is not of the kind's form", "bytes": len(request.body)}


def _kept(kind: Literal[Kind.CONTACT, Kind.PRODUCT, Kind.CATEGORY], body: bytes) -> dict[str, Any]:
    match kind:
        case Kind.CONTACT:
            return _masked_contact(_contact(body))
        case Kind.PRODUCT:
            product = _product(body)
            return {"product": _present(product) | {"variants": len(product.variants)}}
        case Kind.CATEGORY:
            return {"category": _present(_category(body))}
        case _:
            assert_never(kind)


def _masked_contact(contact: _Contact) -> dict[str, Any]:
    masked: dict[str, Any] = {"identifiers": [_masked_identifier(one) for one in contact.identifiers[:10]]}
    for name, value in (("firstName", contact.firstName), ("lastName", contact.lastName)):
        if value:
            masked[name] = mask_name(value)
    if contact.sendWelcomeEmail is not None:
        masked["sendWelcomeEmail"] = contact.sendWelcomeEmail
    return masked


def _masked_identifier(one: _Identifier) -> dict[str, Any]:
    """What a channel was told to be and since when; of the proof where and when, not from which address."""
    address = one.id or ""
    masked: dict[str, Any] = {
        "type": (one.type or "")[:20],
        "id": mask_email(address) if "@" in address else mask_phone(address),
        "channels": {name[:20]: _present(channel) for name, channel in list(one.channels.items())[:2]},
    }
    if one.consent is not None:
        masked["consent"] = _present(one.consent)
    if one.sendWelcomeMessage is not None:
        masked["sendWelcomeMessage"] = one.sendWelcomeMessage
    return masked


def _present(fields: _Channel | _Proof | _Product | _Category) -> dict[str, Any]:
    return {
        name: value[:MAX_LOGGED_TEXT]
        for name, value in msgspec.structs.asdict(fields).items()
        if isinstance(value, str)
    }
