"""Fixtures that every folder may use; how they are made is in ``tests/support``.

``database`` is a fresh PostgreSQL 17 database with Supabase's furniture, SOLDT's tables and three shops, and this
project's migrations. Markers change what it is:

    @pytest.mark.both_majors            run on 17 and on 15
    @pytest.mark.both_regimes           run under either kind of default privileges
    @pytest.mark.world(legacy=True)     another world; the arguments are those of sandbox.world.prepare_database
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sandbox.pgbouncer import HOW_TO_GET_PGBOUNCER, PgBouncer, find_pgbouncer
from sandbox.postgres_binaries import PREFERRED_MAJOR
from sandbox.postgrest import HOW_TO_GET_POSTGREST, SupabaseApi, find_postgrest
from sandbox.tcp_proxy import TcpProxy
from sandbox.world import Database
from tests.support.api import SupabaseClients
from tests.support.databases import SECOND_MAJOR, Clusters, World
from tests.support.parts import missing, say_what_was_left_out
from tests.support.programs import PgProve, SupabaseCli


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_majors: run on PostgreSQL 17 and, where present, on 15")
    config.addinivalue_line(
        "markers", "both_regimes: run with and without default privileges for the API roles"
    )
    config.addinivalue_line(
        "markers", "world(**kwargs): what the database fixture holds; see prepare_database"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked, fixtures = metafunc.definition.get_closest_marker, metafunc.fixturenames
    if marked("both_majors") and "postgres_major" in fixtures:
        majors = [PREFERRED_MAJOR, SECOND_MAJOR]
        metafunc.parametrize("postgres_major", majors, indirect=True, ids=[f"pg{major}" for major in majors])
    if marked("both_regimes") and "auto_expose" in fixtures:
        metafunc.parametrize("auto_expose", [True, False], indirect=True, ids=["exposed", "unexposed"])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    yield  # after everything else, where it is read
    say_what_was_left_out(terminalreporter)


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """The run's servers. ``TEST_DATABASE_URL``, a superuser's, puts an outside server in their place."""
    found = Clusters(os.environ.get("TEST_DATABASE_URL"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def postgres_major(request: pytest.FixtureRequest) -> int:
    return int(getattr(request, "param", PREFERRED_MAJOR))


@pytest.fixture
def auto_expose(request: pytest.FixtureRequest) -> bool:
    return bool(getattr(request, "param", True))


@pytest.fixture
def make_database(
    request: pytest.FixtureRequest, clusters: Clusters, postgres_major: int, auto_expose: bool
) -> Iterator[Callable[..., Database]]:
    """A function that makes databases, for tests that need more than one; arguments as in the ``world`` marker."""
    marker = request.node.get_closest_marker("world")
    wanted: dict[str, Any] = {"auto_expose": auto_expose, **(marker.kwargs if marker else {})}
    with ExitStack() as made:

        def make(**changes: Any) -> Database:
            return made.enter_context(clusters.database(World(**{**wanted, **changes}), postgres_major))

        yield make


@pytest.fixture
def database(make_database: Callable[..., Database]) -> Database:
    """A database of this test's own: ``.url(role)``, ``.connect(role, claims=…)``."""
    return make_database()


@pytest.fixture
def make_api() -> Callable[[Database], SupabaseApi]:
    """The real PostgREST behind Supabase's gateway, for a database of the test's choice; started on entering it."""
    if find_postgrest() is None:
        missing("PostgREST", HOW_TO_GET_POSTGREST)
    return SupabaseApi


@pytest.fixture
def postgrest(database: Database, make_api: Callable[[Database], SupabaseApi]) -> Iterator[SupabaseApi]:
    """The same for this test's database, running: ``.url``, ``.user_token(id)``."""
    with make_api(database) as api:
        yield api


@pytest.fixture
def supabase_client(postgrest: SupabaseApi) -> Iterator[SupabaseClients]:
    """The real supabase-py: ``supabase_client()`` is a visitor's, ``(user_id)`` a user's, ``(secret=True)`` a server's."""
    with SupabaseClients(postgrest) as clients:
        yield clients


@pytest.fixture
def pgbouncer(database: Database) -> Iterator[Database]:
    """This test's database by way of a transaction-mode pooler with five connections per role."""
    if find_pgbouncer() is None:
        missing("PgBouncer", HOW_TO_GET_PGBOUNCER)
    with PgBouncer(database.server) as pooler:
        yield Database(pooler, database.name)


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[[str, int], TcpProxy]]:
    """A function that puts a `TcpProxy` before a host and port."""
    with ExitStack() as made:
        yield lambda host, port: made.enter_context(TcpProxy(host, port))


@pytest.fixture
def supabase_cli(tmp_path: Path) -> SupabaseCli:
    """The real Supabase CLI: ``.advisors(database)``, ``.run("gen", "types", …, database=database)``."""
    return SupabaseCli.found(tmp_path)


@pytest.fixture
def pg_prove(clusters: Clusters) -> Iterator[PgProve]:
    """``pg_prove(path, …)`` runs pgTAP files in a fresh database of PostgreSQL 15, for which Debian has pgTAP."""
    with clusters.database(World(), SECOND_MAJOR) as database:
        yield PgProve.found(database)
