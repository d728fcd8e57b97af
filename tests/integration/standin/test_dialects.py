"""Version 2026-03-15 beside version 5: one set of endpoints, two ways to call them and to be refused."""

import re

import pytest

from sandbox.omnisend import Fault

INSTANCE = re.compile(r"urn:omnisend:request:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


async def test_an_event_is_accepted_in_both_versions_and_known_to_both(omnisend, shop, new_event):
    event = new_event(eventTime="2021-07-01T00:00:00Z")
    assert (await shop.old("POST", "/events", event)).status == 202
    answer = await shop.new("POST", "/events", event)
    assert (answer.status, answer.body) == (202, b"")
    assert [one.duplicate for one in omnisend.received()] == [False, True]


async def test_only_the_new_version_takes_a_time_with_a_space(shop, new_event):
    event = new_event(eventTime="2021-07-01 00:00:00+02:00")
    assert (await shop.new("POST", "/events", event)).status == 202
    assert (await shop.old("POST", "/events", event)).status == 400


@pytest.mark.parametrize("named", ["", "2025-01-01", "v5"])
async def test_a_missing_or_unknown_version_is_400_and_a_finding(omnisend, shop, named):
    answer = await shop.call(
        "GET",
        "/api/brands/current",
        Authorization=f"Omnisend-API-Key {shop.brand.key}",
        Omnisend_Version=named,
    )
    assert answer.status == 400
    assert [one["field"] for one in answer.json()["errors"]] == ["Omnisend-Version"]
    code = "version_unknown" if named else "version_missing"
    assert [one.code for one in omnisend.received()[0].findings] == [code]


async def test_a_date_after_the_release_is_that_release(shop):
    answer = await shop.call(
        "GET",
        "/api/brands/current",
        Authorization=f"Omnisend-API-Key {shop.brand.key}",
        Omnisend_Version="2026-06-30",
    )
    assert answer.json()["brandID"] == shop.brand.brand_id


async def test_each_version_reads_its_own_credential_only(shop):
    key, version = shop.brand.key, {"Omnisend_Version": "2026-03-15"}
    answers = [
        await shop.call("GET", "/api/brands/current", **version),
        await shop.call("GET", "/api/brands/current", Authorization=f"Bearer {key}", **version),
        await shop.old("GET", "/brands/current", X_API_KEY="", Authorization=f"Omnisend-API-Key {key}"),
    ]
    assert [one.status for one in answers] == [401] * 3
    assert answers[0].json() == {
        "type": "https://problems.omnisend.com/unauthorized",
        "title": "Unauthorized",
        "status": 401,
    }


async def test_all_that_is_wrong_is_told_at_once_in_the_versions_own_words(shop, new_event):
    wrong = new_event(eventID="1", contact={"email": "ann", "gender": "x"})
    answer = await shop.new("POST", "/events", wrong)
    problem = answer.json()
    assert (answer.status, problem["status"]) == (400, 400)
    assert answer.headers["content-type"] == "application/problem+json"
    assert INSTANCE.fullmatch(problem["instance"])
    assert {(one["field"], one["code"]) for one in problem["errors"]} == {
        ("eventID", "event_id_invalid"),
        ("contact.email", "email_invalid"),
        ("contact.gender", "contact_value"),
    }
    assert all(one["message"] for one in problem["errors"])
    old = (await shop.old("POST", "/events", wrong)).json()
    assert set(old) == {"error", "fields"}
    assert set(old["fields"]) == {"eventID", "contact.email", "contact.gender"}


async def test_an_unknown_parameter_is_400_in_the_new_version_and_found_in_the_old(omnisend, shop):
    answer = await shop.new("GET", "/brands/current?colour=red")
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "colour")
    assert (await shop.old("GET", "/brands/current?colour=red")).status == 200
    found = [[(one.severity, one.code) for one in received.findings] for received in omnisend.received()]
    assert found == [[("rejected", "query_unknown")], [("ignored", "query_unknown")]]


async def test_a_version_can_be_retired_without_the_other(omnisend, shop):
    omnisend.change_settings(retired=["2026-03-15"])
    answer = await shop.new("GET", "/brands/current")
    assert (answer.status, answer.json()["title"]) == (410, "API version has been retired")
    assert (await shop.old("GET", "/brands/current")).status == 200


async def test_the_brands_limit_holds_across_versions(omnisend, shop):
    omnisend.change_settings(rate_limit=1)
    assert (await shop.old("GET", "/brands/current")).status == 200
    answer = await shop.new("GET", "/brands/current")
    assert answer.status == 429
    assert {"retryAfter", "instance"} <= set(answer.json())


async def test_what_does_not_exist_is_a_problem_in_the_new_version(shop):
    answer = await shop.new("GET", "/orders")
    assert (answer.status, answer.json()["title"]) == (404, "Not found")
    assert (await shop.new("DELETE", "/events")).status == 405


async def test_a_status_on_request_speaks_the_version_of_the_request(omnisend, shop, new_event):
    omnisend.add_fault(Fault(kind="status", status=503))
    assert (await shop.old("POST", "/events", new_event())).json() == {"error": "Service unavailable"}
    assert (await shop.new("POST", "/events", new_event())).json()["title"] == "Service unavailable"
