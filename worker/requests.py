"""From a row and what is known around it to the request that tells Omnisend: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, assert_never
from uuid import UUID

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import EventName
from soldt_outbox.following import contact_of_order, ordered_products
from soldt_outbox.omnisend.mapping import (
    changed_collection,
    changed_product,
    map_category,
    map_contact,
    map_event,
    map_product,
)
from soldt_outbox.rows import FollowUp, Kind, OmnisendRequest, OutboxRow, Skip, Unreadable
from worker.shops import Shop
from worker.surroundings import Surroundings

_Known = TypeVar("_Known")


class NotLookedUp(Exception):  # noqa: N818 - what is known, and no error of the row's
    """What the request takes could not be looked up; the message says what."""


def request_for(row: OutboxRow, shop: Shop, around: Surroundings) -> OmnisendRequest | Skip:
    """The request for a row of any kind but ``batch``, or why there is nothing to send.

    Raises ``PayloadRejected`` where the row, or what it is about, cannot become one, and ``NotLookedUp``.
    """
    if isinstance(row.payload, Unreadable):
        raise PayloadRejected("payload", row.payload.problem)
    merchant = shop.profile
    match row.kind:
        case Kind.EVENT:
            return map_event(row, merchant, around.line_items.get(row.merchant_id, {}))
        case Kind.CONTACT:
            if around.consents is None:
                raise NotLookedUp("who agreed to be written to")
            return map_contact(row, merchant, around.consents.get(row.merchant_id, {}), shop.dialect)
        case Kind.PRODUCT:
            changed_product(row)  # one that names none was not looked up, and is rejected
            return map_product(row, merchant, _of(around.products, row, "the shop's products"))
        case Kind.CATEGORY:
            changed_collection(row)
            return map_category(row, merchant, _of(around.collections, row, "the shop's collections"))
        case Kind.BATCH:
            raise PayloadRejected("name", "is no batch that this worker knows")
        case _:
            assert_never(row.kind)


def _of(known: Mapping[UUID, _Known] | None, row: OutboxRow, what: str) -> _Known:
    """What a look-up found of the row's merchant. Only where it was asked for does what is not in it not exist."""
    if known is None or row.merchant_id not in known:
        raise NotLookedUp(what)
    return known[row.merchant_id]


def follow_ups(row: OutboxRow, shop: Shop) -> tuple[FollowUp, ...]:
    """What else is told once ``row`` was: of a placed order its customer and its lines, as far as the merchant wants them."""
    if row.kind is not Kind.EVENT or row.name != EventName.ORDER_PLACED:
        return ()
    lines = ordered_products(row) if shop.ordered_products else ()
    contact = contact_of_order(row) if shop.sync_contacts else None
    return lines if contact is None else (*lines, contact)
