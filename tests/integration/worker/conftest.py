"""Every test of the worker runs in each of Omnisend's dialects."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from sandbox.omnisend import OmnisendStandIn
from sandbox.world import Database
from soldt_outbox.omnisend.dialects import DIALECTS
from tests.support.worker import Scene
from worker import batch_records


@pytest.fixture(params=DIALECTS.keys())
async def scene(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Scene]:
    """A database, Omnisend without a limit, and no shop connected yet."""
    async with OmnisendStandIn() as omnisend:
        omnisend.change_settings(rate_limit=0)
        yield Scene(database, omnisend, api_version=request.param)


@pytest.fixture
def quick_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between looks at a batch, and before its items are sent again, that a test can sit out."""
    monkeypatch.setattr(batch_records, "FIRST_LOOK", timedelta(milliseconds=50))
    monkeypatch.setattr(batch_records, "_AGAIN", timedelta(milliseconds=50))
