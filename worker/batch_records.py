"""What is written beside rows when they are settled: counts, log rows, what was told, and rows that follow. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, assert_never

import msgspec

from soldt_outbox.omnisend.batches import (
    Again,
    BatchRow,
    Chunk,
    Item,
    Method,
    Refusal,
    Resource,
    Sent,
    SentItem,
    fitting,
    item_of,
)
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping import changed_collection, changed_product
from soldt_outbox.rows import FollowUp, Kind, OmnisendRequest, OutboxRow, Record
from soldt_outbox.sync_items import Found, event_of, told_key

LIVES: Final = timedelta(days=30)  # a sync's rows, counted from its first
FIRST_LOOK: Final = timedelta(seconds=2)
_AGAIN: Final = timedelta(seconds=5)  # doubled each round
_CHANGED: Final = {
    Resource.PRODUCTS: (Kind.PRODUCT, "product_changed", "product_id"),
    Resource.CATEGORIES: (Kind.CATEGORY, "category_changed", "collection_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of a chunk is sent now, by which method, and what is left for rows that follow.

    ``alone``: categories that Omnisend has. A batch only creates them, so each is changed by a row of its own.
    """

    method: Method
    items: Sequence[Item]
    unchanged: int
    rest: tuple[Chunk, ...] = ()
    alone: Sequence[Item] = ()


def plan(chunk: Chunk, found: Found, told: dict[str, str], *, delta: bool, dialect: Dialect) -> Plan:
    """What to send: of one method, since a batch has one, and as much as a batch holds.

    ``told``: digests of what Omnisend has, by ``told_key``. What it has is replaced, anything else is created; where that
    turns out wrong, the item is sent again the other way.
    """
    groups: dict[Method, list[Item]] = defaultdict(list)
    alone: list[Item] = []
    unchanged = 0
    for one in found.items:
        confirmed = told.get(told_key(chunk.resource, one.id, one.mark))
        if delta and confirmed == one.digest:
            unchanged += 1
        elif confirmed is not None and chunk.resource is Resource.CATEGORIES:
            alone.append(one)
        else:
            replaces = confirmed is not None and chunk.resource is Resource.PRODUCTS
            groups[chunk.method or ("PUT" if replaces else "POST")].append(one)
    if not groups:
        return Plan(method="POST", items=(), unchanged=unchanged, alone=alone)
    method, items = next(iter(groups.items()))
    now = fitting(items, dialect)
    left: dict[Method, Sequence[Item]] = {**groups, method: items[len(now) :]}
    rest = tuple(_chunk(chunk, [one.id for one in ones], by) for by, ones in left.items() if ones)
    return Plan(method=method, items=now, unchanged=unchanged, rest=rest, alone=alone)


def halves(chunk: Chunk, sent: Plan) -> tuple[Chunk, ...]:
    """A batch that was too large for Omnisend, as two."""
    ids = [one.id for one in sent.items]
    middle = len(ids) // 2
    return tuple(_chunk(chunk, part, sent.method) for part in (ids[:middle], ids[middle:]) if part)


def _chunk(chunk: Chunk, ids: list[str], method: Method) -> Chunk:
    return msgspec.structs.replace(chunk, ids=ids, method=method)


def again(sent: Sent, refused: Iterable[Again]) -> list[Chunk]:
    """What is sent once more, by either method."""
    ids: dict[Method, list[str]] = defaultdict(list)
    for one in refused:
        ids[one.method].append(one.refusal.item.id)
    return [
        Chunk(sync=sent.sync, resource=sent.resource, ids=names, method=method, round=sent.round + 1)
        for method, names in ids.items()
    ]


def before_again(sent: Sent) -> timedelta:
    """How long what is sent once more waits: longer with each round."""
    wait: timedelta = _AGAIN * 2 ** (sent.round - 1)
    return wait


def changed_since(sent: Sent, ids: list[str]) -> Chunk:
    """What changed in the shop while the batch was under way."""
    method: Method = "PUT" if sent.resource is Resource.PRODUCTS else "POST"
    return Chunk(sync=sent.sync, resource=sent.resource, ids=ids, method=method, round=sent.round)


# -- rows that follow ------------------------------------------------------------------------------------------


def submit_rows(row: OutboxRow, chunks: Iterable[Chunk], *, wait: timedelta | None = None) -> list[FollowUp]:
    """Rows for chunks, each with a dedup key of its own: settling the same row again writes none twice."""
    return [
        _row(row, BatchRow.SUBMIT, f"after {row.id}:{number}", msgspec.to_builtins(chunk), wait)
        for number, chunk in enumerate(chunks, start=1)
    ]


def follow_row(row: OutboxRow, chunk: Chunk, sent: Plan, batch: str) -> FollowUp:
    """The row that follows a batch which was created."""
    payload = Sent(
        batch=batch,
        sync=chunk.sync,
        resource=chunk.resource,
        method=sent.method,
        items=[one.sent() for one in sent.items],
        round=chunk.round,
    )
    return _row(row, BatchRow.FOLLOW, batch, msgspec.to_builtins(payload), FIRST_LOOK)


