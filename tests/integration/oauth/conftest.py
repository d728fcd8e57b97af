"""A shop connected by OAuth, the server that gave its tokens, and workers' ways to them: nothing here sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from psycopg.rows import dict_row

from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase, open_database
from soldt_outbox.oauth.client import OAuthClient
from soldt_outbox.oauth.protocol import OAuthApp
from soldt_outbox.oauth.tokens import SealedToken, Tokens
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import BEARER
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET, PATIENCE_S, OAuthServer


class Waiting:
    """A ``sleep`` for `Tokens` that says when somebody waits, and lasts until they may look."""

    def __init__(self, *, may_look: bool = False) -> None:
        self.begun = asyncio.Event()
        self.may_look = asyncio.Event()
        if may_look:
            self.may_look.set()

    async def __call__(self, _: float) -> None:
        self.begun.set()
        await self.may_look.wait()
        await asyncio.sleep(0)


class ShopConnection:
    """Protea, and what its connection to the Omnisend at ``url`` is made with and seen by."""

    def __init__(self, database: Database, url: str, stack: AsyncExitStack) -> None:
        self.database = database
        self.url = url
        self.key_text = KeyRing.generate("k1")
        self.keys = KeyRing.parse(self.key_text)
        self.merchant_id = PROTEA.merchant_id
        self.app = OAuthApp(url=url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        self._stack = stack

    async def outbox(self) -> AsyncDatabase:
        """A pool of connections of the worker's role."""
        return await self._stack.enter_async_context(
            open_database(self.database.url("omnisend_worker"), application_name="test")
        )

    async def oauth(self, **options: Any) -> OAuthClient:
        return await self._stack.enter_async_context(OAuthClient(self.app, **options))

    async def omnisend(self) -> OmnisendClient:
        return await self._stack.enter_async_context(OmnisendClient(self.url, BEARER))

    async def tokens(self, **options: Any) -> Tokens:
        """What one worker process has."""
        tokens = Tokens(await self.outbox(), self.keys, await self.oauth(), **options)
        self._stack.push_async_callback(tokens.aclose)
        return tokens

    def one(self, statement: str, parameters: Any = None) -> dict[str, Any]:
        """The one row of a statement run by ``postgres``, committed."""
        with self.database.connect() as conn, conn.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement, parameters).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row

    def connection(self) -> dict[str, Any]:
        return self.one("select * from integrations_omnisend where merchant_id = %s", [self.merchant_id])

    def opened(self, column: str) -> str:
        return self.keys.decrypt(self.connection()[column], merchant_id=self.merchant_id, column=column)

    def let_the_lease_run_out(self) -> None:
        """As if the time of the lease had passed."""
        self.one(
            "update integrations_omnisend set refresh_lease_until = now() where refresh_lease_token is not null returning 1"
        )


class Shop(ShopConnection):
    """The same before a server of this test's own, with tokens of any age."""

    def __init__(self, database: Database, server: OAuthServer, stack: AsyncExitStack) -> None:
        super().__init__(database, server.url, stack)
        self.server = server

    def store(
        self, *, lifetime: str | None = "-1 second", given: str = "1 hour", refresh: bool = True
    ) -> SealedToken:
        """A pair of tokens as it was given so long ago, with an access token that lasts ``lifetime`` from now."""
        pair = self.server.give()
        sealed = {
            column: self.keys.encrypt(str(pair[token]), merchant_id=self.merchant_id, column=column)
            for column, token in (
                ("access_token_enc", "access_token"),
                ("refresh_token_enc", "refresh_token"),
            )
        }
        row = self.one(
            """
            insert into integrations_omnisend (merchant_id, auth_type, access_token_enc, refresh_token_enc, token_expires_at,
              token_refreshed_at, scopes, brand_id)
            values (%(merchant_id)s, 'oauth', %(access)s, %(refresh)s, now() + %(lifetime)s::interval, now() - %(given)s::interval,
              '{events.write}', '5f0000000000000000000abc')
            on conflict (merchant_id) do update set access_token_enc = excluded.access_token_enc,
              refresh_token_enc = excluded.refresh_token_enc, token_expires_at = excluded.token_expires_at
            returning access_token_enc, token_expires_at
            """,
            {
                "merchant_id": self.merchant_id,
                "access": sealed["access_token_enc"],
                "refresh": sealed["refresh_token_enc"] if refresh else None,
                "lifetime": lifetime,
                "given": given,
            },
        )
        return SealedToken(access_token_enc=row["access_token_enc"], expires_at=row["token_expires_at"])


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(OAuthServer())
        yield Shop(database, server, stack)


__all__ = ["PATIENCE_S", "Shop", "ShopConnection", "Waiting"]
