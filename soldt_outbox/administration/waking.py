"""Whether an event's commit notifies the workers: a trigger that is there, and enabled or not."""

from __future__ import annotations

from typing import Final

import psycopg

from soldt_outbox.errors import SchemaError
from soldt_outbox.sql import queries

LOCK_TIMEOUT: Final = "4s"


def wake_ups(conn: psycopg.Connection) -> bool:
    """Whether they are switched on. Raises ``SchemaError`` where the tables are missing or older."""
    row = conn.execute(queries["wake_ups"]).fetchone()
    if row is None:
        raise SchemaError("the outbox's tables are missing or older than this: run `soldt-outbox migrate`")
    return bool(row[0])


def switch_wake_ups(conn: psycopg.Connection, *, on: bool) -> bool:
    """Switch them, as the tables' owner; what they are now.

    Raises ``psycopg.errors.LockNotAvailable`` where no moment without writers came within four seconds.
    """
    if wake_ups(conn) != on:
        with conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
            conn.execute(queries["enable_wake_ups" if on else "disable_wake_ups"])
    return wake_ups(conn)
