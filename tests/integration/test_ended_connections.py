"""What a pooler says in PostgreSQL's name of a connection that it ends."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import psycopg
import pytest
from psycopg.pq import DiagnosticField
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from soldt_outbox.database import PASSING, AsyncDatabase, Connection


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", 4 + len(body)) + body


async def _body(reader: asyncio.StreamReader) -> bytes:
    size = struct.unpack("!I", await reader.readexactly(4))[0]
    return await reader.readexactly(size - 4)


def _error(severity: str) -> bytes:
    fields = {"S": severity, "V": severity, "C": "XX000", "M": "Unable to check out process from the pool"}
    body = b"".join(code.encode() + text.encode() + b"\0" for code, text in fields.items())
    return _message(b"E", body + b"\0")


_DONE = {
    b"P": _message(b"1", b""),
    b"B": _message(b"2", b""),
    b"D": _message(b"n", b""),
    b"E": _message(b"C", b"OK\0"),
}
_READY = _message(b"Z", b"I")


@asynccontextmanager
async def _pooler(severity: str, *, closes_after_s: float = 0) -> AsyncIterator[AsyncDatabase]:
    """Lets anybody in, and answers the first statement with an internal error of this severity. A fatal one ends the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _body(reader)
        writer.write(_message(b"R", struct.pack("!I", 0)) + _READY)
        told = skipping = False
        while kind := await reader.read(1):
            await _body(reader)
            if kind == b"S":
                skipping = False
                writer.write(_READY)
            elif not told:
                told = skipping = True
                writer.write(_error(severity))
                if severity == "FATAL":
                    await asyncio.sleep(closes_after_s)
                    return
            elif not skipping:
                writer.write(_DONE.get(kind, b""))

    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

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
    async with server:
        async with pool:
            yield AsyncDatabase(pool, None)
        await asyncio.gather(*served, return_exceptions=True)


@pytest.mark.parametrize("closes_after_s", [0, 0.3], ids=["at once", "a moment later"])
async def test_a_connection_that_a_pooler_ends_as_an_internal_error_is_waited_for(
    closes_after_s: float,
) -> None:
    """Where it is closed at once, psycopg sees that first."""
    async with _pooler("FATAL", closes_after_s=closes_after_s) as database:
        with pytest.raises(PASSING):
            await database.run("any_credential")


async def test_so_is_one_whose_words_arrive_before_its_end() -> None:
    """Which of the two psycopg sees first is a race."""

    class Pool:
        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Connection]:
            said = {DiagnosticField.SEVERITY_NONLOCALIZED: b"FATAL", DiagnosticField.SQLSTATE: b"XX000"}
            raise psycopg.errors.InternalError_("Unable to check out process", info=said)
            yield

    with pytest.raises(psycopg.OperationalError, match="XX000"):
        await AsyncDatabase(Pool(), None).run("any_credential")  # type: ignore[arg-type]


async def test_an_internal_error_of_a_statement_does_not_pass() -> None:
    async with _pooler("ERROR") as database:
        with pytest.raises(psycopg.errors.InternalError_):
            await database.run("any_credential")
