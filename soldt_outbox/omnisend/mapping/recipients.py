"""Whom a row is about, whether or not it can be sent: what became of it is looked for by them."""

from __future__ import annotations

from typing import Any, assert_never

from soldt_outbox.omnisend.mapping.contacts import contact_recipient
from soldt_outbox.omnisend.mapping.events import event_recipient
from soldt_outbox.redaction import contact_hash
from soldt_outbox.rows import DEFAULT_COUNTRY, Kind


def recipient_hash(kind: Kind, payload: Any, country: str | None) -> str | None:
    """What the log knows a row's customer by: the hash that the request would have been logged with, if one was built.

    ``country`` is the merchant's, ``None`` where its connection is gone. ``None`` for a row that names nobody, or is about no
    person. Never raises: it is asked about rows that could not be read, too.
    """
    try:
        address = _recipient(kind, payload, country or DEFAULT_COUNTRY)
    except Exception:  # noqa: BLE001 - a defect in the reading may be why there was no request; the row must settle all the same
        return None
    return contact_hash(address) if address else None


def _recipient(kind: Kind, payload: Any, country: str) -> str | None:
    match kind:
        case Kind.EVENT:
            return event_recipient(payload, country)
        case Kind.CONTACT:
            return contact_recipient(payload, country)
        case Kind.PRODUCT | Kind.CATEGORY | Kind.BATCH:
            return None
        case _:
            assert_never(kind)
