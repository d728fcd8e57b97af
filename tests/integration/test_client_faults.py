"""Real sockets, one fault each: which of them may have been acted upon, and which can not have been."""

import asyncio
import contextlib
import socket
import ssl
from datetime import timedelta

import httpx
import pytest

from soldt_outbox.errors import ConfigurationError, MayHaveBeenSeen, NeverSeen
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS, Dialect
from soldt_outbox.omnisend.transport import AiohttpTransport
from soldt_outbox.rows import OmnisendRequest

KEY = "0123456789abcdef01234567-secretsecret"
REQUEST = OmnisendRequest(method="POST", path="/events", body=b'{"eventName":"placed order"}')


SPOKEN: list[Dialect] = []


@pytest.fixture(autouse=True, params=DIALECTS.values(), ids=DIALECTS.keys())
def spoken(request):
    """Every test here runs in each dialect."""
    SPOKEN.append(request.param)
    yield request.param
    SPOKEN.clear()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def serving(handle):
    """A server whose connections are given to ``handle(reader, writer)``; yields its base URL."""

    async def guarded(reader, writer):
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def send_to(url, *, timeout=2.0, request=REQUEST):
    async with OmnisendClient(url, SPOKEN[0], timeout=timedelta(seconds=timeout)) as client:
        return await client.send(request, KEY)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


HEADS = {
    "v5": (b"post /v5/events http/1.1", b"\r\nx-api-key: " + KEY.encode()),
    "2026-03-15": (
        b"post /api/events http/1.1",
        b"\r\nauthorization: omnisend-api-key " + KEY.encode() + b"\r\nomnisend-version: 2026-03-15",
    ),
}


async def test_an_accepted_event_is_an_answer_and_arrives_whole(spoken):
    seen = []

    async def handle(reader, writer):
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(handle) as url:
        answer = await send_to(url)
    assert (answer.status, answer.body) == (202, b"")
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == REQUEST.body
    lowered = head.lower()
    beginning, credential = HEADS[spoken.version]
    assert lowered.startswith(beginning)
    assert credential in lowered
    assert lowered.count(b"\r\nhost:") == lowered.count(b"\r\ncontent-length:") == 1
    assert b"cookie" not in lowered


async def test_a_refused_connection_was_never_seen():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NeverSeen, match="ConnectError"):
        await send_to(f"http://127.0.0.1:{port}")


async def test_an_unknown_host_was_never_seen():
    with pytest.raises(NeverSeen):
        await send_to("https://omnisend.invalid")


async def test_a_server_without_tls_was_never_seen():
    async def handle(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(handle) as url:
        with pytest.raises(NeverSeen):
            await send_to(url.replace("http:", "https:"))


async def test_a_tls_handshake_that_hangs_was_never_seen():
    async def handle(reader, writer):
        await asyncio.sleep(5)

    async with serving(handle) as url:
        with pytest.raises(NeverSeen, match="ConnectTimeout"):
            await send_to(url.replace("http:", "https:"), timeout=0.2)


async def test_an_untrusted_certificate_was_never_seen(tmp_path):
    import datetime as dt

    from cryptography import x509  # made here: no key lies in the repository
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    async def handle(reader, writer):
        await reader.read(1)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NeverSeen, match="certificate"):
        await send_to(f"https://127.0.0.1:{port}")
    server.close()


async def test_no_answer_in_time_may_have_been_seen():
    async def handle(reader, writer):
        await read_request(reader)
        await asyncio.sleep(5)

    async with serving(handle) as url:
        with pytest.raises(MayHaveBeenSeen, match="ReadTimeout"):
            await send_to(url, timeout=0.3)


async def test_waiting_for_a_connection_of_the_pool_was_never_seen():
    async def handle(reader, writer):
        await read_request(reader)
        await asyncio.sleep(5)

    async with serving(handle) as url:
        client = OmnisendClient(url, SPOKEN[0], timeout=timedelta(seconds=0.3), max_connections=1)
        async with client:
            first = asyncio.create_task(client.send(REQUEST, KEY))
            await asyncio.sleep(0)
            second = asyncio.create_task(client.send(REQUEST, KEY))
            results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], MayHaveBeenSeen)
    assert isinstance(results[1], NeverSeen)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_closed_before_the_request_was_read_may_have_been_seen(how):
    async def handle(reader, writer):
        if how == "reset":
            reset(writer)

    async with serving(handle) as url:
        # Nothing was read, but our bytes may already have been with the kernel: only the class is promised
        with pytest.raises((MayHaveBeenSeen, NeverSeen)):
            await send_to(url)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_closed_after_the_request_was_read_may_have_been_seen(how):
    async def handle(reader, writer):
        await read_request(reader)
        if how == "reset":
            reset(writer)

    async with serving(handle) as url:
        with pytest.raises(MayHaveBeenSeen):
            await send_to(url)


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 202 Acc",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
async def test_half_an_answer_may_have_been_seen(half):
    async def handle(reader, writer):
        await read_request(reader)
        writer.write(half)
        await writer.drain()

    async with serving(handle) as url:
        with pytest.raises(MayHaveBeenSeen, match="RemoteProtocolError"):
            await send_to(url)


