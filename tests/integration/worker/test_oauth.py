"""Shops connected by OAuth beside shops with a key: tokens that end, that are taken back, and that were granted too little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from sandbox.omnisend import OAuthClient as App
from sandbox.shops import KAROO, PROTEA
from soldt_outbox.database import open_database
from soldt_outbox.oauth.client import OAuthClient
from soldt_outbox.oauth.connecting import begin_authorization, complete_authorization
from soldt_outbox.oauth.protocol import OAuthApp
from soldt_outbox.oauth.scopes import Scope
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import BEARER
from tests.support.selling import reprice
from tests.support.shop import place
from tests.support.syncing import start
from tests.support.worker import Fleet, Scene, cart

CLIENT_ID = "soldt"
HOME = "http://127.0.0.1:8931/callback"


class Granted:
    """Protea, connected by its admin's browser, and the workers that know the app."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.omnisend.change_settings(token_expires_in=3_600, rotate_refresh_tokens=True)
        scene.omnisend.add_oauth_client(App(client_id=CLIENT_ID, client_secret=None, redirect_uris=[HOME]))
        self.brand = scene.omnisend.add_brand().brand_id

    async def connect(self, scopes: tuple[Scope, ...] = tuple(Scope)) -> None:
        scene = self.scene
        scene.omnisend.sign_in(self.brand)
        app = OAuthApp(url=scene.omnisend.url, client_id=CLIENT_ID, client_secret=None)
        async with (
            open_database(scene.database.url("omnisend_worker"), application_name="door") as database,
            OAuthClient(app) as oauth,
            OmnisendClient(scene.omnisend.url, BEARER) as omnisend,
            httpx.AsyncClient() as browser,
        ):
            begun = await begin_authorization(
                database, scene.keys, app, PROTEA.merchant_id, redirect_uri=HOME, scopes=scopes
            )
            answer = await browser.get(begun.url)
            query = dict(parse_qsl(answer.headers["location"].partition("?")[2]))
            await complete_authorization(database, scene.keys, oauth, omnisend, query)

    def age(self, *, told: bool = True) -> None:
        """As if the token had been given an hour ago and had ended; ``told``: and we had been told when it would."""
        self.scene.query(
            """update integrations_omnisend set token_refreshed_at = now() - interval '1 hour',
              token_expires_at = case when %s then now() else now() + interval '1 hour' end""",
            [told],
        )
        self.scene.omnisend.expire_tokens(self.brand)

    @asynccontextmanager
    async def workers(self, count: int = 1) -> AsyncIterator[Fleet]:
        async with self.scene.workers(
            count, omnisend_oauth_client_id=CLIENT_ID, omnisend_oauth_url=self.scene.omnisend.url
        ) as fleet:
            yield fleet

    @property
    def refreshes(self) -> int:
        return self.scene.omnisend.oauth().refreshes.get(self.brand, 0)


@pytest.fixture
async def granted(scene: Scene) -> Granted:
    granted = Granted(scene)
    await granted.connect()
    return granted


def _enqueue(scene: Scene, count: int, **more: Any) -> None:
    for n in range(count):
        scene.enqueue("checkout_started", cart(f"customer-{n}@example.com"), **more)


@pytest.mark.parametrize("told", [True, False], ids=["its end was known", "its end came early"])
async def test_two_workers_an_ended_token_and_a_hundred_rows_are_one_refresh_and_all_are_delivered(
    scene: Scene, granted: Granted, told: bool
) -> None:
    granted.age(told=told)
    _enqueue(scene, 100)
    async with granted.workers(2) as fleet:
        await fleet.reached("delivered", 100)
    assert granted.refreshes == 1
    assert scene.omnisend.oauth().refused_refreshes == {}
    assert scene.states() == {"delivered": 100}
    assert scene.connection()["status"] == "connected"


async def test_an_authorization_that_was_taken_back_waits_for_a_new_one(
    scene: Scene, granted: Granted
) -> None:
    scene.omnisend.disconnect(granted.brand)
    granted.age(told=False)
    _enqueue(scene, 5)
    async with granted.workers() as fleet:
        await fleet.reached("release")
        await asyncio.wait_for(_until_error(scene), 20)
        connection = scene.connection()
        assert connection["last_error"] == "AUTH"
        assert "connect the shop again" in connection["last_error_detail"]
        assert {(row["state"], row["attempts"]) for row in scene.outbox()} == {("pending", 0)}
        await granted.connect()
        await fleet.reached("delivered", 5)
    assert scene.connection()["status"] == "connected"


async def _until_error(scene: Scene) -> None:
    while scene.connection()["status"] != "error" or scene.lane()["pause_reason"] != "AUTH":
        await asyncio.sleep(0.02)


async def test_shops_with_keys_and_shops_with_tokens_stand_side_by_side(
    scene: Scene, granted: Granted
) -> None:
    key = scene.connect(KAROO)
    _enqueue(scene, 5)
    _enqueue(scene, 5, shop=KAROO)
    async with granted.workers() as fleet:
        await fleet.reached("delivered", 10)
    brands = scene.omnisend.summary().brands
    assert (brands[granted.brand].accepted, brands[key.brand_id].accepted) == (5, 5)
    assert {one.path for one in scene.omnisend.received() if one.brand == granted.brand} >= {"/api/events"}


async def test_what_was_not_granted_is_named_before_omnisend_is_asked(scene: Scene) -> None:
    granted = Granted(scene)
    await granted.connect((Scope.BRANDS_READ, Scope.EVENTS_WRITE))
    scene.switch_on("sync_catalogue")
    with scene.database.connect() as conn:
        reprice(conn, 50)
    _enqueue(scene, 1)
    async with granted.workers() as fleet:
        await fleet.reached("release")
        await fleet.reached("delivered")
    assert [one for one in scene.omnisend.received() if "products" in one.path] == []
    (told,) = [log["error"] for log in scene.logs() if log["kind"] == "lane"]
    assert "products.write" in told


async def test_a_batch_of_what_was_not_granted_waits_and_names_it(scene: Scene) -> None:
    granted = Granted(scene)
    await granted.connect((Scope.BRANDS_READ, Scope.EVENTS_WRITE, Scope.PRODUCTS_READ, Scope.PRODUCTS_WRITE))
    with scene.database.connect() as conn:
        place(conn)
    await start(scene, Resource.CONTACTS)
    await start(scene, Resource.PRODUCTS)
    async with granted.workers() as fleet:
        await fleet.reached("retry")
        await fleet.reached("delivered", 2)  # the order, and the batch of products
    assert [one.path for one in scene.omnisend.received() if "batches" in one.path] != []
    waiting = [row for row in scene.outbox() if row["state"] == "pending" and row["name"] == "batch_submit"]
    assert {row["last_error"] for row in waiting} == {
        "FORBIDDEN: contacts.read, contacts.write was not granted: connect again and grant it; this waits"
    }


async def test_a_worker_that_knows_no_app_leaves_such_a_shops_rows_and_says_why(
    scene: Scene, granted: Granted
) -> None:
    granted.age()
    _enqueue(scene, 1)
    async with scene.workers() as fleet:
        await fleet.reached("release")
    (row,) = scene.outbox()
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert "OMNISEND_OAUTH_CLIENT_ID is not set" in row["last_error"]
    assert scene.connection()["status"] == "connected"
