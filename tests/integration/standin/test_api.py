"""What a client of Omnisend's API sees: statuses, bodies, limits, duplicates."""

import json

import pytest

from sandbox.omnisend import BrandSpec, KeySpec, OmnisendStandIn, Settings, new_key

LONG_AGO = "2021-07-01T00:00:00Z"
UNAUTHORIZED = {
    "type": "https://problems.omnisend.com/unauthorized",
    "title": "Unauthorized",
    "status": 401,
}


async def test_an_event_is_accepted_with_an_empty_body(omnisend, shop, new_event):
    event = new_event()
    answer = await shop.post(event)
    assert (answer.status, answer.body) == (202, b"")
    (received,) = omnisend.received()
    assert received.body == event
    assert (received.status, received.outcome, received.brand) == (202, "answered", shop.brand.brand_id)
    assert (received.event_id, received.event_name) == (event["eventID"], "gift card sent")
    assert (received.accepted, received.duplicate, received.processed) == (True, False, True)


async def test_several_events_go_over_one_connection_in_order(omnisend, shop, new_event, connect):
    events = [new_event() for _ in range(5)]
    async with connect(omnisend.url) as client:
        for event in events:
            client.send("POST", "/v5/events", json.dumps(event).encode(), X_API_KEY=shop.brand.key)
        assert [(await client.answer()).status for _ in events] == [202] * 5
    received = omnisend.received()
    assert [one.event_id for one in received] == [event["eventID"] for event in events]
    assert [one.seq for one in received] == [1, 2, 3, 4, 5]
    assert [one.arrived_monotonic for one in received] == sorted(one.arrived_monotonic for one in received)


async def test_the_brand_of_a_key_is_told(shop):
    answer = await shop.call("GET", "/v5/brands/current")
    assert answer.status == 200
    assert answer.json() == {
        "brandID": shop.brand.brand_id,
        "name": "Sandbox shop",
        "platform": "other",
        "website": "https://shop.example",
        "version": "",
        "currency": "ZAR",
        "timezone": "Africa/Johannesburg",
        "connected": False,
    }


async def test_missing_and_wrong_keys_get_the_same_401(omnisend, shop, new_event):
    body = json.dumps(new_event()).encode()
    wrong = new_key(shop.brand.brand_id)
    answers = [
        await shop.call("POST", "/v5/events", body, X_API_KEY=""),
        await shop.call("POST", "/v5/events", body, X_API_KEY=wrong),
        await shop.call("POST", "/v5/events", body, X_API_KEY="nonsense"),
        await shop.call("POST", "/v5/events", body, X_API_KEY="", Authorization=f"Bearer {shop.brand.key}"),
    ]
    assert [(one.status, one.json()) for one in answers] == [(401, UNAUTHORIZED)] * 4
    assert not any("rate" in name or "retry" in name for one in answers for name in one.headers)
    assert [one.brand for one in omnisend.received()] == [None, shop.brand.brand_id, None, None]


async def test_a_replaced_key_stops_working_and_the_new_one_works(omnisend, shop, new_event):
    other = new_key(shop.brand.brand_id)
    omnisend.change_brand(BrandSpec(brandID=shop.brand.brand_id, keys=[KeySpec(other)]))
    assert (await shop.post(new_event())).status == 401
    assert (await shop.post(new_event(), X_API_KEY=other)).status == 202


async def test_a_missing_permission_is_403_without_its_name(omnisend, shop, new_event):
    key = new_key(shop.brand.brand_id)
    omnisend.change_brand(BrandSpec(brandID=shop.brand.brand_id, keys=[KeySpec(key, ["brands.read"])]))
    answer = await shop.post(new_event(), X_API_KEY=key)
    assert (answer.status, answer.json()["status"]) == (403, 403)
    assert b"events" not in answer.body
    assert (await shop.call("GET", "/v5/brands/current", X_API_KEY=key)).status == 200


async def test_an_unpaid_plan_is_402(omnisend, shop, new_event):
    omnisend.change_brand(BrandSpec(brandID=shop.brand.brand_id, payment_required=True))
    assert (await shop.post(new_event())).status == 402


async def test_a_retired_version_is_410(omnisend, shop, new_event):
    omnisend.change_settings(retired=["v5"])
    answer = await shop.post(new_event())
    assert (answer.status, answer.json()["title"]) == (410, "API version has been retired")


async def test_what_does_not_exist_is_404_and_a_wrong_method_405(shop):
    assert (await shop.call("GET", "/v5/orders")).status == 404
    answer = await shop.call("GET", "/v5/events")
    assert (answer.status, answer.headers["allow"]) == (405, "post")
    assert "error" in answer.json()


async def test_a_wrong_content_type_is_415(shop, new_event):
    assert (await shop.post(new_event(), Content_Type="text/plain")).status == 415
    assert (await shop.post(new_event(), Content_Type="application/json; charset=utf-8")).status == 202


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_413(omnisend, shop, connect, chunked):
    omnisend.change_settings(max_body_bytes=1000)
    async with connect(omnisend.url) as client:
        if chunked:
            client.send("POST", "/v5/events", Transfer_Encoding="chunked", X_API_KEY=shop.brand.key)
            client.writer.write(b"7d0\r\n" + b" " * 2000 + b"\r\n0\r\n\r\n")
        else:
            client.send("POST", "/v5/events", b" " * 2000, X_API_KEY=shop.brand.key)
        assert (await client.answer()).status == 413


