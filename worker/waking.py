"""Being woken by the database when an event commits, where an operator switched that on. Polling goes on regardless.

A notification is a hint: one that is lost costs a poll's wait and nothing else. What must not happen is a listener that
believes it listens and does not: a connection that a firewall forgot reports nothing, and a pooler in transaction mode takes
LISTEN and forgets it. So now and then the listener has itself notified over another connection (over its own, a pooler
in transaction mode would hand it back), and where it does not hear that, it connects anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from psycopg import sql

from soldt_outbox.database import connection_options

log = structlog.get_logger()

#: Where omnisend_private.wake_workers() notifies, with the merchant's id.
CHANNEL: Final = "omnisend_outbox"
PROBE_EVERY_S: Final = 10.0
PROBE_ANSWERS_S: Final = 5.0
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 60.0


class Deaf(Exception):  # noqa: N818 - the connection is, and another is tried
    """The listener did not hear what it was notified of."""


class Listener:
    """Calls ``wake`` with the merchant for each notification, and with None when some may have been missed.

    ``notify`` notifies a channel of a word, over a connection that is not the listener's.
    """

    def __init__(
        self,
        url: str,
        wake: Callable[[UUID | None], None],
        *,
        notify: Callable[[str, str], Awaitable[None]],
        application_name: str,
        probe_every_s: float = PROBE_EVERY_S,
        probe_answers_s: float = PROBE_ANSWERS_S,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._options = connection_options(url) | {"application_name": f"{application_name}-listener"}
        self._wake = wake
        self._notify = notify
        self._probe_every_s = probe_every_s
        self._probe_answers_s = probe_answers_s
        self._first_wait_s = first_wait_s
        self._own_channel = f"omnisend_listener_{secrets.token_hex(8)}"
        self.listening = False

    async def run(self) -> None:
        """Listen until cancelled; where that fails, polling is all there is until it works again."""
        wait = self._first_wait_s
        while True:
            try:
                async with self._connected() as conn:
                    wait = self._first_wait_s
                    await self._listen(conn)
            except (psycopg.Error, OSError, TimeoutError, Deaf) as error:
                log.warning(
                    "not woken by the database for now, polling: is DATABASE_URL (or LISTEN_DATABASE_URL) a direct or session-mode connection?"
                    if isinstance(error, Deaf)
                    else "the listening connection is gone, polling",
                    error=type(error).__name__,
                    retry_in_s=wait,
                )
            await asyncio.sleep(wait)
            wait = min(MAX_WAIT_S, wait * 2)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        conn = await psycopg.AsyncConnection.connect(**self._options, autocommit=True, prepare_threshold=None)
        try:
            for channel in (CHANNEL, self._own_channel):
                await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            await self._probe(conn)
            self.listening = True
            log.info("woken by the database when an event commits")
            self._wake(None)  # whatever was missed
            yield conn
        finally:
            self.listening = False
            # Not `await conn.close()`: it may wait for a server that says nothing. The socket is dropped.
            conn.pgconn.finish()

    async def _listen(self, conn: psycopg.AsyncConnection[Any]) -> None:
        while True:
            await self._hear(conn, self._probe_every_s)
            await self._probe(conn)

    async def _probe(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Raises ``Deaf`` or ``TimeoutError`` where what is notified does not arrive."""
        word = secrets.token_hex(8)
        async with asyncio.timeout(2 * self._probe_answers_s):
            await self._notify(self._own_channel, word)
            if not await self._hear(conn, self._probe_answers_s, word):
                raise Deaf

    async def _hear(
        self, conn: psycopg.AsyncConnection[Any], seconds: float, word: str | None = None
    ) -> bool:
        """Wake for what comes in this time; ends at once, and truly, when ``word`` comes."""
        async for notification in conn.notifies(timeout=seconds):
            if notification.channel == CHANNEL:
                self._wake(_merchant(notification.payload))
            elif notification.payload == word:
                return True
        return False


def _merchant(payload: str) -> UUID | None:
    """Whose event it was. Anybody who may log in may notify: what is no id is a wake-up like any other."""
    try:
        return UUID(payload)
    except ValueError:
        return None
