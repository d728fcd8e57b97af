"""Batches: what is sent of a chunk, and what each answer means for each item."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.answers import Answer
from soldt_outbox.omnisend.batches import (
    MAX_ROUNDS,
    Chunk,
    Item,
    Judged,
    Method,
    Progress,
    Resource,
    Sent,
    SentItem,
    creation,
    digest,
    fitting,
    item,
    judge,
    lost,
    read_created,
    read_payload,
    read_progress,
)
from soldt_outbox.omnisend.dialects import V5, V2026_03_15
from soldt_outbox.omnisend.mapping.events import MAX_BODY_BYTES
from soldt_outbox.rows import Unreadable

encode = msgspec.json.encode


def _sent(*ids: str, resource: Resource = Resource.PRODUCTS, method: Method = "POST", sent: int = 1) -> Sent:
    items = [SentItem(one, one, "0" * 16) for one in ids]
    return Sent(batch="b1", sync=1, resource=resource, method=method, items=items, round=sent)


def _said(item_id: str, code: int | None, response: Any = None, **more: Any) -> dict[str, Any]:
    return {"itemID": "65b0", "request": {"id": item_id}, "response": response, "responseCode": code, **more}


def _listed(*, errors: Any = (), responses: Any = ()) -> Answer:
    return Answer(status=200, body=encode({"errors": errors, "responses": responses}))


def _judge(sent: Sent, answer: Answer | None, *, status: str = "finished", errors: int = 0) -> Judged:
    progress = msgspec.convert({"status": status, "errorsCount": errors}, Progress)
    judged = judge(sent, progress, answer)
    assert judged is not None
    every = [*judged.confirmed, *judged.alone]
    every += [one.item for one in judged.rejected] + [one.refusal.item for one in judged.again]
    assert sorted(one.id for one in every) == sorted(one.id for one in sent.items), (
        "each item stands in one list"
    )
    return judged


# -- what is sent


def _item(number: int, size: int = 100) -> Item:
    return Item(id=str(number), mark=str(number), body=b"x" * size, digest="0" * 16)


@pytest.mark.parametrize(("dialect", "most"), [(V5, 1_000), (V2026_03_15, 100)])
def test_a_batch_has_as_many_items_as_the_version_takes(dialect: Any, most: int) -> None:
    assert len(fitting([_item(n) for n in range(1_200)], dialect)) == most


def test_a_batch_has_a_megabyte_at_most_unless_one_item_is_larger() -> None:
    items = fitting([_item(n, 300_000) for n in range(10)], V5)
    assert len(items) == 3
    assert len(creation(Resource.PRODUCTS, "POST", items).body) <= MAX_BODY_BYTES
    assert len(fitting([_item(1, 2 * MAX_BODY_BYTES), _item(2)], V5)) == 1


def test_the_items_are_the_bodies_of_single_requests() -> None:
    bodies = [{"id": "1", "title": "Shirt"}, {"id": "2", "title": "Mug"}]
    request = creation(
        Resource.PRODUCTS, "PUT", [item(Resource.PRODUCTS, body["id"], encode(body)) for body in bodies]
    )
    assert (request.method, request.path) == ("POST", "/batches")
    assert msgspec.json.decode(request.body) == {
        "method": "PUT",
        "endpoint": "products",
        "origin": "api",
        "items": bodies,
    }


@pytest.mark.parametrize(
    ("resource", "body", "mark"),
    [
        (Resource.PRODUCTS, {"id": "p1"}, "p1"),
        (Resource.CATEGORIES, {"categoryID": "c1"}, "c1"),
        (Resource.ORDERS, {"eventID": "e1", "contact": {"id": "x"}}, "e1"),
    ],
)
def test_an_item_is_known_by_its_own_id(resource: Resource, body: Any, mark: str) -> None:
    assert item(resource, "named", encode(body)).mark == mark


def test_a_contact_is_known_by_a_hash_and_not_by_its_address() -> None:
    body = encode({"identifiers": [{"type": "email", "id": "thandi@example.com"}]})
    known_by = item(Resource.CONTACTS, "o1", body).mark
    assert "@" not in known_by
    assert len(known_by) == 16


def test_a_digest_tells_states_apart_but_for_the_instant_of_the_update() -> None:
    one = encode({"id": "1", "title": "Shirt", "updatedAt": "2026-01-01T00:00:00Z"})
    sold = encode({"title": "Shirt", "id": "1", "updatedAt": "2026-02-01T00:00:00Z"})
    renamed = encode({"id": "1", "title": "Skirt", "updatedAt": "2026-01-01T00:00:00Z"})
    assert digest(one) == digest(sold) != digest(renamed)


# -- payloads


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"sync": 1, "resource": "products", "ids": []},
        {"sync": 1, "resource": "products", "ids": ["1"] * 1_001},
        {"sync": 1, "resource": "shoes", "ids": ["1"]},
        {"sync": "1", "resource": "products", "ids": ["1"]},
        {"sync": 1, "resource": "products", "ids": ["1"], "method": "DELETE"},
        {"sync": 1, "resource": "products", "ids": ["1"], "more": 1},
        Unreadable("is nested too deeply"),
    ],
)
def test_a_payload_that_this_project_did_not_write_is_refused(payload: Any) -> None:
    with pytest.raises(PayloadRejected, match="payload"):
        read_payload(payload, Chunk)


def test_payloads_come_back_as_they_were_written() -> None:
    chunk = Chunk(sync=1, resource=Resource.ORDERS, ids=["7.1", "7.2"], method="POST", round=2)
    sent = _sent("1", "2", sent=3)
    for payload in (chunk, sent):
        stored = msgspec.json.decode(encode(msgspec.to_builtins(payload)))
        assert read_payload(stored, type(payload)) == payload


# -- answers


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"batchID": 7}', b'{"batchID": ""}', b'{"batchID": "../x"}']
)
def test_an_answer_that_names_no_batch_is_none(body: bytes) -> None:
    assert read_created(Answer(status=201, body=body)) is None


def test_an_answer_names_the_batch() -> None:
    assert read_created(Answer(status=201, body=b'{"batchID": "65b0aa", "totalCount": 3}')) == "65b0aa"


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ({"status": "pending"}, False),
        ({"status": "inProgress", "errorsCount": 2}, False),
        ({"status": "finished", "errorsCount": 0}, True),
        ({"status": "stopped", "errorsCount": 9}, True),
    ],
)
def test_how_far_a_batch_is(body: Any, ended: bool) -> None:
    progress = read_progress(Answer(status=200, body=encode(body)))
    assert progress is not None
    assert progress.ended is ended


@pytest.mark.parametrize("body", [b"", b"{}", b'{"status": "resting"}', b"[" * 100_000])
def test_an_answer_that_tells_no_progress_is_none(body: bytes) -> None:
    assert read_progress(Answer(status=200, body=body)) is None


def test_without_errors_every_item_is_confirmed() -> None:
    assert len(_judge(_sent("1", "2"), None).confirmed) == 2


@pytest.mark.parametrize("code", [400, 401, 402, 403, 413, 415, 422])
def test_what_omnisend_will_never_take_is_rejected(code: int) -> None:
    judged = _judge(
        _sent("1", "2"), _listed(errors=[_said("2", code)], responses=[_said("1", 201)]), errors=1
    )
    assert [one.item.id for one in judged.rejected] == ["2"]
    assert judged.rejected[0].code == code
    assert [one.id for one in judged.confirmed] == ["1"]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 524])
@pytest.mark.parametrize("resource", [Resource.PRODUCTS, Resource.CONTACTS, Resource.ORDERS])
def test_what_passes_is_sent_again_as_it_was(code: int, resource: Resource) -> None:
    said = _said("1", code) | {"request": None, "itemID": "1"}
    judged = _judge(_sent("1", resource=resource), _listed(errors=[said]), errors=1)
    assert [one.method for one in judged.again] == ["POST"]


@pytest.mark.parametrize(
    ("method", "code", "response", "then"),
    [
        ("POST", 409, None, "PUT"),
        ("POST", 422, {"error": "Product with '1' productID already exists"}, "PUT"),
        ("PUT", 404, None, "POST"),
    ],
)
def test_a_product_is_sent_the_other_way_where_it_exists_or_does_not(
    method: Method, code: int, response: Any, then: Method
) -> None:
    judged = _judge(_sent("1", method=method), _listed(errors=[_said("1", code, response)]), errors=1)
    assert [one.method for one in judged.again] == [then]


@pytest.mark.parametrize(("method", "code"), [("POST", 404), ("PUT", 409)])
def test_what_the_other_method_would_not_mend_is_rejected(method: Method, code: int) -> None:
    judged = _judge(_sent("1", method=method), _listed(errors=[_said("1", code)]), errors=1)
    assert len(judged.rejected) == 1


def test_a_category_that_exists_is_changed_alone() -> None:
    said = _said("1", 409) | {"request": {"categoryID": "1"}}
    judged = _judge(_sent("1", resource=Resource.CATEGORIES), _listed(errors=[said]), errors=1)
    assert [one.id for one in judged.alone] == ["1"]


def test_the_last_round_rejects_what_would_be_sent_again() -> None:
    answer = _listed(errors=[_said("1", 503)])
    assert len(_judge(_sent("1", sent=MAX_ROUNDS - 1), answer, errors=1).again) == 1
    assert len(_judge(_sent("1", sent=MAX_ROUNDS), answer, errors=1).rejected) == 1


def test_what_a_stopped_batch_does_not_mention_is_sent_again() -> None:
    answer = _listed(errors=[_said("1", 400)], responses=[_said("2", 201)])
    judged = _judge(_sent("1", "2", "3"), answer, status="stopped", errors=1)
    assert [one.id for one in judged.confirmed] == ["2"]
    assert [one.item.id for one in judged.rejected] == ["1"]
    assert [one.refusal.item.id for one in judged.again] == ["3"]


@pytest.mark.parametrize(
    ("method", "code", "then"), [("POST", 409, "PUT"), ("PUT", 404, "POST")], ids=["exist", "do not exist"]
)
def test_what_a_stopped_batch_does_not_mention_is_sent_as_most_of_the_others_should_have_been(
    method: Method, code: int, then: Method
) -> None:
    answer = _listed(errors=[_said("1", code), _said("2", code)], responses=[_said("3", 200)])
    judged = _judge(_sent("1", "2", "3", "4", method=method), answer, status="stopped", errors=2)
    assert [(one.refusal.item.id, one.method) for one in judged.again] == [
        ("1", then),
        ("2", then),
        ("4", then),
    ]


def test_what_a_stopped_batch_does_not_mention_is_sent_as_it_was_where_most_of_the_others_were_taken() -> (
    None
):
    answer = _listed(errors=[_said("1", 409)], responses=[_said("2", 201)])
    judged = _judge(_sent("1", "2", "3"), answer, status="stopped", errors=1)
    assert [(one.refusal.item.id, one.method) for one in judged.again] == [("1", "PUT"), ("3", "POST")]


def test_categories_that_a_stopped_batch_does_not_mention_are_changed_alone_where_the_others_exist() -> None:
    said = _said("1", 409) | {"request": {"categoryID": "1"}}
    sent = _sent("1", "2", resource=Resource.CATEGORIES)
    judged = _judge(sent, _listed(errors=[said]), status="stopped", errors=1)
    assert [one.id for one in judged.alone] == ["1", "2"]


def test_where_more_errors_were_counted_than_told_silence_is_no_consent() -> None:
    """Omnisend may list its items in part: then those not listed are sent again rather than lost."""
    judged = _judge(_sent("1", "2", "3"), _listed(errors=[_said("1", 400)]), errors=2)
    assert judged.confirmed == []
    assert [one.refusal.item.id for one in judged.again] == ["2", "3"]


def test_an_error_with_a_status_that_is_none_is_an_error() -> None:
    for code in (None, 200):
        judged = _judge(_sent("1"), _listed(errors=[_said("1", code)]), errors=1)
        assert len(judged.rejected) == 1


def test_items_are_found_again_when_omnisend_sends_them_back_as_text() -> None:
    said = _said("1", 503) | {"request": '{"id": "1"}'}
    assert len(_judge(_sent("1"), _listed(errors=[said]), errors=1).again) == 1


def test_a_batch_that_is_lost_is_sent_again_but_not_for_ever() -> None:
    assert len(lost(_sent("1", "2")).again) == 2
    assert len(lost(_sent("1", "2", sent=MAX_ROUNDS)).rejected) == 2


def test_reasons_hold_no_address_and_nothing_that_cannot_be_stored() -> None:
    said = {"error": "thandi@example.com\u0000 is not nice"}
    judged = _judge(_sent("1"), _listed(errors=[_said("1", 400, said)]), errors=1)
    words = judged.rejected[0].words
    assert "thandi@example.com" not in words
    assert words.isprintable()
    assert "is not nice" in words


@pytest.mark.parametrize("body", [b"", b"[]", b'{"errors": 7}', b"[" * 100_000])
def test_an_answer_about_items_that_cannot_be_read_is_none(body: bytes) -> None:
    assert judge(_sent("1"), Progress(status="finished", errors=1), Answer(status=200, body=body)) is None
