"""`/batches`: taking many items at once, and telling how far they are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from sandbox.omnisend.answers import Answer, ok
from sandbox.omnisend.batches import BATCH_STATUSES, Batch, Outcome
from sandbox.omnisend.dialect import Dialect
from sandbox.omnisend.faults import AFTER_READING, Target
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.model import Finding
from sandbox.omnisend.paging import DEFAULT_LIMIT, MAX_LIMIT, offset_paging, one_of, whole
from sandbox.omnisend.resources import categories, contacts, events, products
from sandbox.omnisend.routing import Call, Endpoint, Methods
from sandbox.omnisend.validation import Reading
from sandbox.omnisend.values import json_type

_LARGE: Final = 1_000_000
"""Bytes; "payload advice: 1 MB" (DOCS/docs/how-to-sync-contacts)."""
_FIELDS: Final = frozenset({"method", "endpoint", "items", "origin"})
_ITEMS: Final[dict[tuple[str, str], Endpoint]] = {
    ("products", "POST"): products.ROUTES["/products"]["POST"],
    ("products", "PUT"): products.ROUTES["/products/{id}"]["PUT"],
    ("contacts", "POST"): contacts.ROUTES["/contacts"]["POST"],
    ("events", "POST"): events.ROUTES["/events"]["POST"],
    ("categories", "POST"): categories.ROUTES["/product-categories"]["POST"],
}
"""How one item is done: as by the endpoint it would have been sent to alone. PUT is there for products only, among
what there still is of the list in DOCS/v3/reference/batches."""
_ENDPOINTS: Final = ("products", "contacts", "events", "categories")
_LISTED: Final = ("products", "contacts", "events")


class BatchRequest(msgspec.Struct, frozen=True):
    method: str
    endpoint: str
    origin: str | None
    items: list[bytes]


def read_batch(body: bytes, dialect: Dialect) -> Reading:
    """Check the batch itself; its items are looked at when it is their turn."""
    out = Findings()
    if len(body) > _LARGE:
        out.ignored("batch_large", "", "body", f"has {len(body)} bytes; one megabyte at most is advised")
    try:
        content = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        fields = {
            name: msgspec.json.decode(content[name]) for name in ("method", "endpoint") if name in content
        }
        origin = msgspec.json.decode(content["origin"]) if "origin" in content else None
        items = msgspec.json.decode(content.get("items", b"[]"), type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        out.rejected("bad_json", "", "body", f"is no batch: {error}")
        return Reading(findings=tuple(out.items))
    for name in content.keys() - _FIELDS:
        out.ignored("field_unknown", "", name[:100], "is not a field of a batch")
    method, endpoint = fields.get("method"), fields.get("endpoint")
    _check_kind(method, endpoint, out)
    if origin is not None and type(origin) is not str:
        out.rejected("field_type", "", "origin", f"must be a string, is {json_type(origin)}")
    if not 1 <= len(items) <= dialect.max_batch_items:
        message = f"has {len(items)} items, 1 to {dialect.max_batch_items} are allowed"
        out.rejected("list_length", "", "items", message)
    if out.has_rejection_under(""):
        return Reading(findings=tuple(out.items))
    known = BatchRequest(str(method), str(endpoint), origin, [bytes(item) for item in items])
    return Reading(content=known, findings=tuple(out.items))


def _check_kind(method: Any, endpoint: Any, out: Findings) -> None:
    if method not in ("POST", "PUT"):
        out.rejected("value_unknown", "", "method", "must be POST or PUT")
    if endpoint not in _ENDPOINTS:
        out.rejected("value_unknown", "", "endpoint", f"must be one of {', '.join(_ENDPOINTS)}")
    elif method == "PUT" and (endpoint, method) not in _ITEMS:
        out.rejected("value_unknown", "", "method", f"must be POST for {endpoint}")


def _may(call: Call, endpoint: str, what: str) -> bool:
    """Whether the caller has the permission of what is in the batch (DOCS/reference/post_batches)."""
    resource = "products" if endpoint == "categories" else endpoint
    return f"{resource}.{what}" in (call.caller.permissions or ())


def create(call: Call) -> Answer:
    request: BatchRequest | None = call.reading.content
    if request is None:
        return call.invalid()
    if not _may(call, request.endpoint, "write"):
        return call.refuse(403)
    batch = Batch(
        brand_id=call.brand.brand_id,
        method=request.method,
        endpoint=request.endpoint,
        origin=request.origin,
        items=request.items,
        created_at=datetime.now(UTC),
    )
    world = call.world
    world.batches.start(
        batch, lambda index: _do(call, batch, index), lambda: world.journal.batch_over(batch.brand_id)
    )
    return ok({"batchID": batch.batch_id, "totalCount": len(batch.items)}, 201)


def _do(batch_call: Call, batch: Batch, index: int) -> None:
    """Do one item and note its answer in the batch, its findings in the journal's entry of the batch."""
    endpoint = _ITEMS[batch.endpoint, batch.method]
    reading = endpoint.read(batch.items[index], batch_call.dialect)
    item_id = _own_id(batch.endpoint, reading)
    call = Call(
        world=batch_call.world,
        dialect=batch_call.dialect,
        caller=batch_call.caller,
        brand=batch_call.brand,
        entry=None,
        reading=reading,
        parameters={"id": item_id or ""},
        query={},
        url=batch_call.url,
    )
    answer = _answer(call, endpoint, item_id)
    batch.note(answer.status, answer.body)
    found = [
        Finding(one.severity, one.code, f"items[{index}].{one.path}", one.message)
        for one in (*reading.findings, *call.found)
    ]
    if found and batch_call.entry is not None:
        call.world.journal.found(batch_call.entry, found)


