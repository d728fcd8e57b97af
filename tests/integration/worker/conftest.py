"""Every test of the worker runs in each of Omnisend's dialects."""

from collections.abc import AsyncIterator

import pytest

from sandbox.omnisend import OmnisendStandIn
from sandbox.world import Database
from soldt_outbox.omnisend.dialects import DIALECTS
from tests.support.worker import Scene


@pytest.fixture(params=DIALECTS.keys())
async def scene(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Scene]:
    """A database, Omnisend without a limit, and no shop connected yet."""
    async with OmnisendStandIn() as omnisend:
        omnisend.change_settings(rate_limit=0)
        yield Scene(database, omnisend, api_version=request.param)
