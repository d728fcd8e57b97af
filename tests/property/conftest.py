from collections.abc import Iterator

import pytest

from sandbox.postgres_binaries import PREFERRED_MAJOR
from sandbox.world import Database
from tests.support.databases import SECOND_MAJOR, Clusters, World


@pytest.fixture(scope="session")
def shared_database(clusters: Clusters) -> Iterator[Database]:
    """One database for every example: each empties the tables it works in."""
    with clusters.database(World(), PREFERRED_MAJOR) as database:
        yield database


@pytest.fixture(scope="session")
def second_database(clusters: Clusters) -> Iterator[Database]:
    """The same on the older major."""
    with clusters.database(World(), SECOND_MAJOR) as database:
        yield database
