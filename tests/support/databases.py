"""One server per major and run, one template per kind of world, one clone per test.

Each xdist worker has servers of its own: starting one takes a quarter of a second, sharing one takes locks.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from pytest_postgresql.janitor import DatabaseJanitor

from sandbox.postgres import OutsideServer, PostgresServer, password_in
from sandbox.postgres_binaries import HOW_TO_GET_POSTGRES, PREFERRED_MAJOR, find_postgres
from sandbox.processes import SandboxError
from sandbox.world import Database, prepare_database
from tests.support.parts import missing

SECOND_MAJOR = 15  # the oldest that Supabase still runs

# Statistics and dead rows change when a test says so, and at no other time.
_SETTINGS = {"autovacuum": "off"}

AnyServer = PostgresServer | OutsideServer


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Which kind of database a test wants; the arguments of `sandbox.world.prepare_database`."""

    auto_expose: bool = True
    soldt: bool = True
    legacy: bool = False
    migrations: bool = True


class _Clone(DatabaseJanitor):
    """pytest-postgresql's janitor, owned by ``postgres`` as on Supabase and copied by file: no write-ahead log."""

    def _build_create_database_sql(self) -> sql.Composed:
        return super()._build_create_database_sql() + sql.SQL(" owner postgres strategy file_copy")


class Clusters:
    """The servers of this test run with their templates, each made when it is first asked for."""

    def __init__(self, outside_url: str | None) -> None:
        self._outside_url = outside_url
        self._owned = ExitStack()
        self._servers: dict[int, AnyServer] = {}
        self._templates: dict[tuple[int, World], str] = {}
        self._names = (
            f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}_{os.getpid()}_{n}" for n in itertools.count()
        )

    def close(self) -> None:
        self._owned.close()

    def server(self, major: int = PREFERRED_MAJOR) -> AnyServer:
        """The server of this major, started if it is the first time; skips the test where there is none."""
        if major not in self._servers:
            self._servers[major] = self._outside(major) if self._outside_url else self._own(major)
        return self._servers[major]

    @contextmanager
    def database(self, world: World, major: int = PREFERRED_MAJOR) -> Iterator[Database]:
        """A database of this kind, gone with whatever is still connected to it when the block ends."""
        server = self.server(major)
        with self._janitor(server, next(self._names), template=self._template(major, world)) as janitor:
            yield Database(server, janitor.dbname)

    def _own(self, major: int) -> PostgresServer:
        try:
            find_postgres(major)
        except SandboxError:
            how = "apt-get install postgresql-15" if major == SECOND_MAJOR else HOW_TO_GET_POSTGRES
            missing(f"PostgreSQL {major}", how)
        return self._owned.enter_context(PostgresServer(major=major, settings=_SETTINGS))

    def _outside(self, major: int) -> OutsideServer:
        if major != PREFERRED_MAJOR:
            missing(
                f"PostgreSQL {major}", "TEST_DATABASE_URL is set, and stands in for the first major only."
            )
        assert self._outside_url is not None
        return OutsideServer(self._outside_url)

    def _template(self, major: int, world: World) -> str:
        if (major, world) not in self._templates:
            server = self.server(major)
            name = next(self._names)
            self._owned.callback(self._janitor(server, name).drop)
            prepare_database(
                server,
                name,
                auto_expose=world.auto_expose,
                soldt=world.soldt,
                legacy=world.legacy,
                migrations=world.migrations,
            )
            with psycopg.connect(server.url(user=server.superuser), autocommit=True) as conn:
                conn.execute(
                    sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name))
                )
            self._templates[major, world] = name
        return self._templates[major, world]

    def _janitor(self, server: AnyServer, name: str, template: str | None = None) -> DatabaseJanitor:
        return _Clone(
            user=server.superuser,
            password=password_in(server.url(user=server.superuser)),
            host=server.host,
            port=server.port,
            dbname=name,
            template_dbname=template,
        )
