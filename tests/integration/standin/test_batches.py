"""Batches: taken at once, worked off later, each item as if it had come alone."""

import json

import httpx
import msgspec
import pytest

from sandbox.omnisend import AsyncStandInControl, Fault

LONG_AGO = "2021-07-01T00:00:00Z"
FOREVER = 3600.0


def product(number, **changes):
    variant = {
        "id": f"v{number}",
        "title": "S",
        "price": 1.5,
        "status": "inStock",
        "url": "https://shop.example/1",
    }
    return {
        "id": f"p{number}",
        "title": "Shirt",
        "status": "inStock",
        "currency": "ZAR",
        "url": "https://shop.example/1",
        "variants": [variant],
        **changes,
    }


def contact(address):
    channel = {"status": "nonSubscribed", "statusChangedAt": LONG_AGO}
    return {
        "identifiers": [
            {"type": "email", "id": address, "sendWelcomeMessage": False, "channels": {"email": channel}}
        ]
    }


def batch(endpoint, items, method="POST", **more):
    return {"method": method, "endpoint": endpoint, "items": items, **more}


@pytest.fixture
def run(omnisend, shop):
    async def send(endpoint, items, method="POST"):
        """The batch as `GET /batches/{id}/items` shows it once it is over."""
        before = omnisend.summary().total.batches
        answer = await shop.new("POST", "/batches", batch(endpoint, items, method))
        assert answer.status == 201
        assert answer.json()["totalCount"] == len(items)
        await omnisend.wait_for(before + 1, of="batches")
        return (await shop.new("GET", f"/batches/{answer.json()['batchID']}/items")).json()

    return send


def codes(answer, kind):
    return [one["responseCode"] for one in answer[kind]]


async def test_each_item_is_done_as_if_it_had_come_alone(omnisend, shop, run, new_event):
    await run("products", [product(1), product(2)])
    await run("products", [product(1, title="Other")], "PUT")
    await run("categories", [{"categoryID": "c_1", "title": "Shirts"}])
    await run("contacts", [contact("bob@example.com")])
    await run("events", [new_event()])
    brand = shop.brand.brand_id
    titles = {one.product_id: one.content["title"] for one in omnisend.products(brand)}
    assert titles == {"p1": "Other", "p2": "Shirt"}
    assert [one.category_id for one in omnisend.categories(brand)] == ["c_1"]
    assert len(omnisend.contacts(brand).contacts) == 2, "the event's contact is one too"
    assert [one.response_codes for one in omnisend.batches(brand)] == [[201, 201], [200], [201], [201], [202]]
    assert omnisend.summary().total.findings == {}


async def test_failed_items_are_told_apart_from_the_others(omnisend, run):
    answer = await run("products", [product(1), product(2, currency="zar"), product(1), 7])
    assert (answer["status"], answer["finishedCount"], answer["errorsCount"]) == ("finished", 4, 3)
    assert codes(answer, "responses") == [201]
    assert codes(answer, "errors") == [400, 409, 400]
    failed = answer["errors"][0]
    assert failed["request"]["id"] == "p2"
    assert failed["response"]["errors"][0]["field"] == "currency"
    assert len({one["itemID"] for one in answer["errors"] + answer["responses"]}) == 4
    findings = [(one.code, one.path) for one in omnisend.received()[0].findings]
    assert findings == [("currency_invalid", "items[1].currency"), ("bad_json", "items[3].body")]


async def test_a_batch_goes_from_pending_over_in_progress_to_finished(omnisend, shop):
    omnisend.change_settings(batch_delay_s=FOREVER, batch_item_delay_s=FOREVER)
    answer = await shop.new("POST", "/batches", batch("products", [product(1), product(2)], origin="api"))
    path = f"/batches/{answer.json()['batchID']}"
    pending = (await shop.new("GET", path)).json()
    assert {"status": "pending", "finishedCount": 0, "origin": "api"}.items() <= pending.items()
    assert "startedAt" not in pending
    omnisend.change_settings(batch_delay_s=0)
    while (going := (await shop.new("GET", path)).json())["status"] == "pending":
        pass
    assert {"status": "inProgress", "finishedCount": 1}.items() <= going.items()
    assert "endedAt" not in going
    omnisend.change_settings(batch_item_delay_s=0)
    await omnisend.wait_for(1, of="batches")
    finished = (await shop.new("GET", path)).json()
    assert {"status": "finished", "finishedCount": 2}.items() <= finished.items()
    assert finished["endedAt"] >= finished["startedAt"] >= finished["createdAt"]
    assert "responses" not in finished


