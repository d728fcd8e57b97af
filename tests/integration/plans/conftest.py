"""Databases with full tables: one per major, and a copy of it per state of the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from uuid import UUID

import psycopg
import pytest

from sandbox.postgres_binaries import PREFERRED_MAJOR
from sandbox.world import Database
from tests.integration.plans.tables import Session, copy_of, fill, forget_statistics
from tests.support.databases import SECOND_MAJOR, Clusters, World


@pytest.fixture(scope="session")
def full(clusters: Clusters) -> Iterator[Callable[[int, str], Database]]:
    """Makes the database of a major whose statistics are fresh, stale or missing."""
    with ExitStack() as made:

        @cache
        def filled(major: int) -> Database:
            database = made.enter_context(clusters.database(World(), major))
            fill(database)
            return database

        @cache
        def full(major: int, statistics: str) -> Database:
            stale = filled(major)
            database = made.enter_context(copy_of(stale, f"{stale.name}_{statistics}"))
            with psycopg.connect(database.url(database.superuser), autocommit=True) as conn:
                if statistics == "fresh":
                    conn.execute("vacuum analyze")
                elif statistics == "missing":
                    forget_statistics(conn)
            return database

        yield full


@pytest.fixture(params=[PREFERRED_MAJOR, SECOND_MAJOR], ids=lambda major: f"pg{major}")
def major(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=["fresh", "stale", "missing"])
def full_database(
    request: pytest.FixtureRequest, full: Callable[[int, str], Database], major: int
) -> Database:
    return full(major, request.param)


@pytest.fixture
def worker(full_database: Database) -> Iterator[Session]:
    """The worker's own role, row level security and all."""
    with psycopg.connect(full_database.url("omnisend_worker")) as conn:
        yield Session(conn)
        conn.rollback()


@pytest.fixture
def own_copy(full: Callable[[int, str], Database], major: int) -> Iterator[Database]:
    """For a test that commits."""
    shared = full(major, "fresh")
    with copy_of(shared, f"{shared.name}_own") as database:
        yield database


@pytest.fixture
def admin(full_database: Database) -> Callable[[UUID], Any]:
    """A session as the API opens one for a signed-in user."""

    @contextmanager
    def signed_in(user_id: UUID) -> Iterator[Session]:
        with full_database.connect("authenticated", claims={"sub": user_id}) as conn:
            yield Session(conn)
            conn.rollback()

    return signed_in
