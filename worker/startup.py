"""What must hold before the first row is claimed; each failure is a sentence that says what to do."""

from __future__ import annotations

import os
import secrets

import psycopg
import structlog

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import ConfigurationError, CredentialError
from soldt_outbox.settings import Settings
from soldt_outbox.store import Store

log = structlog.get_logger()


def new_worker_id() -> str:
    """A name that no boot shares: platforms give a restarted dyno its old name back."""
    host = os.environ.get("DYNO") or "worker"
    return f"{host[:40]}-{secrets.token_hex(4)}"


async def check(store: Store, keys: KeyRing) -> None:
    """Raises ``SchemaError`` for missing or older tables, ``ConfigurationError`` for keys that open nothing."""
    await store.check_schema()
    stored = await store.any_credential()
    if stored is not None:
        merchant_id, column, ciphertext = stored
        try:
            keys.decrypt(ciphertext, merchant_id=merchant_id, column=column)
        except CredentialError as error:
            raise ConfigurationError(
                f"OUTBOX_ENCRYPTION_KEYS does not open what the database holds: {error}. Set the keys it was encrypted with."
            ) from None
    if await store.plaintext_keys():
        log.warning("plaintext API keys are still stored: run `soldt-outbox encrypt-credentials`")


def unreachable(settings: Settings, error: Exception) -> ConfigurationError:
    """A sentence for a database that cannot be reached, without its password."""
    try:
        info = psycopg.conninfo.conninfo_to_dict(settings.database_url.get_secret_value())
        where = f"{info.get('host', 'the local socket')}:{info.get('port', 5432)}"
    except psycopg.ProgrammingError:
        where = "DATABASE_URL"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ConfigurationError(
        f"cannot reach the database at {where} ({reason}); check DATABASE_URL and the network"
    )
