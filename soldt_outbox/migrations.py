"""Applying ``supabase/migrations`` without the Supabase CLI, with the same history table, so that both can be used."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors

from soldt_outbox.errors import SchemaError

_FILE_NAME: Final = re.compile(r"^([0-9]+)_(.*)\.sql$")
_LOCK: Final = 0x50_4C_44_54_6F_62  # any fixed number: two deploys must not migrate at once
_LOCK_TRIES: Final = 6  # a migration gives up its locks after 4 s; busy tables are tried again this often

_HISTORY: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of ``supabase/migrations``."""

    version: str
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Every migration in order: those beside the code in a checkout, those packed with it in a wheel."""
    checkout = Path(__file__).parent.parent / "supabase" / "migrations"
    folder = checkout if checkout.is_dir() else resources.files("soldt_outbox") / "_migrations"
    found = [
        Migration(version=match[1], name=match[2], sql=file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := _FILE_NAME.match(file.name))
    ]
    return sorted(found, key=lambda migration: migration.version)


def pending_migrations(conn: psycopg.Connection) -> list[Migration]:
    """Those that the database's history does not hold."""
    row = conn.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    applied: set[str] = set()
    if row is not None and row[0]:
        applied = {
            version
            for (version,) in conn.execute("select version from supabase_migrations.schema_migrations")
        }
    return [migration for migration in migrations() if migration.version not in applied]


def apply_migrations(conn: psycopg.Connection) -> list[str]:
    """Apply what is missing, each file with its history row in one transaction. Returns the names applied.

    ``conn`` belongs to a role that may create tables (on Supabase ``postgres``) and is in no transaction.
    Raises ``SchemaError`` with the database's sentence where a migration refuses to run.
    """
    with conn.transaction():
        conn.execute(_HISTORY)
    return [f"{m.version}_{m.name}" for m in pending_migrations(conn) if _apply(conn, m)]


def _apply(conn: psycopg.Connection, migration: Migration) -> bool:
    for attempt in range(1, _LOCK_TRIES + 1):
        try:
            with conn.transaction():
                conn.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
                known = conn.execute(
                    "select 1 from supabase_migrations.schema_migrations where version = %s",
                    [migration.version],
                ).fetchone()
                if known is not None:  # another deploy was faster
                    return False
                conn.execute(migration.sql)
                conn.execute(
                    "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
                    [migration.version, [migration.sql], migration.name],
                )
        except errors.LockNotAvailable:
            if attempt == _LOCK_TRIES:
                raise SchemaError(
                    f"{migration.name}: a table stayed locked through {_LOCK_TRIES} tries; nothing was changed, run it again when the shop is calmer"
                ) from None
            time.sleep(attempt)
        except psycopg.Error as error:
            raise SchemaError(f"{migration.name}: {error.diag.message_primary or error}") from error
        else:
            return True
    return False