@pytest.mark.parametrize(
    "noise", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x00" * 20, b"HTTP/9 abc\r\n\r\n"]
)
async def test_what_is_not_http_may_have_been_seen(noise):
    async def handle(reader, writer):
        await read_request(reader)
        writer.write(noise)
        await writer.drain()

    async with serving(handle) as url:
        with pytest.raises(MayHaveBeenSeen, match="RemoteProtocolError"):
            await send_to(url)


async def test_a_pooled_connection_closed_by_the_server_is_never_taken_for_unseen_once_written():
    """The second request goes out on a kept connection that the server closes upon reading it."""
    requests = []

    async def handle(reader, writer):
        requests.append(await read_request(reader))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        requests.append(await read_request(reader))

    async with serving(handle) as url, OmnisendClient(url, SPOKEN[0]) as client:
        await client.send(REQUEST, KEY)
        with pytest.raises(MayHaveBeenSeen):
            await client.send(REQUEST, KEY)
    assert len(requests) == 2


async def test_a_pooled_connection_known_to_be_closed_is_replaced():
    closed = asyncio.Event()

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with serving(handle) as url, OmnisendClient(url, SPOKEN[0]) as client:
        await client.send(REQUEST, KEY)
        await closed.wait()
        await asyncio.sleep(0.05)  # the end of the connection reaches this side's loop
        assert (await client.send(REQUEST, KEY)).status == 202


async def test_a_body_that_was_never_handed_to_the_socket_was_never_seen():
    """The connection is lost between being made and being written to."""
    transport = AiohttpTransport()

    async def handle(reader, writer):
        await asyncio.sleep(5)

    async with serving(handle) as url:
        session = transport._open()
        connect = session.connector.connect

        async def connect_and_lose(*args, **kwargs):
            connection = await connect(*args, **kwargs)
            connection.transport.abort()
            return connection

        session.connector.connect = connect_and_lose
        async with OmnisendClient(url, SPOKEN[0], transport=transport) as client:
            with pytest.raises(NeverSeen):
                await client.send(REQUEST, KEY)


async def test_redirects_are_answers_and_cookies_are_not_kept():
    seen = []

    async def handle(reader, writer):
        while True:
            seen.append(await read_request(reader))
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
            )
            await writer.drain()

    async with serving(handle) as url, OmnisendClient(url, SPOKEN[0]) as client:
        assert (await client.send(REQUEST, KEY)).status == 302
        assert (await client.send(REQUEST, KEY)).status == 302
    assert len(seen) == 2
    assert b"cookie" not in seen[1].lower()


async def test_the_environment_s_proxy_is_not_trusted(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(handle) as url:
        assert (await send_to(url)).status == 202


async def test_an_endless_answer_is_cut():
    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 100_000)
            await writer.drain()

    async with serving(handle) as url:
        answer = await send_to(url)
    assert answer.status == 400
    assert len(answer.body) == 64 * 1024


async def test_a_compressed_answer_is_not_inflated():
    import gzip

    packed = gzip.compress(b"0" * 10_000_000)

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed))
        writer.write(packed)
        await writer.drain()

    async with serving(handle) as url:
        answer = await send_to(url)
    assert answer.status == 400
    assert answer.body == packed


async def test_cancelling_a_send_cancels_it():
    started = asyncio.Event()

    async def handle(reader, writer):
        await read_request(reader)
        started.set()
        await asyncio.sleep(5)

    async with serving(handle) as url:
        sending = asyncio.create_task(send_to(url))
        await started.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


@pytest.mark.parametrize(
    "url",
    [
        "http://api.omnisend.com",
        "ftp://127.0.0.1",
        "api.omnisend.com",
        "https://user:pw@x.com",
        "http://[::1",
    ],
)
def test_keys_are_sent_over_tls_or_not_at_all(url):
    with pytest.raises(ConfigurationError, match="OMNISEND_BASE_URL"):
        OmnisendClient(url, SPOKEN[0])


async def test_no_error_holds_the_key():
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    client = OmnisendClient("https://api.omnisend.com", SPOKEN[0], transport=httpx.MockTransport(fail))
    with pytest.raises(MayHaveBeenSeen) as caught:
        await client.send(REQUEST, KEY)
    assert KEY not in str(caught.value) + repr(caught.value) + repr(client)
    assert caught.value.__cause__ is None
