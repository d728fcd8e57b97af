"""Re-encrypting what is stored after a new key was put first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import CannotDecrypt

CREDENTIAL_COLUMNS: Final = ("api_key_enc", "access_token_enc", "refresh_token_enc")
PAGE: Final = 200  # rows; a page takes some milliseconds here and some round trips there
_LOST_RACES: Final = 3  # a key saved at the very same moment wins; then the row is looked at again

Progress = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Rotated:
    """What rotation did. ``unreadable`` names merchants whose credential no key of the ring opens, and why."""

    key_id: str
    replaced: int = 0
    already: int = 0
    unreadable: dict[UUID, str] = field(default_factory=dict)


async def rotate(database: AsyncDatabase, keys: KeyRing, progress: Progress = lambda _: None) -> Rotated:
    """Re-encrypt every credential that another key than the first encrypted.

    Safe while workers run, since the ring opens both; safe to repeat and to interrupt; a key that is saved meanwhile
    stays. Page by page, so that no row is locked for longer than its own update.
    """
    result = Rotated(key_id=keys.primary)
    after = UUID(int=0)
    while page := await database.run("credentials_page", {"after": after, "limit": PAGE}):
        for row in page:
            await _rotate_row(database, keys, row, result)
        after = page[-1]["merchant_id"]
        progress(f"{result.replaced + result.already:,} merchants are under key {keys.primary}")
    return result


async def _rotate_row(database: AsyncDatabase, keys: KeyRing, row: dict[str, Any], result: Rotated) -> None:
    merchant_id: UUID = row["merchant_id"]
    for _ in range(_LOST_RACES):
        try:
            replaced = _re_encrypted(keys, row)
        except CannotDecrypt as error:
            result.unreadable[merchant_id] = str(error)
            return
        if replaced is None:
            result.already += 1
            return
        old = {f"old_{column}": row[column] for column in CREDENTIAL_COLUMNS}
        if await database.run("replace_credentials", {"merchant_id": merchant_id} | replaced | old):
            result.replaced += 1
            return
        again = await database.run("credentials_of", {"merchant_id": merchant_id})
        if not again:  # disconnected meanwhile
            return
        row = again[0]
    result.unreadable[merchant_id] = "was changed again and again meanwhile; run this once more"


def _re_encrypted(keys: KeyRing, row: dict[str, Any]) -> dict[str, str | None] | None:
    """The row's credentials under the first key; ``None`` where they already are. Raises ``CannotDecrypt``."""
    stored = {column: row[column] for column in CREDENTIAL_COLUMNS}
    if not any(value is not None and keys.needs_rotation(value) for value in stored.values()):
        return None
    merchant_id: UUID = row["merchant_id"]
    return {
        column: keys.encrypt(
            keys.decrypt(value, merchant_id=merchant_id, column=column),
            merchant_id=merchant_id,
            column=column,
        )
        if value is not None and keys.needs_rotation(value)
        else value
        for column, value in stored.items()
    }