def _row(
    row: OutboxRow, name: BatchRow, dedup_key: str, payload: dict[str, Any], wait: timedelta | None
) -> FollowUp:
    return FollowUp(
        kind=Kind.BATCH,
        name=name,
        dedup_key=dedup_key,
        payload=payload,
        occurred_at=row.occurred_at,
        time_to_live=LIVES,
        wait=wait,
    )


def single_rows(row: OutboxRow, resource: Resource, ids: Iterable[str]) -> list[FollowUp]:
    """Items told by a row of their own, as if they had just changed: what the shop removed meanwhile, categories that exist."""
    if resource not in _CHANGED:
        return []
    kind, name, field = _CHANGED[resource]
    return [
        FollowUp(
            kind=kind,
            name=name,
            dedup_key=f"{one}:after {row.id}",
            payload={field: one},
            occurred_at=row.occurred_at,
            time_to_live=LIVES,
            ordered_by=f"{kind}:{one}",
        )
        for one in ids
    ]


# -- records ---------------------------------------------------------------------------------------------------


def counts(
    sync: int, *, sent: int = 0, unchanged: int = 0, skipped: int = 0, rejected: int = 0, put_back: int = 0
) -> Record:
    """What a sync counts by this."""
    return Record(
        by="count_sync",
        fields={
            "sync": sync,
            "sent": sent,
            "unchanged": unchanged,
            "skipped": skipped,
            "rejected": rejected,
            "put_back": put_back,
        },
    )


def unmappable(chunk: Chunk, found: Found) -> list[Record]:
    """A log row for each item that cannot be sent as it is."""
    return [_logged(chunk.resource, one.id, error=one.words) for one in found.refused]


def refusals(sent: Sent, refused: Iterable[Refusal]) -> list[Record]:
    """A log row for each item that Omnisend refused for good."""
    return [
        _logged(
            sent.resource,
            one.item.id,
            mark=one.item.mark,
            batch=sent.batch,
            status_code=one.code,
            error=_given_up(sent, one),
        )
        for one in refused
    ]


def _given_up(sent: Sent, refusal: Refusal) -> str:
    rounds = f" (sent {sent.round} times)" if sent.round > 1 else ""
    return f"Omnisend refused it: {refusal.words}{rounds}"


def _logged(resource: Resource, item_id: str, *, mark: str | None = None, **more: Any) -> Record:
    """A contact is logged by its hash: the name of one known from a consent alone is an address."""
    fields: dict[str, Any] = {"kind": Kind.EVENT, "name": resource, "item": item_id, **more}
    match resource:
        case Resource.PRODUCTS | Resource.CATEGORIES:
            fields["kind"], fields["name"], _ = _CHANGED[resource]
        case Resource.CONTACTS:
            fields["kind"], fields["name"] = Kind.CONTACT, "contact_changed"
            fields["item"] = item_id[1:] if item_id.startswith("o") else None
            fields["contact_hash"] = mark
        case Resource.ORDERS:
            fields["name"], fields["item"] = event_of(item_id)
            fields["event_id"] = mark
    return Record(by="log_items", fields=fields)


def told(resource: Resource, confirmed: Sequence[SentItem], *, brand: str | None) -> list[Record]:
    """What Omnisend has now, told to ``brand``: events go into the ledger, everything else is remembered by its digest."""
    if not confirmed:
        return []
    if resource is Resource.ORDERS:
        return [Record(by="enter_events", fields={"events": [event_of(one.id) for one in confirmed]})]
    items = {told_key(resource, one.id, one.mark): one.digest for one in confirmed}
    return [_kept(resource, items, brand)]


def told_alone(row: OutboxRow, request: OmnisendRequest, *, brand: str | None) -> tuple[Record, ...]:
    """What Omnisend has, or has no more, since it took the ``request`` of a row that tells of one item alone.

    Of the catalogue, by which a refresh knows what to leave out and what to delete. Not of contacts: a row may tell what somebody
    changed since their newest order, which is what a refresh tells. It would send the order's details over these; a consent that
    changed is in what it would send, with its own instant, so that is told in any case.
    """
    match row.kind:
        case Kind.PRODUCT:
            resource, item_id = Resource.PRODUCTS, str(changed_product(row))
        case Kind.CATEGORY:
            resource, item_id = Resource.CATEGORIES, str(changed_collection(row))
        case Kind.EVENT | Kind.CONTACT | Kind.BATCH:
            return ()
        case _:
            assert_never(row.kind)
    gone = request.method == "DELETE"
    return (_kept(resource, {item_id: None if gone else item_of(resource, item_id, request).digest}, brand),)


def _kept(resource: Resource, items: Mapping[str, str | None], brand: str | None) -> Record:
    return Record(by="keep_told", fields={"brand": brand, "resource": resource, "items": items})