def _answer(call: Call, endpoint: Endpoint, item_id: str | None) -> Answer:
    """What the endpoint answers, or the fault that was put on this item."""
    target = Target(
        brand=call.brand.brand_id,
        event_name=call.reading.event_name,
        email=call.reading.email,
        batch_item=True,
        item_id=item_id,
    )
    hit = call.world.faults.pick(AFTER_READING, target)
    if hit is None:
        return endpoint.act(call)
    if hit.fault.acts:
        endpoint.act(call)
    return call.refuse(hit.fault.status).with_body(hit.fault.body)


def _own_id(endpoint: str, reading: Reading) -> str | None:
    """The id an item gives itself; a contact's is its e-mail address."""
    match endpoint:
        case "events":
            return reading.event_id
        case "contacts":
            return reading.email
        case "products":
            return reading.content.product_id if reading.content is not None else None
        case _:
            return reading.content.category_id if reading.content is not None else None


def show(call: Call) -> Answer:
    return _found(call, with_items=False)


def show_items(call: Call) -> Answer:
    return _found(call, with_items=True)


def _found(call: Call, *, with_items: bool) -> Answer:
    batch = call.world.batches.get(call.brand.brand_id, call.parameters["id"])
    if batch is None:
        return call.refuse(404)
    if not _may(call, batch.endpoint, "read"):
        return call.refuse(403)
    return ok(_shown(batch) | (_items(batch) if with_items else {}))


def list_batches(call: Call) -> Answer:
    """The batches of one endpoint, which must be named; newest first."""
    out, query = Findings(), call.query
    limit = whole(query, "limit", out, default=DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    offset = whole(query, "offset", out, default=0, lowest=0)
    endpoint = one_of(query, "endpoint", _LISTED, out)
    status = one_of(query, "status", BATCH_STATUSES, out)
    first, last = _day(query.get("dateFrom"), "dateFrom", out), _day(query.get("dateTo"), "dateTo", out)
    if "endpoint" not in query:
        out.rejected("query_missing", "", "endpoint", "is required")
    if out.items or endpoint is None:
        return call.invalid(tuple(out.items))
    if not _may(call, endpoint, "read"):
        return call.refuse(403)
    batches = [
        one
        for one in call.world.batches
        if one.brand_id == call.brand.brand_id
        and one.endpoint == endpoint
        and status in {None, one.status}
        and (first is None or one.created_at.date() >= first)
        and (last is None or one.created_at.date() <= last)
    ][::-1]
    paging = offset_paging(call.url(), query, limit=limit, offset=offset, total=len(batches))
    return ok({"batches": [_shown(one) for one in batches[offset : offset + limit]], "paging": paging})


def _day(raw: str | None, name: str, out: Findings) -> date | None:
    if raw is None:
        return None
    try:
        return date.fromisoformat(raw)
    except ValueError:
        out.rejected("query_invalid", "", name, "must be a date, YYYY-MM-DD")
        return None


def _shown(batch: Batch) -> dict[str, Any]:
    return {
        "batchID": batch.batch_id,
        "method": batch.method,
        "endpoint": batch.endpoint,
        **({"origin": batch.origin} if batch.origin is not None else {}),
        "status": batch.status,
        "totalCount": len(batch.items),
        "finishedCount": len(batch.outcomes),
        "errorsCount": batch.errors,
        "createdAt": batch.created_at,
        **({"startedAt": batch.started_at} if batch.started_at is not None else {}),
        **({"endedAt": batch.ended_at} if batch.ended_at is not None else {}),
    }


def _items(batch: Batch) -> dict[str, Any]:
    """`responses` are those of what went well, `errors` the others (DOCS/v3/reference/batches)."""
    done = list(zip(batch.items, batch.outcomes, strict=False))
    return {
        "errors": [_item(item, one) for item, one in done if one.response_code >= 400],
        "responses": [_item(item, one) for item, one in done if one.response_code < 400],
    }


def _item(item: bytes, outcome: Outcome) -> dict[str, Any]:
    return {
        "itemID": outcome.item_id,
        "request": msgspec.Raw(item),
        "response": msgspec.Raw(outcome.response or b"null"),
        "responseCode": outcome.response_code,
        "status": "finished",
    }


ROUTES: Final[dict[str, Methods]] = {
    "/batches": {
        "GET": Endpoint(
            permission=None,
            act=list_batches,
            parameters=frozenset({"offset", "limit", "status", "dateFrom", "dateTo", "endpoint"}),
        ),
        "POST": Endpoint(permission=None, read=read_batch, act=create, takes_body=True, is_large=True),
    },
    "/batches/{id}": {"GET": Endpoint(permission=None, act=show)},
    "/batches/{id}/items": {"GET": Endpoint(permission=None, act=show_items)},
}
