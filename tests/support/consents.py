"""Consents in a test's database: recorded, listed, and what holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from sandbox.shops import PROTEA, Shop
from sandbox.world import Database
from soldt_outbox.omnisend.mapping import read_consents
from soldt_outbox.omnisend.mapping.contacts import ConsentState
from soldt_outbox.sql import queries

NOMSA = "nomsa@example.com"
PHONE = "+27821234567"


def synchronise(database: Database, shop: Shop = PROTEA, *, status: str = "connected") -> None:
    """Connect a shop that has its contacts told."""
    with database.connect() as conn:
        conn.execute(
            "insert into public.integrations_omnisend (merchant_id, status, sync_contacts) values (%s, %s, true)",
            [shop.merchant_id, status],
        )


def record(conn: psycopg.Connection[Any], identifier: str = NOMSA, **more: Any) -> int | None:
    """Call the public function with arguments by name; others have its defaults."""
    arguments: dict[str, Any] = {
        "p_merchant_id": PROTEA.merchant_id,
        "p_channel": "sms" if identifier.startswith("+") else "email",
        "p_identifier": identifier,
    } | more
    named = ", ".join(f"{name} => %({name})s" for name in arguments)
    adapted = {
        name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in arguments.items()
    }
    found = conn.execute(f"select public.omnisend_record_consent({named})", adapted).fetchone()  # type: ignore[arg-type]
    assert found is not None
    return found[0]


def consents(database: Database, shop: Shop = PROTEA) -> list[dict[str, Any]]:
    """The rows of a shop, in the order in which they were written."""
    with database.connect() as conn:
        return (
            conn.cursor(row_factory=dict_row)
            .execute(
                "select * from public.integrations_omnisend_consents where merchant_id = %s order by id",
                [shop.merchant_id],
            )
            .fetchall()
        )


def state(database: Database, identifier: str = NOMSA, shop: Shop = PROTEA) -> ConsentState | None:
    """What the worker reads."""
    channel = "sms" if identifier.startswith("+") else "email"
    with database.connect("omnisend_worker") as worker:
        rows = (
            worker.cursor(row_factory=dict_row)
            .execute(
                queries["consent_states"],
                {"merchants": [shop.merchant_id], "channels": [channel], "identifiers": [identifier]},
            )
            .fetchall()
        )
    return read_consents(rows).get(shop.merchant_id, {}).get((channel, identifier))


def ago(conn: psycopg.Connection[Any], interval: str) -> datetime:
    """An instant by the database's clock."""
    found = conn.execute("select now() - %s::interval", [interval]).fetchone()
    assert found is not None
    return found[0]  # type: ignore[no-any-return]
