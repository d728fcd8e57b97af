"""What a pooler says in PostgreSQL's name of a connection that it ends."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from soldt_outbox.database import PASSING, AsyncDatabase, Connection


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", 4 + len(body)) + body


def _error(severity: str) -> bytes:
    fields = {"S": severity, "V": severity, "C": "XX000", "M": "Unable to check out process from the pool"}
    body = b"".join(code.encode() + text.encode() + b"\0" for code, text in fields.items())
    return _message(b"E", body + b"\0")


@asynccontextmanager
async def _pooler(severity: str) -> AsyncIterator[AsyncDatabase]:
    """Lets anybody in, and answers the first statement with an internal error of this severity."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = struct.unpack("!I", await reader.readexactly(4))[0]
        await reader.readexactly(size - 4)
        writer.write(_message(b"R", struct.pack("!I", 0)) + _message(b"Z", b"I"))
        await reader.read(1)
        writer.write(_error(severity) + (_message(b"Z", b"I") if severity == "ERROR" else b""))
        await writer.drain()
        if severity == "ERROR":
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
        f"postgresql://anyone@127.0.0.1:{port}/any?sslmode=disable&gssencmode=disable",
        connection_class=Connection,
        kwargs={"autocommit": True, "row_factory": dict_row},
        min_size=1,
        max_size=1,
        open=False,
    )
    async with server, pool:
        yield AsyncDatabase(pool, None)


async def test_a_connection_that_a_pooler_ends_as_an_internal_error_is_waited_for() -> None:
    async with _pooler("FATAL") as database:
        with pytest.raises(PASSING) as told:
            await database.run("any_credential")
    assert isinstance(told.value, psycopg.OperationalError)
    assert isinstance(told.value.__cause__, psycopg.errors.InternalError_)


async def test_an_internal_error_of_a_statement_does_not_pass() -> None:
    async with _pooler("ERROR") as database:
        with pytest.raises(psycopg.errors.InternalError_):
            await database.run("any_credential")
