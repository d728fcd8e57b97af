"""Deleting what is past its retention, in batches: safe while workers run, and to interrupt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from soldt_outbox.database import AsyncDatabase

BATCH: Final = 5_000  # rows a statement: some tens of milliseconds, so that nobody waits for the locks

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many settled rows and log rows were, or would be, deleted."""

    outbox: int
    logs: int


async def prunable(database: AsyncDatabase, *, retention: timedelta, log_retention: timedelta) -> Pruned:
    """What `prune` would delete."""
    row = (await database.run("prunable", {"retention": retention, "log_retention": log_retention}))[0]
    return Pruned(outbox=row["outbox"], logs=row["logs"])


async def prune(
    database: AsyncDatabase,
    *,
    retention: timedelta,
    log_retention: timedelta,
    progress: Progress = lambda _: None,
) -> Pruned:
    """Delete settled rows and log rows past their retention.

    Copies of orders that nobody is told any more, and authorizations that have run out, go with them without a count.
    """
    outbox, after = 0, 0
    while rows := await database.run(
        "prune_outbox", {"retention": retention, "after": after, "limit": BATCH}
    ):
        outbox += len(rows)
        after = max(row["id"] for row in rows)
        progress(f"{outbox:,} settled rows deleted")
    await forget_kept_orders(database)
    await database.run("forget_authorizations")
    logs = 0
    while rows := await database.run("prune_logs", {"retention": log_retention, "limit": BATCH}):
        logs += len(rows)
        progress(f"{outbox:,} settled rows and {logs:,} log rows deleted")
    return Pruned(outbox=outbox, logs=logs)


async def forget_kept_orders(database: AsyncDatabase) -> None:
    """Remove copies of placed orders that no row is to tell any more."""
    while (await database.run("forget_kept_orders", {"limit": BATCH}))[0]["forgotten"] == BATCH:
        pass
