from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox.omnisend import OmnisendStandIn
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.omnisend.dialects import DIALECTS
from tests.support.worker import Scene


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own, to be crashed: it flushes every commit, so that what was committed survives."""
    with PostgresServer(durable=True, settings={"autovacuum": "off"}) as server:
        yield server


@pytest.fixture
def database(server: PostgresServer) -> Database:
    return prepare_database(server, "shop")


@pytest.fixture(params=DIALECTS.keys())
async def scene(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Scene]:
    """In each of Omnisend's dialects."""
    async with OmnisendStandIn() as omnisend:
        omnisend.change_settings(rate_limit=0)
        yield Scene(database, omnisend, api_version=request.param)
