"""Make a database look like a Supabase project's: roles, schemas, default privileges, ``auth``.

What is imitated, and what is not, is written in ``sandbox/supabase/*.sql``.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from sandbox.postgres import Server

_SQL = Path(__file__).parent / "supabase"
_ROLES_LOCK = (
    7_310_233_604_301  # roles are the server's: two databases being made at once must not race for them
)


def create_supabase_database(server: Server, name: str, *, auto_expose: bool) -> None:
    """Create database ``name``, owned by ``postgres``, as a new Supabase project would have it.

    Args:
        server: reached as its superuser; no role but that one has to exist.
        name: of the database, which must not exist.
        auto_expose: whether new objects in ``public`` are granted to the API roles by default. Projects of either
            kind exist, so migrations must be right under both.
    """
    with psycopg.connect(server.url(user=server.superuser)) as conn:
        lock_roles(conn)
        run_file(conn, _SQL / "roles.sql")
    with psycopg.connect(server.url(user=server.superuser), autocommit=True) as conn:
        conn.execute(sql.SQL("create database {} owner postgres").format(sql.Identifier(name)))
    with psycopg.connect(server.url(user=server.superuser, dbname=name)) as conn:
        run_file(conn, _SQL / "schemas.sql")
        run_file(conn, _SQL / "auto_expose_on.sql")
        if not auto_expose:
            run_file(conn, _SQL / "auto_expose_off.sql")


def lock_roles(conn: psycopg.Connection) -> None:
    """Until the transaction ends, nobody else who asks likewise changes roles. Only in the maintenance database."""
    conn.execute("select pg_advisory_xact_lock(%s)", [_ROLES_LOCK])


def run_file(conn: psycopg.Connection, path: Path) -> None:
    """Run a whole SQL file in the connection's present transaction; an error is noted with the file's name."""
    try:
        conn.execute(path.read_bytes())
    except psycopg.Error as error:
        error.add_note(f"in {path.name}")
        raise
