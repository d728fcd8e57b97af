"""What must hold before the first row is claimed, and through which doors the worker gets in."""

from __future__ import annotations

import signal

import pytest

from sandbox.omnisend import Fault
from sandbox.postgres import PASSWORD
from sandbox.processes import free_port
from sandbox.world import Database
from soldt_outbox.credentials import KeyRing
from tests.support.shop import place
from tests.support.worker import Scene, cart

_SOME_FAIL = Fault(kind="status", status=500, count=3)


async def _refuses(scene: Scene, **environment: str) -> str:
    """Start, expect exit code 2, and return the sentence."""
    async with scene.process(**environment) as worker:
        assert await worker.ended() == 2, worker.said
    (sentence,) = [line for line in worker.lines if line.startswith("worker: ")]
    assert "Traceback" not in worker.said
    assert f":{PASSWORD}@" not in worker.said
    return sentence


async def test_a_database_out_of_reach(scene: Scene) -> None:
    port = free_port()
    said = await _refuses(
        scene, DATABASE_URL=f"postgresql://omnisend_worker:{PASSWORD}@127.0.0.1:{port}/postgres"
    )
    assert f"cannot reach the database at 127.0.0.1:{port}" in said
    assert "refused" in said
    assert "DATABASE_URL" in said


async def test_a_wrong_password(scene: Scene) -> None:
    wrong = scene.database.url("omnisend_worker").replace(f":{PASSWORD}@", ":wr0ng@")
    said = await _refuses(scene, DATABASE_URL=wrong)
    assert "password authentication failed" in said
    assert "wr0ng" not in said


async def test_a_login_that_may_not_act_as_the_worker(scene: Scene) -> None:
    said = await _refuses(scene, DATABASE_URL=scene.database.url("authenticator"))
    assert "grant omnisend_worker to authenticator" in said


@pytest.mark.world(migrations=False)
async def test_a_database_without_the_outbox(scene: Scene) -> None:
    said = await _refuses(scene, DATABASE_URL=scene.database.url())
    assert "tables are missing" in said
    assert "soldt-outbox migrate" in said


async def test_a_schema_older_than_the_code(scene: Scene) -> None:
    scene.query("alter table integrations_omnisend_outbox drop column rescues")
    assert "older than this code" in await _refuses(scene)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "OUTBOX_ENCRYPTION_KEYS is not set"),
        ("k1:short", "not valid base64"),
        ("k1:c2hvcnQ=", "5 bytes instead of 32"),
    ],
)
async def test_an_encryption_key_that_is_none(scene: Scene, value: str, words: str) -> None:
    assert words in await _refuses(scene, OUTBOX_ENCRYPTION_KEYS=value)


async def test_an_encryption_key_that_opens_nothing(scene: Scene) -> None:
    scene.connect()
    said = await _refuses(scene, OUTBOX_ENCRYPTION_KEYS=KeyRing.generate("k1"))
    assert "OUTBOX_ENCRYPTION_KEYS does not open what the database holds" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_CONCURRENCY", "0"),
        ("LEASE_SECONDS", "5"),
        ("OMNISEND_BASE_URL", "http://api.omnisend.com"),
        ("DATABASE_URL", "mysql://x"),
    ],
)
async def test_a_setting_that_is_wrong(scene: Scene, name: str, value: str) -> None:
    assert name in await _refuses(scene, **{name: value})


async def test_the_heartbeat_says_what_a_worker_did(scene: Scene) -> None:
    scene.connect()
    async with scene.process() as worker:
        started = await worker.says("started")
        await worker.says("heartbeat")
        (beat,) = scene.query("select worker_id, version, statistics from integrations_omnisend_workers")
        assert (beat["worker_id"], beat["version"]) == (started["worker_id"], started["version"])
        assert beat["statistics"]["in_hand"] == 0


@pytest.mark.parametrize("login", ["omnisend_worker", "postgres"])
async def test_works_through_a_transaction_pooler_under_either_login(
    scene: Scene, pgbouncer: Database, login: str
) -> None:
    """`postgres` takes the worker's role in every transaction, as nothing of a session lasts."""
    scene.connect()
    with scene.database.connect() as conn:
        for n in range(30):
            place(conn, customer_email=f"customer-{n}@example.com")
    url = pgbouncer.url(login)
    scene.omnisend.add_fault(_SOME_FAIL)
    async with scene.workers(3, database_url=url) as fleet:
        await fleet.reached("delivered", 30)
    async with scene.process(DATABASE_URL=url) as worker:
        scene.enqueue("checkout_started", cart("last@example.com"))
        await worker.says("delivered")
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0

    assert scene.states() == {"delivered": 31}
    assert scene.omnisend.summary().total.duplicates == 0


@pytest.mark.both_majors
async def test_works_on_every_major(scene: Scene, postgres_major: int) -> None:
    version = scene.one("select current_setting('server_version_num')::int / 10000 as major")
    assert version["major"] == postgres_major
    scene.connect()
    scene.omnisend.add_fault(_SOME_FAIL)
    with scene.database.connect() as conn:
        for n in range(20):
            place(conn, customer_email=f"customer-{n}@example.com")
    async with scene.workers(2) as fleet:
        await fleet.reached("delivered", 20)
        await fleet.reached("retry", 3)