async def test_a_batch_is_stopped_after_too_many_errors(omnisend, run):
    omnisend.change_settings(batch_max_errors=1)
    wrong = [product(number, currency="zar") for number in range(4)]
    answer = await run("products", [product(9), *wrong])
    assert (answer["status"], answer["finishedCount"], answer["errorsCount"]) == ("stopped", 3, 2)


async def test_a_fault_hits_the_first_items_and_then_no_more(omnisend, shop, run):
    omnisend.add_fault(Fault(kind="status", status=503, batch_item=True, count=2))
    items = [product(number) for number in range(4)]
    first = await run("products", items)
    assert (codes(first, "errors"), codes(first, "responses")) == ([503, 503], [201, 201])
    again = await run("products", items[:2])
    assert codes(again, "responses") == [201, 201]
    assert len(omnisend.products(shop.brand.brand_id)) == 4


@pytest.mark.parametrize(
    "case",
    [
        ("products", [product(1), product(2)], "p2"),
        (
            "categories",
            [{"categoryID": "c_1", "title": "Shirts"}, {"categoryID": "c_2", "title": "Tops"}],
            "c_2",
        ),
        ("contacts", [contact("ann@example.com"), contact("bob@example.com")], "bob@example.com"),
    ],
)
async def test_a_fault_hits_the_item_of_its_id(omnisend, shop, run, case):
    endpoint, items, item_id = case
    omnisend.add_fault(Fault(kind="status", status=429, batch_item=True, item_id=item_id))
    answer = await run(endpoint, items)
    assert (codes(answer, "errors"), codes(answer, "responses")) == ([429], [201])
    assert (await shop.new("GET", "/brands/current")).status == 200, "no request is hit"


async def test_an_item_may_be_done_although_it_is_answered_with_an_error(omnisend, shop, run):
    omnisend.add_fault(Fault(kind="status", status=503, batch_item=True, processed=True))
    await run("products", [product(1)])
    assert len(omnisend.products(shop.brand.brand_id)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "hang", "batch_item": True},
        {"kind": "status", "batch_item": True, "path": "/v5/batches"},
        {"kind": "status", "item_id": "p1"},
    ],
)
def test_a_fault_that_no_item_can_have_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Fault)


async def test_batched_events_share_the_ledger_with_single_ones(omnisend, shop, run, new_event):
    event = new_event(eventTime=LONG_AGO)
    await shop.new("POST", "/events", event)
    await run("events", [event, new_event(eventTime=LONG_AGO)])
    total = omnisend.summary().total
    assert (total.accepted, total.unique, total.duplicates, total.processed) == (3, 2, 1, 2)


@pytest.mark.parametrize(("version", "most"), [("new", 100), ("old", 1000)])
async def test_a_batch_has_as_many_items_as_its_version_allows(shop, version, most):
    call = getattr(shop, version)
    items = [{"categoryID": f"c_{number}", "title": "x"} for number in range(most + 1)]
    assert (await call("POST", "/batches", batch("categories", items))).status == 400
    assert (await call("POST", "/batches", batch("categories", items[:most]))).status == 201


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (batch("orders", [{}]), "endpoint"),
        (batch("products", [{}], "PATCH"), "method"),
        (batch("contacts", [{}], "PUT"), "method"),
        (batch("products", []), "items"),
        (batch("products", {}), "body"),
        (batch("products", [{}], origin=7), "origin"),
        ([], "body"),
    ],
)
async def test_a_batch_that_cannot_be_is_400(omnisend, shop, content, field):
    answer = await shop.new("POST", "/batches", content)
    assert (answer.status, [one["field"] for one in answer.json()["errors"]]) == (400, [field])
    assert omnisend.batches() == []


