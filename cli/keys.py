"""``keygen``, ``rotate-keys`` and ``encrypt-credentials``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from cli.session import JsonOption, key_ring, load_settings, outbox, owner_connection, run
from cli.terminal import Exit, answer, answer_json, progress, say
from soldt_outbox.administration.merchants import slugs
from soldt_outbox.administration.plaintext import encrypt_credentials
from soldt_outbox.administration.rotation import Rotated, rotate
from soldt_outbox.credentials import KeyRing
from soldt_outbox.settings import Settings


def keygen_command(
    *,
    key_id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="KID", help="The key's id, 1 to 32 of A-Z a-z 0-9 _ -. Today's date if not given."
        ),
    ] = None,
) -> None:
    """Make an encryption key for merchants' credentials.

    The last line of stdout is a value for OUTBOX_ENCRYPTION_KEYS, and what is said beside it goes to stderr. Needs no database and no settings, and stores nothing. Keep the key where you keep other secrets: without it the
    stored credentials are lost, and every merchant has to be connected again.

    Examples:
      soldt-outbox keygen
      soldt-outbox keygen --id k2
      export OUTBOX_ENCRYPTION_KEYS="$(soldt-outbox keygen | tail -n 1)"

    Exit codes: 0 made; 2 a malformed id.
    """
    made = KeyRing.generate(key_id if key_id is not None else f"k{datetime.now(UTC):%Y%m%d}")
    say(
        "A value for OUTBOX_ENCRYPTION_KEYS. Keep it secret and keep a copy: without it stored credentials cannot be opened."
    )
    say(
        "To replace a key: put this one first, a comma, then the old value; restart; `soldt-outbox rotate-keys`; drop the old one."
    )
    answer(made)


def rotate_keys_command(*, as_json: JsonOption = False) -> None:
    """Re-encrypt every stored credential that another key than the first one encrypted.

    First put the new key in front of OUTBOX_ENCRYPTION_KEYS, the old one behind it, and restart the workers, so that
    each can open both. Then run this; it works page by page, beside running workers, and may be interrupted and
    repeated. When it says that nothing is left, the old key may go.

    Examples:
      soldt-outbox rotate-keys
      OUTBOX_ENCRYPTION_KEYS="k2:…,k1:…" soldt-outbox rotate-keys --json

    Exit codes: 0 everything is under the first key; 1 some credentials open with no key of the ring (it names the
    merchants): keep the old key, or connect them again; 2 a wrong setting, no database, no tables.
    """
    settings = load_settings()
    done, names = run(_rotate(settings, key_ring(settings)))
    if as_json:
        answer_json(done)
    else:
        answer(
            f"{done.replaced:,} re-encrypted with key {done.key_id}, {done.already:,} already were, "
            f"{len(done.unreadable):,} could not be opened"
        )
    for merchant_id, why in done.unreadable.items():
        say(f"{names.get(merchant_id, merchant_id)}: {why}")
    if done.unreadable:
        raise typer.Exit(Exit.WRONG)


async def _rotate(settings: Settings, keys: KeyRing) -> tuple[Rotated, dict[UUID, str]]:
    async with outbox(settings) as database:
        with progress("re-encrypting credentials") as word:
            done = await rotate(database, keys, word)
        return done, await slugs(database, done.unreadable)


def encrypt_credentials_command(*, as_json: JsonOption = False) -> None:
    """Encrypt the plaintext keys that SOLDT's earlier integration stored, then drop their column.

    Run it once, after `migrate`, with DATABASE_URL as the tables' owner (on Supabase `postgres`). Page by page; every
    ciphertext is read back and opened before the column goes; interrupted or repeated it does no harm. A merchant that
    was connected anew since keeps its newer key.

    The old values can still be in backups, and on disk until the table is vacuumed: revoke those keys in Omnisend and
    connect with new ones where that matters.

    Examples:
      soldt-outbox migrate && soldt-outbox encrypt-credentials
      soldt-outbox encrypt-credentials --json

    Exit codes: 0 no plaintext is left; 1 a stored credential does not open, the column was kept; 2 a wrong setting, no
    database, no tables, not their owner.
    """
    settings = load_settings()
    keys = key_ring(settings)
    with owner_connection(settings) as conn, progress("encrypting plaintext keys") as word:
        done = encrypt_credentials(conn, keys, word)
    if as_json:
        answer_json(done)
    elif done.dropped:
        answer(
            f"{done.moved:,} keys encrypted, {done.verified:,} stored keys checked, the plaintext column is gone"
        )
        say("To clear the old values from disk at a quiet moment: vacuum full public.integrations_omnisend")
    else:
        answer(f"nothing to do: there is no plaintext column; {done.verified:,} stored keys checked")
