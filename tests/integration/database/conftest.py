"""What these tests stand on."""

from __future__ import annotations

import pytest

from sandbox.world import Database
from tests.support.shop import connect_shop


@pytest.fixture
def shop(database: Database) -> Database:
    """A database in which the first shop is connected."""
    connect_shop(database)
    return database
