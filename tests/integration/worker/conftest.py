from collections.abc import AsyncIterator

import pytest

from sandbox.omnisend import OmnisendStandIn
from sandbox.world import Database
from tests.support.worker import Scene


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    """A database, Omnisend without a limit, and no shop connected yet."""
    async with OmnisendStandIn() as omnisend:
        omnisend.change_settings(rate_limit=0)
        yield Scene(database, omnisend)
