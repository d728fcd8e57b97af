"""Every kind of fault as a TCP client sees it."""

import asyncio
import json

import pytest

from sandbox.omnisend import Fault
from sandbox.omnisend.breakage import GARBAGE


@pytest.fixture
async def client(omnisend, connect):
    async with connect(omnisend.url) as connection:
        yield connection


@pytest.fixture
def send(client, shop, new_event):
    def send_event(**changes):
        client.send("POST", "/v5/events", json.dumps(new_event(**changes)).encode(), X_API_KEY=shop.brand.key)

    return send_event


async def test_a_status_on_request_has_its_documented_body_and_is_not_processed(omnisend, send, client):
    omnisend.add_fault(Fault(kind="status", status=503, count=1))
    send()
    answer = await client.answer()
    assert (answer.status, answer.json()) == (503, {"error": "Service unavailable"})
    send()
    assert (await client.answer()).status == 202
    assert [(one.status, one.accepted) for one in omnisend.received()] == [(503, False), (202, True)]


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 409, 410, 413, 415, 422, 429, 500, 503, 524]
)
async def test_every_documented_status_can_be_had(omnisend, send, client, status):
    omnisend.add_fault(Fault(kind="status", status=status))
    send()
    answer = await client.answer()
    assert answer.status == status
    assert answer.json()


async def test_status_body_and_headers_can_be_given(omnisend, send, client):
    omnisend.add_fault(
        Fault(kind="status", status=429, body={"retryAfter": 7}, headers={"Retry-After": "9"}, count=1)
    )
    omnisend.add_fault(Fault(kind="status", status=502, body="<html>Bad gateway</html>", processed=True))
    send()
    answer = await client.answer()
    assert (answer.json(), answer.headers["retry-after"]) == ({"retryAfter": 7}, "9")
    send()
    assert (await client.answer()).body == b"<html>Bad gateway</html>"
    assert [one.accepted for one in omnisend.received()] == [False, True]


async def test_a_delay_answers_later_and_counts_at_once(omnisend, send, client):
    omnisend.add_fault(Fault(kind="delay", delay_s=0.2))
    started = asyncio.get_running_loop().time()
    send()
    await omnisend.wait_for(1)
    assert [one.outcome for one in omnisend.received()] == ["pending"]
    assert (await client.answer()).status == 202
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_a_hang_lasts_until_the_client_hangs_up(omnisend, send, client):
    omnisend.add_fault(Fault(kind="hang"))
    send()
    await omnisend.wait_for(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.reader.read(1)
    client.writer.transport.abort()
    await omnisend.wait_for(1, of="settled", timeout_s=5)
    assert omnisend.received()[0].outcome == "client_gone"


async def test_a_hang_can_be_released(omnisend, send, client):
    omnisend.add_fault(Fault(kind="hang", processed=False))
    send()
    await omnisend.wait_for(1, of="received")
    omnisend.release()
    with pytest.raises(ConnectionResetError):
        await client.all_that_comes()
    (received,) = omnisend.received()
    assert (received.outcome, received.accepted) == ("hang", False)


async def test_a_connection_is_reset_before_anything_is_sent(omnisend, connect):
    omnisend.add_fault(Fault(kind="reset_on_connect", count=1))
    async with connect(omnisend.url) as client:
        with pytest.raises(ConnectionResetError):
            await client.all_that_comes()
    assert omnisend.received() == []
    assert [one.fired for one in omnisend.faults()] == [1]


async def test_a_connection_is_reset_before_the_body_is_read(omnisend, shop, client):
    omnisend.add_fault(Fault(kind="reset_before_reading", brand=shop.brand.brand_id))
    client.send("POST", "/v5/events", Content_Length="100", X_API_KEY=shop.brand.key)
    with pytest.raises(ConnectionResetError):
        await client.all_that_comes()
    (received,) = omnisend.received()
    assert (received.outcome, received.status, received.accepted, received.body) == (
        "reset_before_reading",
        None,
        False,
        None,
    )


@pytest.mark.parametrize("processed", [True, False])
async def test_a_connection_is_reset_after_the_request_was_read(omnisend, send, client, processed):
    omnisend.add_fault(Fault(kind="reset_after_reading", processed=processed))
    send()
    with pytest.raises(ConnectionResetError):
        await client.all_that_comes()
    (received,) = omnisend.received()
    assert (received.outcome, received.accepted, received.fault) == ("reset_after_reading", processed, 1)
    assert received.body["eventName"] == "gift card sent"


async def test_half_an_answer_ends_in_mid_line(omnisend, send, client):
    omnisend.add_fault(Fault(kind="half_answer"))
    send()
    got = await client.all_that_comes()
    assert got.startswith(b"HTTP/1.1 202")
    assert b"\r\n\r\n" not in got
    assert omnisend.received()[0].accepted


async def test_half_an_answer_can_be_half_an_error(omnisend, client):
    omnisend.add_fault(Fault(kind="half_answer"))
    client.send("GET", "/v5/brands/current")
    head, _, body = (await client.all_that_comes()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert b"status" not in body


async def test_garbage_is_not_http(omnisend, send, client):
    omnisend.add_fault(Fault(kind="garbage"))
    send()
    assert await client.all_that_comes() == GARBAGE


async def test_a_fault_hits_the_event_and_contact_it_names(omnisend, send, client):
    omnisend.add_fault(Fault(kind="status", event_name="wishlist updated", email="bob@example.com"))
    for name, email in (
        ("wishlist updated", "ann@example.com"),
        ("gift card sent", "bob@example.com"),
        ("wishlist updated", "bob@example.com"),
    ):
        send(eventName=name, contact={"email": email})
    assert [(await client.answer()).status for _ in range(3)] == [202, 202, 500]
    omnisend.clear_faults()
    send(eventName="wishlist updated", contact={"email": "bob@example.com"})
    assert (await client.answer()).status == 202


async def test_a_server_that_is_down_refuses_and_comes_back_on_its_port(
    omnisend, send, client, shop, new_event
):
    send()
    await client.answer()
    await omnisend.refuse_connections()
    with pytest.raises(ConnectionResetError):
        await client.all_that_comes()
    with pytest.raises(ConnectionRefusedError):
        await shop.post(new_event())
    await omnisend.accept_connections()
    assert (await shop.post(new_event())).status == 202


async def test_the_stand_in_stops_while_requests_hang(omnisend, send, client):
    omnisend.add_fault(Fault(kind="hang"))
    send()
    await omnisend.wait_for(1)
    async with asyncio.timeout(5):
        await omnisend.stop()
    with pytest.raises(ConnectionResetError):
        await client.all_that_comes()
