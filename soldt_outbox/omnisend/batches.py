"""``/batches``: many items in one request, which Omnisend works off later. Pure: bodies to build, answers to read.

A batch is created (201 with its ``batchID``), is ``pending`` and ``inProgress``, and ends ``finished`` or, after too many
errors, ``stopped``. Its items have answers of their own, with the status that the single call would have had. Sources:
Omnisend's OpenAPI file "omnisend-batches-api" of 2026-03-15, and its v5 reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar, assert_never

import msgspec

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.answers import Answer
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping.events import MAX_BODY_BYTES, ORIGIN
from soldt_outbox.redaction import contact_hash, scrub
from soldt_outbox.rows import Kind, OmnisendRequest, Unreadable

BATCHES_PATH: Final = "/batches"
MAX_ROUNDS: Final = 5  # how often an item is sent in all before it is given up
_MAX_IDS: Final = 1_000  # of a chunk: what the largest batch of any version holds
_MAX_WORDS: Final = 500

Method = Literal["POST", "PUT"]


class Resource(StrEnum):
    """What a sync is about."""

    PRODUCTS = "products"
    CATEGORIES = "categories"
    CONTACTS = "contacts"
    ORDERS = "orders"

    @property
    def endpoint(self) -> str:
        """Omnisend's name for what the items are: of orders their events."""
        return "events" if self is Resource.ORDERS else self.value

    @property
    def kind(self) -> Kind:
        """The kind of row that tells of one item alone."""
        match self:
            case Resource.PRODUCTS:
                return Kind.PRODUCT
            case Resource.CATEGORIES:
                return Kind.CATEGORY
            case Resource.CONTACTS:
                return Kind.CONTACT
            case Resource.ORDERS:
                return Kind.EVENT
            case _:
                assert_never(self)


class BatchRow(StrEnum):
    """The names of rows of kind ``batch``."""

    SUBMIT = "batch_submit"
    FOLLOW = "batch_follow"
    POLL = "contacts_poll"


class Chunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of ``batch_submit``: which items of a sync to send, named as ``omnisend_private.sync_ids`` names them.

    ``method`` where it is known; ``round`` counts how often these items have been sent, this time included.
    """

    sync: int
    resource: Resource
    ids: list[str]
    method: Method | None = None
    round: int = 1

    @property
    def count(self) -> int:
        return len(self.ids)


class SentItem(msgspec.Struct, frozen=True, array_like=True):
    """An item of a batch under way: its name, what Omnisend's answer will know it by, and what was sent of it."""

    id: str
    mark: str
    digest: str


class Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of ``batch_follow``."""

    batch: str
    sync: int
    resource: Resource
    method: Method
    items: list[SentItem]
    round: int = 1

    @property
    def count(self) -> int:
        return len(self.items)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An item ready to send. ``mark`` and ``digest`` are as of ``SentItem``."""

    id: str
    mark: str
    body: bytes
    digest: str

    def sent(self) -> SentItem:
        return SentItem(self.id, self.mark, self.digest)


_Payload = TypeVar("_Payload", Chunk, Sent)


def read_payload(payload: Any, shape: type[_Payload]) -> _Payload:
    """A row's payload. Raises ``PayloadRejected`` for what this project did not write."""
    if isinstance(payload, Unreadable):
        raise PayloadRejected("payload", payload.problem)
    try:
        read = msgspec.convert(payload, shape)
    except msgspec.ValidationError as error:
        raise PayloadRejected("payload", f"is no batch's ({error})") from None
    if not 1 <= read.count <= _MAX_IDS:
        raise PayloadRejected("payload", f"names {read.count:,} items; a batch has 1 to {_MAX_IDS:,}")
    return read


# -- what is sent --------------------------------------------------------------------------------------------------

_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def item(resource: Resource, item_id: str, body: bytes) -> Item:
    """An item of this body, which the mapping made."""
    return Item(
        id=item_id,
        mark=mark(resource, body) or item_id,
        body=body,
        digest=digest(body),
    )


def item_of(resource: Resource, item_id: str, request: OmnisendRequest) -> Item:
    """The item that tells in a batch what ``request`` tells alone: of two calls to choose from, what creates it."""
    return item(resource, item_id, (request.otherwise or request).body)


def digest(body: bytes) -> str:
    """What tells one state of an item from another: 64 bits, in hexadecimal.

    Without ``updatedAt``: every order that takes from a product's stock moves it, and nothing else of the product.
    """
    fields = _raw_fields(body)
    fields.pop("updatedAt", None)
    return hashlib.sha256(_encode(fields)).hexdigest()[:16]


