"""Events over Supabase's API: the real PostgREST behind Supabase's gateway, and a network that fails."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import psycopg
import pytest

from sandbox.postgrest import SupabaseApi
from sandbox.shops import BO_KAAP, PROTEA
from sandbox.tokens import PUBLISHABLE_KEY, SECRET_KEY, mint_token
from sandbox.world import Database
from soldt_outbox import (
    CheckoutStarted,
    ConfigurationError,
    CustomEvent,
    EnqueueFailed,
    InvalidEvent,
    OrderPlaced,
)
from soldt_outbox import supabase as form
from soldt_outbox.supabase import AsyncSupabaseOutbox, SupabaseOutbox

THEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def checkout(cart: str = "c1", **more: Any) -> CheckoutStarted:
    properties = {"cartID": cart, "value": Decimal("149.50")}
    return CheckoutStarted(
        **({"merchant_id": PROTEA.merchant_id, "occurred_at": THEN, "properties": properties} | more)
    )


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect(autocommit=True) as conn:
        conn.execute(
            "insert into public.integrations_omnisend (merchant_id, status) values (%s, 'connected'), (%s, 'disabled')",
            [PROTEA.merchant_id, BO_KAAP.merchant_id],
        )
        yield conn


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(form._RETRYING, "wait", lambda _state: 0)


def rows(admin: psycopg.Connection) -> list[Any]:
    return admin.execute(
        "select id, name, dedup_key, payload::text, occurred_at from public.integrations_omnisend_outbox order by id"
    ).fetchall()


def test_an_event_is_written_once_with_its_numbers_exact(postgrest: SupabaseApi, admin: psycopg.Connection):
    with SupabaseOutbox(postgrest.url, postgrest.secret_key) as outbox:
        ids = [outbox.enqueue(checkout()) for _ in range(3)]
        assert outbox.enqueue(checkout(merchant_id=BO_KAAP.merchant_id)) is None
    ((row_id, name, key, payload, occurred_at),) = rows(admin)
    assert ids == [row_id, None, None]
    assert (name, key, occurred_at) == ("checkout_started", "c1", THEN)
    assert json.loads(payload, parse_float=Decimal)["properties"]["value"] == Decimal("149.50")


def test_a_custom_event_is_written_once_without_a_key_of_its_own(
    postgrest: SupabaseApi, admin: psycopg.Connection
):
    wrapped = CustomEvent(
        merchant_id=PROTEA.merchant_id, event="Gift wrapped", occurred_at=THEN, properties={"paper": "kraft"}
    )
    with SupabaseOutbox(postgrest.url, postgrest.secret_key) as outbox:
        ids = [outbox.enqueue(wrapped) for _ in range(2)]
    ((row_id, name, _key, payload, occurred_at),) = rows(admin)
    assert (ids, name, occurred_at) == ([row_id, None], "Gift wrapped", THEN)
    assert json.loads(payload) == {"contact": {}, "properties": {"paper": "kraft"}}


async def test_async_writes_the_same(postgrest: SupabaseApi, admin: psycopg.Connection):
    async with AsyncSupabaseOutbox(f"{postgrest.url}/rest/v1/", postgrest.secret_key) as outbox:
        ids = await asyncio.gather(*(outbox.enqueue(checkout(f"c{n % 2}")) for n in range(4)))
    assert sorted(written for written in ids if written is not None) == [row[0] for row in rows(admin)]
    assert len(rows(admin)) == 2


def test_a_service_role_jwt_will_do(postgrest: SupabaseApi):
    assert SupabaseOutbox(postgrest.url, mint_token(role="service_role"))


@pytest.mark.parametrize("outbox", [SupabaseOutbox, AsyncSupabaseOutbox])
@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (PUBLISHABLE_KEY, "publishable"),
        (mint_token(role="anon"), "publishable"),
        (mint_token(PROTEA.owner_id), "user's token"),
        ("", "no Supabase secret key"),
        ("a.b.c", "no Supabase secret key"),
        ("sb_secret_x y", "characters that no key has"),
    ],
    ids=["publishable", "anon", "user", "empty", "garbage", "blank"],
)
def test_any_other_key_is_refused_and_not_repeated(outbox: Any, key: str, problem: str):
    with pytest.raises(ConfigurationError, match=problem) as refused:
        outbox("https://ref.supabase.co", key)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://ref.supabase.co", "ref.supabase.co", "https://user:pw@ref.supabase.co", ""]
)
def test_the_key_is_sent_nowhere_but_to_the_project(url: str):
    with pytest.raises(ConfigurationError):
        SupabaseOutbox(url, SECRET_KEY)


def test_a_wrong_secret_key_is_a_configuration_error(postgrest: SupabaseApi, admin: psycopg.Connection):
    outbox = SupabaseOutbox(postgrest.url, "sb_secret_of_another_project")
    with outbox, pytest.raises(ConfigurationError, match="refuses this key") as refused:
        outbox.enqueue(checkout())
    assert "another_project" not in str(refused.value)


def test_a_project_without_the_function_says_to_migrate(
    make_database: Callable[..., Database], make_api: Callable[[Database], SupabaseApi]
):
    with (
        make_api(make_database(migrations=False)) as api,
        SupabaseOutbox(api.url, api.secret_key) as outbox,
        pytest.raises(ConfigurationError, match="soldt-outbox migrate"),
    ):
        outbox.enqueue(checkout())


def test_what_the_database_refuses_is_an_invalid_event(postgrest: SupabaseApi, admin: psycopg.Connection):
    large = CheckoutStarted(
        merchant_id=PROTEA.merchant_id, properties={"cartID": "c", "notes": ["a"] * 240_000}
    )
    outbox = SupabaseOutbox(postgrest.url, postgrest.secret_key)
    with outbox, pytest.raises(InvalidEvent, match="at most 1048576 are taken"):
        outbox.enqueue(large)


def test_a_number_that_no_float_holds_is_refused_rather_than_rounded(postgrest: SupabaseApi):
    order = {"id": 1, "total": Decimal("0.12345678901234567890")}
    outbox = SupabaseOutbox(postgrest.url, postgrest.secret_key)
    with outbox, pytest.raises(InvalidEvent, match="has more digits"):
        outbox.enqueue(OrderPlaced(merchant_id=PROTEA.merchant_id, order=order))


def test_a_users_token_given_to_the_client_changes_nothing(postgrest: SupabaseApi, admin: psycopg.Connection):
    """What supabase-py does on sign-in: it replaces the client's token. The secret key is set below that."""
    with SupabaseOutbox(postgrest.url, postgrest.secret_key) as outbox:
        outbox._client.auth(mint_token(PROTEA.owner_id))
        assert outbox.enqueue(checkout()) is not None


