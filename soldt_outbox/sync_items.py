"""The items of a sync as they stand in the shop at this moment, ready for a batch.

Each is mapped by the function that maps a single row of its kind, so a batch tells what single requests would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, assert_never

import msgspec

from soldt_outbox.catalogue import ShopCatalogue
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import PayloadRejected
from soldt_outbox.events import EventName
from soldt_outbox.omnisend.batches import Item, Resource, item_of
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping import (
    contact_identifiers,
    line_item_products,
    map_category,
    map_contact,
    map_event,
    map_product,
)
from soldt_outbox.omnisend.mapping.contacts import Channel
from soldt_outbox.omnisend.mapping.ids import row_number
from soldt_outbox.redaction import scrub
from soldt_outbox.rows import CatalogueProduct, Kind, MerchantProfile, OmnisendRequest, OutboxRow, Skip
from soldt_outbox.store import Store

_EVENTS: Final = {
    "1": EventName.ORDER_PLACED,
    "2": EventName.ORDER_PAID,
    "3": EventName.ORDER_FULFILLED,
    "4": EventName.ORDER_CANCELED,
    "5": EventName.ORDER_REFUNDED,
}
"""An order's events by their place in the names of items (``omnisend_private.sync_ids``)."""


_AT_ONCE: Final = 50  # items mapped without letting the loop go: some milliseconds
_Mapping = Callable[[], OmnisendRequest | Skip]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An item that cannot be sent as it is, and why: the field, and what is wrong with it."""

    id: str
    words: str


@dataclass(slots=True)
class Found:
    """What the shop holds of the items asked for; each of them stands in one of these.

    ``gone``: no longer there. ``told``: events that were told, or wait to be. ``skipped``: without an address to send for.
    """

    items: list[Item] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def map(self, resource: Resource, calls: Mapping[str, _Mapping]) -> None:
        """Map items by their names; the loop is let go now and then, since a thousand of them take a tenth of a second."""
        for position, (item_id, call) in enumerate(calls.items(), start=1):
            try:
                mapped = call()
            except PayloadRejected as error:
                self.refused.append(Refused(id=item_id, words=scrub(f"cannot be sent: {error}")))
                continue
            if isinstance(mapped, Skip):
                self.skipped.append(item_id)
            else:
                self.items.append(item_of(resource, item_id, mapped))
            if position % _AT_ONCE == 0:
                await asyncio.sleep(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which items, of which merchant, for which version of the API. ``row`` is the batch's."""

    row: OutboxRow
    sync: int
    resource: Resource
    ids: Sequence[str]
    merchant: MerchantProfile
    dialect: Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """What a worker needs to know of a sync. ``delta``: what Omnisend has as it is is left out."""

    canceled: bool
    delta: bool


