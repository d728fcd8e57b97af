"""The merchants a benchmark works with: connected, each with a key of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

from sandbox.world import Database
from soldt_outbox.credentials import KeyRing

_NAMESPACE: Final = UUID("6b7b3f56-5a0f-4d0a-9f0a-2f6d1f9b9a11")


def merchant_id(number: int) -> UUID:
    """The id of merchant ``number``, whose slug is ``bench-<number>``: the same in every run."""
    return uuid5(_NAMESPACE, str(number))


def connect_merchants(
    database: Database, ring: str, count: int, *, new_key: Callable[[], str] | None = None
) -> dict[UUID, str]:
    """Insert and connect merchants 0 to ``count`` - 1; the API key of each, in that order.

    Args:
        database: SOLDT's tables and this project's, without these merchants.
        ring: the encryption keys, as ``KeyRing.generate`` writes them.
        count: how many.
        new_key: makes a key that the receiver knows; by default one that only looks like a key, which does for a
            receiver that reads none.
    """
    keys = KeyRing.parse(ring)
    connected = {}
    with database.connect(database.superuser) as conn:
        owner = conn.execute("select owner_id from public.merchants limit 1").fetchone()
        if owner is None:
            raise RuntimeError(f"{database.name} holds no merchant whose owner could own the benchmark's")
        for number in range(count):
            merchant, key = merchant_id(number), new_key() if new_key else f"bench-key-{number}"
            conn.execute(
                "insert into public.merchants (id, owner_id, store_name, slug) values (%s, %s, %s, %s)",
                [merchant, owner[0], f"Bench {number}", f"bench-{number}"],
            )
            conn.execute(
                "insert into public.integrations_omnisend (merchant_id, api_key_enc) values (%s, %s)",
                [merchant, keys.encrypt(key, merchant_id=merchant, column="api_key_enc")],
            )
            connected[merchant] = key
    return connected
