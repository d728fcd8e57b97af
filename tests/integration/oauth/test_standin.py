"""The same against the Omnisend stand-in, which reads the documentation for itself and knows nothing of this code."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import httpx
import pytest

from sandbox.omnisend import OAuthClient, OmnisendStandIn
from sandbox.world import Database
from soldt_outbox.administration.merchants import find_merchant
from soldt_outbox.errors import AuthorizationLost, AuthorizationRefused
from soldt_outbox.oauth.connecting import (
    ConnectedByOAuth,
    begin_authorization,
    complete_authorization,
)
from soldt_outbox.oauth.revoking import disconnect
from soldt_outbox.oauth.scopes import Scope, missing_scopes
from soldt_outbox.oauth.tokens import SealedToken, Tokens
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.rows import Kind, OmnisendRequest
from soldt_outbox.settings import Settings
from tests.integration.oauth.conftest import ShopConnection
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET

HOME = "http://127.0.0.1:8931/callback"


class World(ShopConnection):
    """Protea, and the stand-in with a brand of its own."""

    def __init__(self, database: Database, omnisend: OmnisendStandIn, stack: AsyncExitStack) -> None:
        super().__init__(database, omnisend.url, stack)
        self.standin = omnisend
        self.brand = omnisend.add_brand(name="Protea & Co")

    async def connect(self, scopes: tuple[Scope, ...] = tuple(Scope)) -> ConnectedByOAuth:
        database, oauth = await self.outbox(), await self.oauth()
        begun = await begin_authorization(
            database, self.keys, self.app, self.merchant_id, redirect_uri=HOME, scopes=scopes
        )
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(begun.url)
        query = dict(parse_qsl(answer.headers["location"].partition("?")[2]))
        return await complete_authorization(database, self.keys, oauth, await self.omnisend(), query)

    def sealed(self) -> SealedToken:
        row = self.connection()
        return SealedToken(access_token_enc=row["access_token_enc"], expires_at=row["token_expires_at"])

    def age(self) -> None:
        """As if the token had been given an hour ago."""
        self.one(
            "update integrations_omnisend set token_refreshed_at = now() - interval '1 hour', "
            "token_expires_at = case when token_expires_at is not null then now() end returning 1"
        )
        self.standin.expire_tokens(self.brand.brand_id)

    def settings(self) -> Settings:
        return Settings(
            _env_file=None,
            database_url=self.database.url(),
            outbox_encryption_keys=self.key_text,
            omnisend_oauth_url=self.standin.url,
            omnisend_oauth_client_id=CLIENT_ID,
            omnisend_oauth_client_secret=CLIENT_SECRET,
        )


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        standin = await stack.enter_async_context(OmnisendStandIn())
        standin.change_settings(rate_limit=0, token_expires_in=3_600, rotate_refresh_tokens=True)
        standin.add_oauth_client(
            OAuthClient(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, redirect_uris=[HOME])
        )
        yield World(database, standin, stack)


def event(number: int) -> OmnisendRequest:
    body = {
        "eventName": "gift card sent",
        "origin": "api",
        "eventID": str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))),
        "eventTime": datetime.now(UTC).isoformat(),
        "contact": {"email": f"someone{number}@example.com"},
    }
    return OmnisendRequest(method="POST", path="/events", body=json.dumps(body).encode())


async def test_a_shop_connects_and_is_told_what_omnisend_granted(world: World):
    connected = await world.connect()
    assert (connected.brand_id, connected.brand_name) == (world.brand.brand_id, "Protea & Co")
    assert set(connected.scopes) == set(Scope)
    assert connected.missing_scopes == ()
    (grant,) = world.standin.oauth().grants
    assert (grant.client_id, set(grant.scopes), grant.revoked) == (CLIENT_ID, set(Scope), False)


async def test_two_workers_an_expired_token_and_a_hundred_rows_make_one_refresh_and_all_are_delivered(
    world: World,
):
    await world.connect()
    world.age()
    sealed = world.sealed()
    workers = [(await world.tokens(), await world.omnisend()) for _ in range(2)]

    async def deliver(number: int, tokens: Tokens, omnisend: OmnisendClient) -> int:
        token = await tokens.fresh(world.merchant_id, sealed=sealed)
        return (await omnisend.send(event(number), token.token)).status

    statuses = await asyncio.gather(*(deliver(n, *workers[n % 2]) for n in range(100)))
    assert statuses == [202] * 100
    seen = world.standin.oauth()
    assert seen.refreshes == {world.brand.brand_id: 1}
    assert seen.refused_refreshes == {}


async def test_a_token_that_omnisend_refuses_is_replaced_once_and_the_row_goes_through(world: World):
    world.standin.change_settings(token_expires_in=9_223_372_036)
    connected = await world.connect()
    assert connected.token_expires_at is None
    world.age()
    tokens, omnisend = await world.tokens(), await world.omnisend()
    first = await tokens.fresh(world.merchant_id, sealed=world.sealed())
    assert (await omnisend.send(event(1), first.token)).status == 401
    second = await tokens.after_refusal(world.merchant_id, refused_sealed=first.sealed)
    assert second is not None
    assert (await omnisend.send(event(1), second.token)).status == 202


async def test_refresh_tokens_that_are_used_up_follow_one_another(world: World):
    await world.connect()
    tokens = await world.tokens()
    for _ in range(3):
        world.age()
        await tokens.fresh(world.merchant_id, sealed=world.sealed())
    (grant,) = world.standin.oauth().grants
    assert (grant.refreshes, grant.reuses, grant.revoked) == (3, 0, False)


async def test_an_admin_who_takes_the_authorization_back_at_omnisend_is_asked_to_connect_again(world: World):
    await world.connect()
    world.age()
    world.standin.disconnect(world.brand.brand_id)
    with pytest.raises(AuthorizationLost):
        await (await world.tokens()).fresh(world.merchant_id, sealed=world.sealed())
    assert (world.connection()["status"], world.connection()["last_error"]) == ("error", "AUTH")
    await world.connect()
    assert (world.connection()["status"], world.connection()["last_error"]) == ("connected", None)


async def test_a_scope_that_is_missing_is_known_before_omnisend_refuses(world: World):
    await world.connect(scopes=(Scope.BRANDS_READ, Scope.PRODUCTS_WRITE))
    granted = world.connection()["scopes"]
    assert missing_scopes(granted, [Kind.EVENT, Kind.PRODUCT]) == (Scope.EVENTS_WRITE,)
    token = await (await world.tokens()).fresh(world.merchant_id, sealed=world.sealed())
    answer = await (await world.omnisend()).send(event(1), token.token)
    assert answer.status == 403
    assert b"events.write" not in answer.body


async def test_disconnecting_ends_the_grant_at_omnisend(world: World):
    await world.connect()
    token = await (await world.tokens()).fresh(world.merchant_id, sealed=world.sealed())
    database = await world.outbox()
    done = await disconnect(database, world.settings(), await find_merchant(database, "protea"))
    assert done.revoked
    assert [grant.revoked for grant in world.standin.oauth().grants] == [True]
    assert (await (await world.omnisend()).send(event(1), token.token)).status == 401


async def test_an_admin_who_says_no_connects_nobody(world: World):
    world.standin.change_settings(oauth_refuses=True)
    with pytest.raises(AuthorizationRefused, match="declined"):
        await world.connect()
    assert world.one("select count(*) as n from integrations_omnisend")["n"] == 0