class _Address(msgspec.Struct):
    id: str


class _Known(msgspec.Struct):
    """What an item is known by; nothing else of it is read, since a batch's items make a megabyte."""

    id: str | None = None
    categoryID: str | None = None  # noqa: N815 - Omnisend's names, here and below
    eventID: str | None = None  # noqa: N815
    identifiers: list[_Address] | None = None


_known = msgspec.json.Decoder(_Known).decode


def mark(resource: Resource, body: bytes) -> str | None:
    """What an item is known by at Omnisend, read from its body; of a contact a hash of its first address."""
    try:
        known = _known(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    match resource:
        case Resource.PRODUCTS:
            return known.id
        case Resource.CATEGORIES:
            return known.categoryID
        case Resource.ORDERS:
            return known.eventID
        case Resource.CONTACTS:
            return contact_hash(known.identifiers[0].id) if known.identifiers else None
        case _:
            assert_never(resource)


def fitting(items: Sequence[Item], dialect: Dialect) -> Sequence[Item]:
    """The first items that make one batch: as many as the version takes, and 1 MB, as Omnisend advises; at least one."""
    size, count = 200, 0  # of what surrounds the items
    for one in items[: dialect.max_batch_items]:
        size += len(one.body) + 1
        if count and size > MAX_BODY_BYTES:
            break
        count += 1
    return items[:count]


def creation(resource: Resource, method: Method, items: Iterable[Item]) -> OmnisendRequest:
    """The request that creates a batch. The items' bytes are the single calls'."""
    head = f'{{"method":"{method}","endpoint":"{resource.endpoint}","origin":"{ORIGIN}","items":['
    body = head.encode() + b",".join(one.body for one in items) + b"]}"
    return OmnisendRequest(method="POST", path=BATCHES_PATH, body=body)


def looking_at(batch: str, *, items: bool = False) -> OmnisendRequest:
    """The request for a batch's progress, or for its items' answers."""
    return OmnisendRequest(method="GET", path=f"{BATCHES_PATH}/{batch}{'/items' if items else ''}", body=b"")


# -- what is answered ----------------------------------------------------------------------------------------------


class _Created(msgspec.Struct):
    batchID: str  # noqa: N815


class Progress(msgspec.Struct, frozen=True, rename={"errors": "errorsCount"}):
    """How far a batch is."""

    status: Literal["pending", "inProgress", "finished", "stopped"]
    errors: int = 0

    @property
    def ended(self) -> bool:
        return self.status in ("finished", "stopped")


class _ItemAnswer(msgspec.Struct):
    itemID: str | None = None  # noqa: N815
    request: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    responseCode: int | None = None  # noqa: N815
    status: str | None = None


class _Items(msgspec.Struct):
    errors: list[_ItemAnswer] | None = None
    responses: list[_ItemAnswer] | None = None


_STATUS_CODES: Final = range(100, 1000)
_SAFE_ID: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")


def read_created(answer: Answer) -> str | None:
    """The new batch's id; None where the answer names none that can stand in a path."""
    try:
        batch = msgspec.json.decode(answer.body, type=_Created).batchID
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return batch if 0 < len(batch) <= 100 and _SAFE_ID.issuperset(batch) else None


def read_progress(answer: Answer) -> Progress | None:
    """How far a batch is; None where the answer does not say."""
    try:
        return msgspec.json.decode(answer.body, type=Progress)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What Omnisend did not take of a batch. ``code`` is the status of the single call; None where it said nothing."""

    item: SentItem
    code: int | None
    words: str


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """An item to send once more, and by which method."""

    refusal: Refusal
    method: Method


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch's items: each stands in one of these.

    ``alone``: categories that exist already. A batch only creates categories (v3 reference, "Batches"), so each is changed
    by a request of its own.
    """

    confirmed: list[SentItem] = []
    rejected: list[Refusal] = []
    again: list[Again] = []
    alone: list[SentItem] = []


def judge(sent: Sent, progress: Progress, answer: Answer | None) -> Judged | None:
    """What became of the items of a batch that ended, by the answer about its items; None where that cannot be read.

    ``answer`` may be None where there were no errors. An item of which nothing is said counts as taken only where the batch
    finished and every error it counted is told: items may be sent twice, and none may be missing. Such an item is sent again as
    most of those that Omnisend came to should have been: it stops a batch in which too many exist already, or do not.
    """
    told: dict[str, tuple[int | None, str]] = {}
    if answer is not None:
        try:
            listed = msgspec.json.decode(answer.body, type=_Items)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        told = _told(sent, listed)
    refused = {name: found for name, found in told.items() if not _is_taken(found[0])}
    silence_is_consent = progress.status == "finished" and len(refused) >= progress.errors
    judged, silent = Judged(), list[SentItem]()
    for one in sent.items:
        if one.mark in refused:
            _refuse(judged, sent, Refusal(item=one, code=refused[one.mark][0], words=refused[one.mark][1]))
        elif one.mark in told or silence_is_consent:
            judged.confirmed.append(one)
        else:
            silent.append(one)
    words = f"Omnisend {progress.status} the batch and said nothing of this item"
    _pass_over(judged, sent, [Refusal(item=one, code=None, words=words) for one in silent])
    return judged


def lost(sent: Sent) -> Judged:
    """What becomes of the items of a batch that Omnisend no longer knows."""
    judged = Judged()
    for one in sent.items:
        _refuse(judged, sent, Refusal(item=one, code=None, words="Omnisend no longer knows the batch"))
    return judged


def _pass_over(judged: Judged, sent: Sent, unsaid: Iterable[Refusal]) -> None:
    """What becomes of items of which nothing was said, by what became of the others."""
    others = [one.method for one in judged.again if one.method != sent.method]
    if len(judged.alone) > len(judged.confirmed):
        judged.alone.extend(one.item for one in unsaid)
        return
    if len(others) > len(judged.confirmed):
        sent = msgspec.structs.replace(sent, method=others[0])
    for refusal in unsaid:
        _refuse(judged, sent, refusal)


def _refuse(judged: Judged, sent: Sent, refusal: Refusal) -> None:
    if sent.resource is Resource.CATEGORIES and _exists(refusal):
        judged.alone.append(refusal.item)
        return
    method = _next_method(sent, refusal)
    if method is None or sent.round >= MAX_ROUNDS:
        judged.rejected.append(refusal)
    else:
        judged.again.append(Again(refusal=refusal, method=method))


def _is_taken(code: int | None) -> bool:
    return code is not None and 200 <= code < 300


def _next_method(sent: Sent, refusal: Refusal) -> Method | None:
    """By which method an item is sent again; None where that would change nothing. As ``answers.classify`` has it."""
    code = refusal.code
    if code is None or code in (408, 425, 429) or code >= 500:
        return sent.method
    if sent.resource is Resource.PRODUCTS:
        if code == 404 and sent.method == "PUT":
            return "POST"
        if sent.method == "POST" and _exists(refusal):
            return "PUT"
    return None


def _exists(refusal: Refusal) -> bool:
    """409, or v5's 422 "already exists"."""
    return refusal.code == 409 or (refusal.code is not None and "already exists" in refusal.words)


def _told(sent: Sent, listed: _Items) -> dict[str, tuple[int | None, str]]:
    """What was said of each item, by its mark. What is listed both as an error and as a response is an error."""
    known = {one.mark for one in sent.items} | {one.id for one in sent.items}
    told: dict[str, tuple[int | None, str]] = {}
    for answers, is_error in ((listed.responses or (), False), (listed.errors or (), True)):
        for one in answers:
            name = mark(sent.resource, _as_sent(one.request)) or one.itemID
            if name is None or name not in known:
                continue
            code = one.responseCode if one.responseCode in _STATUS_CODES else None
            if is_error and (code is None or _is_taken(code)):
                code = 400  # an error without a status: Omnisend does not take it as it is
            told[name] = (code, _words(one, code))
    return told


def _as_sent(value: msgspec.Raw) -> bytes:
    """An item as it was sent, which may come back as text."""
    raw = bytes(value)
    if not raw.startswith(b'"'):
        return raw
    try:
        return msgspec.json.decode(raw, type=str).encode()
    except (msgspec.MsgspecError, ValueError):
        return b""


def _words(answer: _ItemAnswer, code: int | None) -> str:
    """Omnisend's reason, with personal data masked."""
    said = bytes(answer.response)[: 4 * _MAX_WORDS].decode("utf-8", "replace")
    clean = "".join(c if c.isprintable() else " " for c in said)
    return scrub(f"HTTP {code}: {clean}", limit=_MAX_WORDS)
