"""Connections that work in every mode: direct, Supabase's session pooler, and its transaction pooler.

In transaction mode a session is nobody's own: no prepared statements, no session settings. So each statement runs in
a transaction of its own that first takes the worker's role and a time-out, sent in one round trip.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, LiteralString, TypeVar

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import AsyncRowFactory, DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from soldt_outbox.errors import ConfigurationError
from soldt_outbox.json_objects import decode, encode
from soldt_outbox.rows import Unreadable
from soldt_outbox.sql import queries

_Row = TypeVar("_Row")
Statement = tuple[str, Mapping[str, Any]]
"""The name of a statement (see ``soldt_outbox.sql``) and its parameters."""

WORKER_ROLE: Final = "omnisend_worker"
STATEMENT_TIMEOUT: Final = timedelta(seconds=15)
# The server ends a statement by its own clock; this ends the wait for a server, or a pooler, that is silent.
SILENCE_TIMEOUT: Final = STATEMENT_TIMEOUT + timedelta(seconds=10)
IDLE_CHECK: Final = timedelta(seconds=5)

#: What a database out of reach, a restart, a time-out, a deadlock or a full disk looks like: worth waiting for.
PASSING: Final = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction, TimeoutError)
_CONNECTION_ENDED: Final = frozenset({"FATAL", "PANIC"})

_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_WEAK_TLS: Final = frozenset({"disable", "allow", "prefer"})


def connection_options(url: str) -> dict[str, Any]:
    """What ``url`` says, with keep-alives and time-outs.

    Raises ``ConfigurationError`` for a URL that cannot be read, or that would send data over a network unencrypted.
    """
    try:
        options = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "DATABASE_URL is not a PostgreSQL URL (postgresql://user:password@host:port/database)"
        ) from None
    host = str(options.get("host") or "")
    local = host in ("", "localhost", "::1") or host.startswith(("/", "127."))
    if not local:
        mode = str(options.setdefault("sslmode", "require"))
        if mode in _WEAK_TLS:
            raise ConfigurationError(
                f"DATABASE_URL asks for sslmode={mode} to another machine; use require or verify-full"
            )
    return _CONNECT | options


def loads_or_unreadable(text: str | bytes) -> Any:
    """JSON, or ``Unreadable``: one row's odd payload must not keep the rows beside it from being read."""
    try:
        return decode(text)
    except RecursionError:
        return Unreadable("is nested too deeply")
    except (msgspec.MsgspecError, ValueError) as error:
        return Unreadable(f"cannot be read as JSON ({error})")


def statement_failed(error: BaseException) -> bool:
    """Whether it is the statement that was too much: for its time, or for a limit of PostgreSQL's (SQLSTATE class 54).

    psycopg counts both among what passes. Run again, such a statement mostly fails again.
    """
    return isinstance(error, psycopg.errors.QueryCanceled) or (
        isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("54")
    )


def passes(error: BaseException) -> bool:
    """Whether to wait and try again: ``PASSING``, but for a statement that would mostly fail again."""
    return isinstance(error, PASSING) and not statement_failed(error)


async def _configure(conn: psycopg.AsyncConnection[Any]) -> None:
    set_json_loads(loads_or_unreadable, conn)
    set_json_dumps(encode, conn)
    conn.prepare_threshold = None


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection that knows when it was last of use."""

    last_used = -math.inf


async def _check_if_idle(conn: Connection) -> None:
    """Ask before use whether a connection still lives, unless it did a moment ago.

    A round trip for each statement would be paid for ever, against a failure that is waited out anyway.
    """
    if time.monotonic() - conn.last_used > IDLE_CHECK.total_seconds():
        await AsyncConnectionPool.check_connection(conn)


@dataclass(frozen=True, slots=True)
class AsyncDatabase:
    """A small pool, and every statement in a transaction of its own under the worker's role."""

    pool: AsyncConnectionPool[Connection]
    role: str | None

    async def run(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, before: Sequence[Statement] = ()
    ) -> list[DictRow]:
        """The rows of the named statement (see ``soldt_outbox.sql``), after those ``before`` in the same transaction.

        Raises ``TimeoutError`` where nobody answers: a connection that a firewall forgot says nothing for ever.
        """
        return await self.run_as(dict_row, name, parameters, before=before)

    async def run_as(
        self,
        row_factory: AsyncRowFactory[_Row],
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        before: Sequence[Statement] = (),
    ) -> list[_Row]:
        """The same, with rows of another make."""
        async with asyncio.timeout(SILENCE_TIMEOUT.total_seconds()):
            async with self.transaction() as conn:
                for other, its_parameters in before:
                    await conn.execute(queries[other], its_parameters)
                cursor = conn.cursor(row_factory=row_factory)
                await cursor.execute(queries[name], parameters)
            return await cursor.fetchall() if cursor.description is not None else []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One pipelined transaction: what it executes can be fetched when it is over.

        Raises ``psycopg.OperationalError`` wherever the server ended the connection. Supavisor says so, of a database that
        restarts or of a pool that is exhausted, with the SQLSTATE of an internal error, which would not pass.
        """
        try:
            async with self.pool.connection() as conn, conn.pipeline(), conn.transaction():
                await conn.execute(_prologue(self.role), [str(int(STATEMENT_TIMEOUT.total_seconds() * 1000))])
                yield conn
                conn.last_used = time.monotonic()
        except psycopg.InternalError as error:
            if (error.diag.severity_nonlocalized or error.diag.severity) in _CONNECTION_ENDED:
                raise psycopg.OperationalError(f"the connection was ended ({error.sqlstate})") from error
            raise

    async def close(self) -> None:
        await self.pool.close()


def _prologue(role: str | None) -> LiteralString:
    if role is None:
        return "select set_config('statement_timeout', %s, true)"
    # A literal and no parameter: there is one role.
    return "select set_config('role', 'omnisend_worker', true), set_config('statement_timeout', %s, true)"


@asynccontextmanager
async def open_database(
    url: str, *, application_name: str, max_size: int = 3
) -> AsyncIterator[AsyncDatabase]:
    """Connect, and find out whether the worker's role must be taken.

    Raises ``psycopg.OperationalError`` where the database cannot be reached, and
    ``ConfigurationError`` where the login may not act as the worker.
    """
    options = connection_options(url) | {"application_name": application_name}
    role = await _role_to_take(
        options
    )  # and a sentence of the server's, where it cannot be reached: a pool has none
    pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
        connection_class=Connection,
        kwargs=options | {"autocommit": True, "row_factory": dict_row},
        min_size=1,
        max_size=max_size,
        max_idle=300,
        max_lifetime=1800,
        timeout=10,
        configure=_configure,
        check=_check_if_idle,
        open=False,
    )
    await pool.open(wait=True, timeout=15)
    try:
        yield AsyncDatabase(pool, role)
    finally:
        await pool.close()


async def _role_to_take(options: Mapping[str, Any]) -> str | None:
    """The worker's role where the login is another one that may take it."""
    async with await psycopg.AsyncConnection.connect(
        **options, autocommit=True, row_factory=dict_row, prepare_threshold=None
    ) as conn:
        cursor = await conn.execute(queries["who_am_i"])
        who = await cursor.fetchone()
    assert who is not None  # noqa: S101 - the statement has one row
    if who["role_exists"] and not who["may_become_worker"]:
        raise ConfigurationError(
            f"{who['login']} may not act as {WORKER_ROLE}: `grant {WORKER_ROLE} to {who['login']}`, or log in as a role that may"
        )
    return WORKER_ROLE if who["role_exists"] and not who["is_worker"] else None