def test_two_instances_share_nothing(postgrest: SupabaseApi):
    with SupabaseOutbox(postgrest.url, SECRET_KEY) as one, SupabaseOutbox(postgrest.url, SECRET_KEY) as two:
        assert one._http is not two._http
        assert one._client is not two._client
        assert SECRET_KEY not in repr(vars(one))


class Gateway:
    """Answers as told and remembers what it was sent."""

    def __init__(self, answers: list[tuple[int, str] | None]) -> None:
        self.answers, self.requests = answers, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers.items()), json.loads(body)))
                answer = outer.answers.pop(0)
                if answer is None:  # read, and then gone
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                status, text = answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


PASSING = (503, '{"code": "PGRST001", "message": "no connection"}')


@pytest.mark.parametrize("nameless", [True, False])
def test_what_fails_on_the_way_is_sent_again_as_the_same_occurrence(nameless: bool):
    event = (
        CheckoutStarted(merchant_id=PROTEA.merchant_id, properties={"value": 1}) if nameless else checkout()
    )
    assert (event.dedup_key is None) is nameless
    with Gateway([None, PASSING, (200, "7")]) as gateway, SupabaseOutbox(gateway.url, SECRET_KEY) as outbox:
        assert outbox.enqueue(event) == 7
    paths, headers, bodies = zip(*gateway.requests, strict=True)
    assert set(paths) == {"/rest/v1/rpc/omnisend_enqueue"}
    assert {(h["apikey"], h["authorization"]) for h in map(lowered, headers)} == {
        (SECRET_KEY, f"Bearer {SECRET_KEY}")
    }
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["p_dedup_key"]
    assert bodies[0]["p_occurred_at"] == event.occurred_at.isoformat()


async def test_async_tries_again_too():
    with Gateway([PASSING, None, (200, "null")]) as gateway:
        async with AsyncSupabaseOutbox(gateway.url, SECRET_KEY) as outbox:
            assert await outbox.enqueue(checkout()) is None


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("answer", "tries"),
    [((500, "oh dear"), 1), ((302, ""), 1), ((503, "busy"), 3), (None, 3), ((200, '"words"'), 1)],
    ids=["500", "redirect", "503", "reset", "nonsense"],
)
def test_it_gives_up_with_a_sentence_that_holds_no_key(answer: tuple[int, str] | None, tries: int):
    with (
        Gateway([answer] * 5) as gateway,
        SupabaseOutbox(gateway.url, SECRET_KEY) as outbox,
        pytest.raises(EnqueueFailed) as failed,
    ):
        outbox.enqueue(checkout())
    assert len(gateway.requests) == tries
    assert SECRET_KEY not in str(failed.value)
    assert failed.value.__suppress_context__ or failed.value.__context__ is None


def test_a_server_that_does_not_answer_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        outbox = SupabaseOutbox(url, SECRET_KEY, timeout=timedelta(milliseconds=100))
        with outbox, pytest.raises(EnqueueFailed, match="did not answer"):
            outbox.enqueue(checkout())


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "postgrest", None)
    monkeypatch.delitem(sys.modules, "soldt_outbox.supabase")
    with pytest.raises(ImportError, match=r"soldt-outbox\[supabase\]"):
        __import__("soldt_outbox.supabase")
