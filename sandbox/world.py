"""A database to work in: Supabase's furniture, SOLDT's tables, the earlier Omnisend tables, this project's migrations.

with PostgresServer() as server:
    database = prepare_database(server, "shop")
    with database.connect("anon") as browser:
        browser.execute("insert into orders ...")
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from sandbox.postgres import PASSWORD, Server
from sandbox.supabase_like import create_supabase_database, lock_roles, run_file
from soldt_outbox.database import WORKER_ROLE
from soldt_outbox.migrations import apply_migrations

_SOLDT = Path(__file__).parent / "soldt"

API_ROLES: Final = frozenset({"anon", "authenticated", "service_role"})
"""Roles nobody logs in as: PostgREST logs in as ``authenticator`` and takes one of them for each request."""


@dataclass(frozen=True, slots=True)
class Database:
    """One database of a server, and how to get into it."""

    server: Server
    name: str

    @property
    def superuser(self) -> str:
        return self.server.superuser

    def url(self, role: str = "postgres") -> str:
        """The URL to log in with: ``postgres``, ``authenticator``, the superuser, or another login role."""
        return self.server.url(user=role, dbname=self.name)

    def connect(
        self, role: str = "postgres", *, claims: Mapping[str, Any] | None = None, autocommit: bool = False
    ) -> psycopg.Connection:
        """Connect as ``role``; an API role is taken as PostgREST takes it, with ``claims`` as the user's JWT.

        The role and the claims hold for the session.
        """
        login = "authenticator" if role in API_ROLES else role
        conn = psycopg.connect(self.url(login), autocommit=True)
        if login != role:
            conn.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        if claims is not None:
            conn.execute(
                "select set_config('request.jwt.claims', %s, false)",
                [json.dumps({"role": role, **claims}, default=str)],
            )
        conn.autocommit = autocommit
        return conn


def prepare_database(
    server: Server,
    name: str,
    *,
    auto_expose: bool = True,
    soldt: bool = True,
    legacy: bool = False,
    migrations: bool = True,
) -> Database:
    """Create and fill database ``name``. Everything after the furniture is done by ``postgres``, which is no superuser.

    Args:
        server: where; our own or an outside one.
        name: of the database, which must not exist.
        auto_expose: which regime of default privileges it has; see `create_supabase_database`.
        soldt: SOLDT's tables and three shops (`sandbox.shops`).
        legacy: the earlier Omnisend tables with rows in them; needs ``soldt``.
        migrations: apply this project's, in order, each in one transaction.
    """
    create_supabase_database(server, name, auto_expose=auto_expose)
    database = Database(server, name)
    with database.connect() as conn:
        if soldt:
            run_file(conn, _SOLDT / "schema.sql")
            run_file(conn, _SOLDT / "shops.sql")
        if legacy:
            run_file(conn, _SOLDT / "legacy_omnisend.sql")
            run_file(conn, _SOLDT / "legacy_omnisend_rows.sql")
    if migrations:
        with database.connect(autocommit=True) as conn:  # each file commits by itself
            apply_migrations(conn)
        let_worker_log_in(server)
    return database


def let_worker_log_in(server: Server) -> None:
    """Give the worker's role, which the migrations make without a login, the sandbox's password."""
    with psycopg.connect(server.url(user=server.superuser)) as conn:
        lock_roles(conn)
        conn.execute(
            sql.SQL("alter role {} login password {}").format(
                sql.Identifier(WORKER_ROLE), sql.Literal(PASSWORD)
            )
        )