class SyncItems:
    """Reads items of every resource. Raises ``psycopg.Error`` where a look-up fails: then nothing is known of any item."""

    def __init__(self, database: AsyncDatabase, store: Store) -> None:
        self._database = database
        self._catalogue = ShopCatalogue(database)
        self._store = store

    async def read(self, wanted: Wanted) -> Found:
        """The items as they stand."""
        match wanted.resource:
            case Resource.PRODUCTS:
                return await self._products(wanted)
            case Resource.CATEGORIES:
                return await self._categories(wanted)
            case Resource.CONTACTS:
                return await self._contacts(wanted)
            case Resource.ORDERS:
                return await self._events(wanted)
            case _:
                assert_never(wanted.resource)

    async def told(self, wanted: Wanted, items: Iterable[Item]) -> dict[str, str]:
        """Of these items, those that Omnisend has: the digest of what it last took, by ``told_key``.

        None of events, which do not change: the ledger knows them.
        """
        if wanted.resource is Resource.ORDERS:
            return {}
        rows = await self._database.run(
            "told_items",
            {
                "merchant_id": wanted.row.merchant_id,
                "resource": wanted.resource,
                "items": [told_key(wanted.resource, one.id, one.mark) for one in items],
            },
        )
        return {row["item_id"]: row["digest"] for row in rows}

    async def state(self, wanted: Wanted) -> SyncState | None:
        """How the sync stands; None where it is gone."""
        parameters = {"sync": wanted.sync, "merchant_id": wanted.row.merchant_id}
        rows = await self._database.run("sync_of", parameters)
        if not rows:
            return None
        return SyncState(canceled=rows[0]["state"] == "canceled", delta=rows[0]["mode"] == "delta")

    async def _products(self, wanted: Wanted) -> Found:
        pairs = [(wanted.row.merchant_id, number) for number in _numbers(wanted.ids)]
        products = (await self._catalogue.products(pairs)).get(wanted.row.merchant_id, {})
        found = Found(gone=[one for one in wanted.ids if one not in products])
        calls: dict[str, _Mapping] = {}
        for one in wanted.ids:
            if one in products:
                row = _row(wanted.row, Kind.PRODUCT, "product_changed", {"product_id": one})
                calls[one] = partial(map_product, row, wanted.merchant, products)
        await found.map(wanted.resource, calls)
        return found

    async def _categories(self, wanted: Wanted) -> Found:
        pairs = [(wanted.row.merchant_id, number) for number in _numbers(wanted.ids)]
        collections = (await self._catalogue.collections(pairs)).get(wanted.row.merchant_id, {})
        found = Found(gone=[one for one in wanted.ids if one not in collections])
        calls: dict[str, _Mapping] = {}
        for one in wanted.ids:
            if one in collections:
                row = _row(wanted.row, Kind.CATEGORY, "category_changed", {"collection_id": one})
                calls[one] = partial(map_category, row, wanted.merchant, collections)
        await found.map(wanted.resource, calls)
        return found

    async def _contacts(self, wanted: Wanted) -> Found:
        orders = await self._orders(wanted, (one[1:] for one in wanted.ids if one.startswith("o")))
        found, rows = Found(), dict[str, OutboxRow]()
        for one in wanted.ids:
            payload = _contact_payload(one, orders)
            if payload is None:
                found.gone.append(one)
            else:
                rows[one] = _row(wanted.row, Kind.CONTACT, "contact_changed", payload)
        merchant_id = wanted.row.merchant_id
        known = await self._store.consents(
            (merchant_id, *pair)
            for row in rows.values()
            for pair in contact_identifiers(row, wanted.merchant)
        )
        consents = known.get(merchant_id, {})
        await found.map(
            wanted.resource,
            {
                one: partial(map_contact, row, wanted.merchant, consents, wanted.dialect)
                for one, row in rows.items()
            },
        )
        return found

    async def _events(self, wanted: Wanted) -> Found:
        orders = await self._orders(wanted, (one.partition(".")[0] for one in wanted.ids))
        found, rows = Found(), dict[str, OutboxRow]()
        for one in wanted.ids:
            order_id, _, place = one.partition(".")
            order, name = orders.get(order_id), _EVENTS.get(place)
            if order is None or name is None:
                found.gone.append(one)
            elif name in order["told"]:
                found.told.append(one)
            else:
                rows[one] = _event_row(wanted.row, name, order)
        catalogue = await self._line_items(rows.values())
        await found.map(
            wanted.resource,
            {one: partial(map_event, row, wanted.merchant, catalogue) for one, row in rows.items()},
        )
        return found

    async def _orders(self, wanted: Wanted, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        orders = sorted(set(_numbers(ids)))
        rows = await self._database.run("sync_orders", {"sync": wanted.sync, "orders": orders})
        return {str(row["order_id"]): row for row in rows}

    async def _line_items(self, rows: Iterable[OutboxRow]) -> Mapping[str, CatalogueProduct]:
        wanted = line_item_products(rows)
        if not wanted or not await self._store.catalogue_granted():
            return {}
        found = await self._store.catalogue(wanted)
        return next(iter(found.values()), {})


def told_key(resource: Resource, item_id: str, known_as: str) -> str:
    """Under which name it is remembered that Omnisend has an item: of a contact the hash that ``mark`` makes."""
    return known_as if resource is Resource.CONTACTS else item_id


def event_of(item_id: str) -> tuple[EventName, str]:
    """The event and the order that an item of ``orders`` names."""
    order_id, _, place = item_id.partition(".")
    return _EVENTS[place], order_id


def _row(row: OutboxRow, kind: Kind, name: str, payload: Any) -> OutboxRow:
    """The row that would tell of the item alone."""
    return msgspec.structs.replace(row, kind=kind, name=name, payload=payload)


def _event_row(row: OutboxRow, name: EventName, order: Mapping[str, Any]) -> OutboxRow:
    """With the dedup key of the live event, so that it has the same eventID, and the instant that the order has of it."""
    at = order["created_at"] if name is EventName.ORDER_PLACED else order["updated_at"]
    return msgspec.structs.replace(
        row,
        kind=Kind.EVENT,
        name=name,
        payload=order["payload"],
        dedup_key=str(order["order_id"]),
        occurred_at=at,
    )


def _contact_payload(item_id: str, orders: Mapping[str, Mapping[str, Any]]) -> Any:
    """What is known of a contact: the customer's newest order, or the address of a consent, as it was recorded."""
    kind, named = item_id[:1], item_id[1:]
    if kind == "o":
        order = orders.get(named)
        return order["payload"] if order is not None else None
    return {"email": named} if "@" in named else {"phone": named, "channel": Channel.SMS.value}


def _numbers(ids: Iterable[str]) -> list[int]:
    """Those of ``ids`` that can be a row's."""
    return [number for one in ids if (number := row_number(one)) is not None]