async def test_an_invalid_event_is_400_with_its_fields_and_is_not_accepted(omnisend, shop, new_event):
    answer = await shop.post(new_event(contact={"firstName": "Ann"}, eventName=""))
    assert answer.status == 400
    assert set(answer.json()) == {"error", "fields"}
    assert set(answer.json()["fields"]) == {"contact", "eventName"}
    assert (await shop.call("POST", "/v5/events", b"{")).status == 400
    assert (await shop.call("POST", "/v5/events", Content_Type="application/json")).status == 400
    total = omnisend.summary().total
    assert (total.received, total.accepted, total.rejected_findings) == (3, 0, 4)


async def test_what_is_ignored_is_accepted_and_found(omnisend, shop, new_event):
    assert (await shop.post(new_event(eventName="order cancelled"))).status == 202
    (received,) = omnisend.received()
    assert [(one.severity, one.code) for one in received.findings] == [("ignored", "event_name_near_miss")]
    assert omnisend.summary().total.findings == {"event_name_near_miss": 1}


async def test_duplicates_are_counted_and_only_historical_ones_are_not_processed(omnisend, shop, new_event):
    now, old = new_event(), new_event(eventTime=LONG_AGO)
    for event in (now, now, old, old):
        assert (await shop.post(event)).status == 202
    received = [(one.duplicate, one.processed) for one in omnisend.received()]
    assert received == [(False, True), (True, True), (False, True), (True, False)]
    total = omnisend.summary().total
    assert (total.accepted, total.unique, total.duplicates, total.processed) == (4, 2, 2, 3)


async def test_a_brand_that_sends_too_much_is_told_to_wait(omnisend, shop, new_event):
    omnisend.change_settings(rate_limit=2)
    second_key = new_key(shop.brand.brand_id)
    keys = [KeySpec(shop.brand.key), KeySpec(second_key)]
    omnisend.change_brand(BrandSpec(brandID=shop.brand.brand_id, keys=keys))
    assert (await shop.post(new_event())).status == 202
    assert (await shop.call("GET", "/v5/brands/current", X_API_KEY=second_key)).status == 200
    answer = await shop.post(new_event())
    assert answer.status == 429
    assert answer.json()["type"] == "https://problems.omnisend.com/rate-limit-exceeded"
    assert 0 < answer.json()["retryAfter"] <= 60
    assert not any("rate" in name or "retry" in name for name in answer.headers)
    other = omnisend.add_brand()
    assert (await shop.post(new_event(), X_API_KEY=other.key)).status == 202
    tally = omnisend.summary().brands[shop.brand.brand_id]
    assert (tally.peak_in_window, tally.statuses) == (3, {"202": 1, "200": 1, "429": 1})


async def test_what_a_429_says_can_be_chosen(omnisend, shop, new_event):
    omnisend.change_settings(
        rate_limit=1, retry_after_in_body=False, retry_after_header=True, rate_headers=True
    )
    await shop.post(new_event())
    answer = await shop.post(new_event())
    assert "retryAfter" not in answer.json()
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-rate-limit-limit"] == "1"
    assert answer.headers["x-rate-limit-remaining"] == "0"
    assert 0 < int(answer.headers["x-rate-limit-reset"]) <= 60


async def test_a_brand_may_have_a_limit_of_its_own_or_none(omnisend, shop, new_event):
    omnisend.change_settings(rate_limit=1)
    omnisend.change_brand(BrandSpec(brandID=shop.brand.brand_id, rate_limit=0))
    assert [(await shop.post(new_event())).status for _ in range(3)] == [202] * 3


async def test_bodies_are_kept_up_to_a_bound_and_counts_beyond(omnisend, shop, new_event):
    omnisend.change_settings(max_stored=2)
    events = [new_event() for _ in range(4)]
    for event in events:
        await shop.post(event)
    assert [one.event_id for one in omnisend.received()] == [event["eventID"] for event in events[2:]]
    summary = omnisend.summary()
    assert (summary.total.accepted, summary.not_stored) == (4, 2)


async def test_the_sink_counts_and_stores_nothing(shop, new_event):
    async with OmnisendStandIn(Settings(sink=True, rate_limit=1)) as sink:
        brand = sink.add_brand()
        shop.url = sink.url
        statuses = [(await shop.post({"nonsense": 1}, X_API_KEY=brand.key)).status for _ in range(3)]
        assert statuses == [202] * 3
        assert (await shop.post(new_event(), X_API_KEY="")).status == 401
        assert sink.received() == []
        assert sink.summary().brands[brand.brand_id].accepted == 3
        assert len(sink.arrivals()) == 4


async def test_only_loopback_is_served():
    with pytest.raises(ValueError, match="loopback"):
        OmnisendStandIn(host="0.0.0.0")  # noqa: S104 - that it is refused is the point