async def test_more_than_a_megabyte_is_taken_and_found(omnisend, shop):
    items = [product(number, description="x" * 1000) for number in range(100)]
    for item in items:
        item["variants"] = [
            item["variants"][0] | {"id": f"v{n}", "description": "x" * 1000} for n in range(10)
        ]
    answer = await shop.new("POST", "/batches", batch("products", items))
    assert answer.status == 201
    assert [one.code for one in omnisend.received()[0].findings] == ["batch_large"]
    omnisend.change_settings(max_batch_bytes=1_000_000)
    assert (await shop.new("POST", "/batches", batch("products", items))).status == 413


async def test_a_batch_needs_the_permission_of_what_is_in_it(omnisend, shop, new_event):
    sender = omnisend.add_brand(permissions=["events.write"])
    answers = [
        await shop.old("POST", "/batches", batch("events", [new_event()]), X_API_KEY=sender.key),
        await shop.old("POST", "/batches", batch("products", [product(1)]), X_API_KEY=sender.key),
        await shop.old("POST", "/batches", batch("categories", [{}]), X_API_KEY=sender.key),
    ]
    assert [one.status for one in answers] == [201, 403, 403]
    path = f"/batches/{answers[0].json()['batchID']}"
    assert (await shop.old("GET", path, X_API_KEY=sender.key)).status == 403, "it may not read"
    assert (await shop.old("GET", path)).status == 404, "another brand's is not there"


async def test_batches_are_listed_by_endpoint(omnisend, shop, run):
    await run("products", [product(1)])
    await run("products", [product(2)])
    await run("contacts", [contact("ann@example.com")])
    listed = (await shop.new("GET", "/batches?endpoint=products&status=finished&limit=1")).json()
    assert [one["endpoint"] for one in listed["batches"]] == ["products"]
    assert listed["batches"][0]["batchID"] == omnisend.batches()[1].batch_id, "the newest first"
    assert "offset=1" in listed["paging"]["next"]
    none = await shop.new("GET", "/batches?endpoint=products&dateTo=2020-01-01")
    assert none.json()["batches"] == []
    for query in (
        "",
        "?endpoint=categories",
        "?endpoint=products&limit=251",
        "?endpoint=products&dateFrom=today",
    ):
        assert (await shop.new("GET", f"/batches{query}")).status == 400


async def test_batches_are_kept_up_to_a_bound(omnisend, shop, run):
    omnisend.change_settings(max_batches=2)
    for number in range(4):
        await run("products", [product(number)])
    assert len(omnisend.batches()) == 2


async def test_batches_are_seen_and_waited_for_over_http(omnisend, shop):
    async with AsyncStandInControl(omnisend.url) as control:
        await shop.new("POST", "/batches", batch("products", [product(1)]))
        assert await control.wait_for(1, of="batches", brand=shop.brand.brand_id) == 1
        (view,) = await control.batches(shop.brand.brand_id)
        assert (view.status, view.response_codes) == ("finished", [201])
        await control.change_settings(batch_delay_s=FOREVER)
        await shop.new("POST", "/batches", batch("products", [product(2)]))
        await control.reset()
        assert await control.batches() == []


async def test_what_is_forgotten_is_not_done_later(omnisend, shop):
    omnisend.change_settings(batch_delay_s=FOREVER)
    await shop.new("POST", "/batches", batch("products", [product(1)]))
    omnisend.reset()
    await shop.new("POST", "/batches", batch("products", [product(2)]))
    omnisend.change_settings(batch_delay_s=0)
    await omnisend.wait_for(1, of="batches")
    assert [one.product_id for one in omnisend.products(shop.brand.brand_id)] == ["p2"]


async def test_the_stand_in_stops_while_batches_wait(omnisend, shop):
    omnisend.change_settings(batch_delay_s=FOREVER)
    await shop.new("POST", "/batches", batch("products", [product(1)]))
    await omnisend.stop()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"{omnisend.url}/v5/batches")


async def test_what_was_sent_in_a_batch_is_shown_as_it_was(run):
    answer = await run("categories", [{"title": "Shirts", "categoryID": "c_1"}])
    assert json.dumps(answer["responses"][0]["request"]) == '{"title": "Shirts", "categoryID": "c_1"}'
