"""From settings to a database to work with, and the errors of getting there as sentences."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeVar

import psycopg
import typer

from cli.terminal import Exit, Failure
from soldt_outbox.administration.merchants import Merchant, find_merchant
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase, connection_options, open_database
from soldt_outbox.errors import ConfigurationError
from soldt_outbox.settings import Settings
from soldt_outbox.store import Budget, Store

T = TypeVar("T")
_APPLICATION = "soldt-outbox-cli"

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
MerchantOption = Annotated[
    str | None,
    typer.Option("--merchant", metavar="ID_OR_SLUG", help="Only this merchant, by id or slug."),
]
MerchantNeeded = Annotated[
    str, typer.Option("--merchant", metavar="ID_OR_SLUG", help="The merchant, by id or slug.")
]


def load_settings() -> Settings:
    """The settings; where DATABASE_URL is missing, how to set it. Raises ``ConfigurationError``."""
    try:
        return Settings.load()
    except ConfigurationError as error:
        if "DATABASE_URL is not set" in str(error):
            raise ConfigurationError(
                f"{error} Set it in the environment or in .env: DATABASE_URL=postgresql://user:password@host:5432/postgres "
                "(Supabase: Connect, Session pooler; on Heroku: `heroku config:set DATABASE_URL=…`)."
            ) from None
        raise


def key_ring(settings: Settings) -> KeyRing:
    """The encryption keys of the environment. Raises ``KeyRingError``."""
    return KeyRing.parse(settings.outbox_encryption_keys.get_secret_value())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    # psycopg cannot use the loop that Windows has by default.
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


@asynccontextmanager
async def outbox(settings: Settings) -> AsyncIterator[AsyncDatabase]:
    """The database, under the worker's role, its schema checked.

    Connects once by itself first: a pool would try for fifteen seconds, and not say what is wrong.
    """
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    url = settings.database_url.get_secret_value()
    with unreachable_in_words():
        probe = await psycopg.AsyncConnection.connect(**connection_options(url), autocommit=True)
        await probe.close()
    with silent_in_words():
        async with open_database(url, application_name=_APPLICATION, max_size=1) as database:
            await Store(database, budget=Budget.below(settings.omnisend_requests_per_minute)).check_schema()
            yield database


@contextmanager
def owner_connection(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection in autocommit as whoever DATABASE_URL logs in, for what changes the schema."""
    options = connection_options(settings.database_url.get_secret_value())
    with unreachable_in_words():
        conn = psycopg.connect(
            **options, autocommit=True, prepare_threshold=None, application_name=_APPLICATION
        )
    with conn:
        yield conn


@contextmanager
def unreachable_in_words() -> Iterator[None]:
    """A database that cannot be reached, as one sentence."""
    try:
        yield
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise Failure(f"the database of DATABASE_URL cannot be reached: {reason}", Exit.USAGE) from None


@contextmanager
def silent_in_words() -> Iterator[None]:
    """A database that answers no more, as one sentence."""
    try:
        yield
    except TimeoutError:
        raise Failure(
            "the database of DATABASE_URL stopped answering: run the command again, since it may not have done everything",
            Exit.USAGE,
        ) from None


async def chosen_merchant(database: AsyncDatabase, named: str | None) -> Merchant | None:
    """The merchant named, if one is. Raises ``UnknownMerchant``."""
    return await find_merchant(database, named) if named is not None else None
