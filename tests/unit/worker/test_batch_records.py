"""What of a chunk is sent at once, and what is left to rows that follow."""

from __future__ import annotations

import pytest

from soldt_outbox.omnisend.batches import Chunk, Item, Resource, Sent, SentItem
from soldt_outbox.omnisend.dialects import V2026_03_15
from soldt_outbox.sync_items import Found
from tests.support.worker_rows import row
from worker.batch_records import before_again, halves, plan, submit_rows, told, unmappable


def _items(*ids: str) -> list[Item]:
    return [Item(id=one, mark=f"mark-{one}", body=b"{}", digest=f"digest-{one}") for one in ids]


def _chunk(*ids: str, resource: Resource = Resource.PRODUCTS) -> Chunk:
    return Chunk(sync=1, resource=resource, ids=list(ids))


def _plan(chunk: Chunk, told: dict[str, str], *, delta: bool = True):
    return plan(chunk, Found(items=_items(*chunk.ids)), told, delta=delta, dialect=V2026_03_15)


def test_a_delta_leaves_out_what_is_as_it_was_confirmed() -> None:
    known = {"1": "digest-1", "2": "an older one"}
    made = _plan(_chunk("1", "2"), known)
    assert ([one.id for one in made.items], made.unchanged, made.method) == (["2"], 1, "PUT")


def test_a_full_refresh_leaves_nothing_out() -> None:
    made = _plan(_chunk("1", "2"), {"1": "digest-1", "2": "digest-2"}, delta=False)
    assert ([one.id for one in made.items], made.unchanged) == (["1", "2"], 0)


def test_a_batch_has_one_method_and_the_others_follow() -> None:
    made = _plan(_chunk("1", "2", "3"), {"2": "an older one"})
    assert (made.method, [one.id for one in made.items]) == ("POST", ["1", "3"])
    assert [(one.method, one.ids) for one in made.rest] == [("PUT", ["2"])]


def test_what_does_not_fit_follows() -> None:
    ids = [str(n) for n in range(250)]
    made = _plan(_chunk(*ids), {})
    assert [one.id for one in made.items] == ids[:100]
    assert [one.ids for one in made.rest] == [ids[100:]]


def test_categories_that_omnisend_has_are_told_alone() -> None:
    made = _plan(_chunk("1", "2", resource=Resource.CATEGORIES), {"1": "an older one"})
    assert [one.id for one in made.alone] == ["1"]
    assert ([one.id for one in made.items], made.method) == (["2"], "POST")


@pytest.mark.parametrize("resource", [Resource.CONTACTS, Resource.ORDERS])
def test_contacts_and_events_are_only_ever_created(resource: Resource) -> None:
    made = _plan(_chunk("1", resource=resource), {"mark-1": "an older one", "1": "an older one"})
    assert made.method == "POST"


def test_halves_hold_everything_once() -> None:
    made = _plan(_chunk("1", "2", "3"), {})
    assert [one.ids for one in halves(_chunk("1", "2", "3"), made)] == [["1"], ["2", "3"]]


def test_rows_that_follow_have_dedup_keys_that_no_chunk_of_a_sync_has() -> None:
    """Those are ``<sync>:<number>``; one key for both would lose items."""
    follow_ups = submit_rows(row(id=1), [_chunk("1"), _chunk("2")])
    assert [one.dedup_key for one in follow_ups] == ["after 1:1", "after 1:2"]


def test_what_fails_again_waits_longer() -> None:
    rounds = [
        Sent(batch="b", sync=1, resource=Resource.PRODUCTS, method="POST", items=[], round=n)
        for n in (1, 2, 3)
    ]
    waits = [before_again(one) for one in rounds]
    assert waits[0] < waits[1] < waits[2]


def test_a_contact_is_remembered_and_logged_by_its_hash() -> None:
    item = SentItem("cthandi@example.com", "0123456789abcdef", "d")
    (record,) = told(Resource.CONTACTS, [item], brand=None)
    assert record.fields["items"] == {"0123456789abcdef": "d"}
    from soldt_outbox.sync_items import Refused

    found = Found(refused=[Refused(id="cthandi@example.com", words="cannot be sent")])
    (logged,) = unmappable(_chunk("1", resource=Resource.CONTACTS), found)
    assert "thandi" not in str(logged.fields)
