"""Moving the plaintext keys of SOLDT's earlier integration into ``api_key_enc``, and dropping their column.

Needs the owner of the tables (on Supabase ``postgres``), hence a connection of its own and not the worker's role.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from soldt_outbox.administration.merchants import API_KEY_COLUMN
from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import CannotDecrypt, CredentialError, SchemaError
from soldt_outbox.sql import queries

PAGE: Final = 200
_DROP_TRIES: Final = 5  # the earlier integration may save a key while the others are being moved

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """``moved`` plaintext keys are now ciphertexts; ``dropped`` is false where the column had gone before."""

    moved: int
    verified: int
    dropped: bool


def encrypt_credentials(
    conn: psycopg.Connection[Any], keys: KeyRing, progress: Progress = lambda _: None
) -> Encrypted:
    """Encrypt every plaintext key, check that each ciphertext opens, then drop the column. Safe to repeat.

    ``conn`` is the owner's, in autocommit. A merchant that was connected anew since keeps its newer key.
    Raises ``CredentialError`` where a stored ciphertext does not open; the column stays then. Raises
    ``SchemaError`` where the tables are missing, or another's.
    """
    try:
        if not _one(conn, "plaintext_keys")["present"]:
            return Encrypted(moved=0, verified=_verify_all(conn, keys, progress), dropped=False)
        moved = 0
        for _ in range(_DROP_TRIES):
            moved = _move_all(conn, keys, progress, already=moved)
            verified = _verify_all(conn, keys, progress)
            if _drop(conn):
                return Encrypted(moved=moved, verified=verified, dropped=True)
    except errors.UndefinedTable:
        raise SchemaError("the outbox's tables are missing: run `soldt-outbox migrate`") from None
    except errors.InsufficientPrivilege:
        raise SchemaError("this needs the owner of the tables: let DATABASE_URL log in as postgres") from None
    raise SchemaError(
        "plaintext keys kept arriving, or the table stayed locked: stop the earlier integration and run this again; "
        "what was encrypted stays encrypted"
    )


def _move_all(conn: psycopg.Connection[Any], keys: KeyRing, progress: Progress, *, already: int) -> int:
    moved = already
    while page := _move_page(conn, keys):
        moved += page
        progress(f"{moved:,} keys encrypted")
    return moved


def _move_page(conn: psycopg.Connection[Any], keys: KeyRing) -> int:
    with conn.transaction():
        rows = _rows(conn, "plaintext_page", {"limit": PAGE})
        for row in rows:
            merchant_id, api_key = row["merchant_id"], row["api_key"].strip()
            sealed = keys.encrypt(api_key, merchant_id=merchant_id, column=API_KEY_COLUMN)
            if keys.decrypt(sealed, merchant_id=merchant_id, column=API_KEY_COLUMN) != api_key:
                raise CredentialError(f"merchant {merchant_id}: encrypting its key did not give it back")
            conn.execute(queries["encrypt_one"], {"merchant_id": merchant_id, "api_key_enc": sealed})
    return len(rows)


def _verify_all(conn: psycopg.Connection[Any], keys: KeyRing, progress: Progress) -> int:
    """Open every stored API key, as read back from the database. Raises ``CredentialError`` for the first that does not."""
    verified, after = 0, UUID(int=0)
    while page := _rows(conn, "credentials_page", {"after": after, "limit": PAGE}):
        for row in page:
            if row["api_key_enc"] is not None:
                _verify(keys, row["merchant_id"], row["api_key_enc"])
                verified += 1
        after = page[-1]["merchant_id"]
        progress(f"{verified:,} stored keys checked")
    return verified


def _verify(keys: KeyRing, merchant_id: UUID, sealed: str) -> None:
    try:
        keys.decrypt(sealed, merchant_id=merchant_id, column=API_KEY_COLUMN)
    except CannotDecrypt as error:
        raise CredentialError(
            f"merchant {merchant_id}: {error}; the plaintext column was not dropped"
        ) from None


def _drop(conn: psycopg.Connection[Any]) -> bool:
    """Drop the column under a lock, unless a plaintext key has come in since."""
    try:
        with conn.transaction():
            conn.execute("set local lock_timeout = '4s'")
            conn.execute("lock table public.integrations_omnisend in access exclusive mode")
            if _one(conn, "plaintext_left")["left_over"]:
                return False
            conn.execute(queries["drop_plaintext"])
    except errors.LockNotAvailable:
        return False
    return True


def _rows(
    conn: psycopg.Connection[Any], name: str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries[name], parameters).fetchall()


def _one(conn: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    return _rows(conn, name)[0]
