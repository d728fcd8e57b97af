"""Reading and steering the stand-in: over HTTP, in-process, and as a process of its own."""

import asyncio
import json
import os
import subprocess
import sys

import httpx
import pytest

from sandbox.omnisend import (
    AsyncStandInControl,
    BrandSpec,
    Fault,
    StandInControl,
    StandInError,
    StandInProcess,
    StandInTimeout,
)


@pytest.fixture
async def control(omnisend):
    async with AsyncStandInControl(omnisend.url) as steering:
        yield steering


async def test_everything_can_be_read_and_steered_over_http(omnisend, control, shop, new_event):
    brand = await control.add_brand(currency="EUR")
    fault = await control.add_fault(Fault(kind="status", status=500, brand=brand.brand_id, count=1))
    statuses = [(await shop.post(new_event(), X_API_KEY=brand.key)).status for _ in range(2)]
    assert statuses == [500, 202]
    (view,) = await control.faults()
    assert (view.id, view.seen, view.fired) == (fault, 2, 1)
    received = await control.received(brand=brand.brand_id)
    assert [one.status for one in received] == [500, 202]
    assert received == omnisend.received(brand=brand.brand_id)
    assert await control.summary() == omnisend.summary()
    assert len(await control.arrivals()) == 2
    assert (await control.settings()).rate_limit == 400
    assert (await control.change_settings(rate_limit=5)).rate_limit == omnisend.settings.rate_limit == 5
    await control.clear_faults()
    assert await control.faults() == []
    await control.reset()
    assert (await control.summary()).total.received == 0
    assert len(await control.brands()) == 2
    await control.reset(brands=True)
    assert await control.brands() == []


async def test_received_is_read_in_pages(omnisend, control, shop, new_event):
    for _ in range(5):
        await shop.post(new_event())
    async with httpx.AsyncClient() as client:
        first = (await client.get(f"{omnisend.url}/_sandbox/received?limit=2")).json()
        second = (await client.get(f"{omnisend.url}/_sandbox/received?after={first['next_after']}")).json()
    assert [one["seq"] for one in first["received"] + second["received"]] == [1, 2, 3, 4, 5]
    assert [one.seq for one in await control.received(after=1, limit=2)] == [2, 3]


async def test_waiting_ends_when_the_count_is_reached(omnisend, control, shop, new_event):
    event = new_event()
    over_http = asyncio.create_task(control.wait_for(2, of="unique", timeout_s=5))
    inside = asyncio.create_task(omnisend.wait_for(3, brand=shop.brand.brand_id, timeout_s=5))
    await shop.post(event)
    await shop.post(event)
    assert not over_http.done()
    await shop.post(new_event())
    assert await over_http == 2
    assert await inside == 3


async def test_waiting_in_vain_says_how_far_it_got(omnisend, control):
    with pytest.raises(StandInTimeout, match="0 of 1 accepted"):
        await omnisend.wait_for(1, timeout_s=0.01)
    with pytest.raises(StandInTimeout, match="0 of 1 received"):
        await control.wait_for(1, of="received", timeout_s=0.01)


async def test_secrets_are_in_no_answer(omnisend, control, shop, new_event):
    secret = shop.brand.key.removeprefix(f"{shop.brand.brand_id}-")
    await shop.post(new_event(properties={"note": f"my key is {shop.brand.key}"}))
    await shop.post(new_event(), X_API_KEY=f"{shop.brand.brand_id}-a-wrong-secret")
    async with httpx.AsyncClient() as client:
        for path in ("", "/received", "/summary", "/brands", "/settings", "/faults"):
            text = (await client.get(f"{omnisend.url}/_sandbox{path}")).text
            assert secret not in text
            assert "a-wrong-secret" not in text
    (view,) = await control.brands()
    assert [key.key for key in view.keys] == [f"{shop.brand.brand_id}-****"]
    assert secret not in repr(shop.brand)


async def test_faults_leave_the_control_listener_alone(omnisend, control):
    await control.add_fault(Fault(kind="reset_on_connect"))
    await control.refuse_connections()
    assert (await control.summary()).total.received == 0
    await control.accept_connections()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("DELETE", "/summary", None, 405),
        ("POST", "/faults", {"kind": "explode"}, 400),
        ("POST", "/brands", {"brandID": "shop"}, 400),
        ("POST", "/settings", {"colour": "red"}, 400),
        ("GET", "/wait?count=many", None, 400),
        ("GET", "/wait?of=all", None, 400),
        ("GET", "/received?colour=red", None, 400),
    ],
)
async def test_a_wrong_order_is_refused_with_a_reason(omnisend, method, path, body, status):
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, f"{omnisend.url}/_sandbox{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_a_refused_order_is_an_error_of_the_client(control):
    with pytest.raises(StandInError, match="24 hex"):
        await control.change_brand(BrandSpec(brandID="shop"))


def test_a_process_of_its_own_is_started_steered_and_stopped(new_event):
    with StandInProcess("--rate-limit", "2") as omnisend:
        control: StandInControl = omnisend.control
        brand = control.add_brand()
        headers = {"X-API-KEY": brand.key}
        answers = [
            httpx.post(f"{omnisend.url}/v5/events", json=new_event(), headers=headers) for _ in range(3)
        ]
        assert [one.status_code for one in answers] == [202, 202, 429]
        assert control.wait_for(2, timeout_s=5) == 2
        assert [one.status for one in control.received(limit=2)] == [202, 202]
        assert control.summary().brands[brand.brand_id].accepted == 2
        control.add_fault(Fault(kind="reset_after_reading"))
        with pytest.raises(httpx.ReadError):
            httpx.post(f"{omnisend.url}/v5/events", json=new_event(), headers=headers)
        control.reset()
        control.refuse_connections()
        with pytest.raises(httpx.ConnectError):
            httpx.get(omnisend.url)
        pid = omnisend.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_when_its_standard_input_does():
    command = [sys.executable, "-m", "sandbox.omnisend", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_process_that_cannot_start_says_so():
    with pytest.raises(RuntimeError, match="did not become ready"):
        StandInProcess("--host", "192.0.2.1").start()


def test_help_teaches():
    command = [sys.executable, "-m", "sandbox.omnisend", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "/_sandbox/faults" in shown
    assert "OMNISEND_BASE_URL" in shown
