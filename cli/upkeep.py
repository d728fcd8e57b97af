"""``migrate``, ``wake-up`` and ``prune``."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import psycopg
import typer

from cli.session import JsonOption, load_settings, outbox, owner_connection, run
from cli.terminal import Exit, answer, answer_json, progress
from soldt_outbox.administration.retention import Pruned, prunable, prune
from soldt_outbox.administration.waking import switch_wake_ups, wake_ups
from soldt_outbox.errors import SchemaError
from soldt_outbox.migrations import apply_migrations, migrations, pending_migrations
from soldt_outbox.settings import Settings


def migrate_command(
    *,
    status: Annotated[
        bool, typer.Option("--status", help="Only show which migrations are applied and which are not.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make or update the outbox's tables: apply what is missing of `supabase/migrations`, in order.

    Uses the same history table as the Supabase CLI, so `supabase db push` and this can take turns. SOLDT's own tables
    must be there. Needs the tables' owner (on Supabase `postgres`). Each file is a transaction; a file that cannot get
    its locks within seconds gives way to the shop and tries again.

    Examples:
      soldt-outbox migrate
      soldt-outbox migrate --status
      DATABASE_URL="postgresql://postgres:…@…:5432/postgres" soldt-outbox migrate

    Exit codes: 0 up to date; 1 with --status: some are not applied; 2 a wrong setting, no database, or a migration
    that refused to run (nothing of it was changed).
    """
    with owner_connection(load_settings()) as conn:
        try:
            if status:
                applied, waiting = [], [f"{m.version}_{m.name}" for m in pending_migrations(conn)]
            else:
                with progress("applying migrations"):
                    applied, waiting = apply_migrations(conn), []
        except psycopg.errors.InsufficientPrivilege:
            raise SchemaError(
                "this needs the owner of the tables: let DATABASE_URL log in as postgres"
            ) from None
    if as_json:
        answer_json({"applied": applied, "pending": waiting})
    elif status:
        _print_status(set(waiting))
    else:
        for name in applied:
            answer(f"applied {name}")
        answer("the outbox's tables are up to date")
    if waiting:
        raise typer.Exit(Exit.WRONG)


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


def wake_up_command(
    switch: Annotated[
        Switch | None, typer.Argument(help="on or off; without it, only say how it stands.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Let an event's commit wake workers at once (WORKER_WAKE_UP=notify), or leave them to their polls (the default).

    Workers that poll see an event within 50 milliseconds while events arrive, and within a second when none did. Woken, they
    see it within some milliseconds; each order's commit pays for it (`python -m benchmarks writers` says how much). Needs
    the tables' owner (on Supabase `postgres`), and waits at most four seconds for a moment without writers.

    Examples:
      soldt-outbox wake-up
      soldt-outbox wake-up on

    Exit codes: 0 done; 2 a wrong setting, no database, or not the owner.
    """
    with owner_connection(load_settings()) as conn:
        conn.autocommit = True
        try:
            is_on = wake_ups(conn) if switch is None else switch_wake_ups(conn, on=switch is Switch.ON)
        except psycopg.errors.InsufficientPrivilege:
            raise SchemaError(
                "this needs the owner of the tables: let DATABASE_URL log in as postgres"
            ) from None
        except psycopg.errors.LockNotAvailable:
            raise SchemaError(
                "the outbox was in use for as long as this may wait; nothing was changed, try again"
            ) from None
    if as_json:
        answer_json({"wake_up": is_on})
    else:
        answer(
            "events wake the workers that listen (WORKER_WAKE_UP=notify)"
            if is_on
            else "events wake nobody: workers poll"
        )


def _print_status(waiting: set[str]) -> None:
    for migration in migrations():
        name = f"{migration.version}_{migration.name}"
        answer(f"{'pending' if name in waiting else 'applied'}  {name}")


def prune_command(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete settled rows and log rows past their retention, now. Workers do the same now and then.

    Settled rows (RETENTION_DAYS) are the ledger against duplicates: what is deleted may be written, and sent, again.
    Dead letters go with them, and with those what was to be sent. Log rows have LOG_RETENTION_DAYS. In batches, beside
    running workers; may be interrupted.

    Examples:
      soldt-outbox prune --dry-run
      soldt-outbox prune

    Exit codes: 0 done; 2 a wrong setting, no database, no tables.
    """
    done = run(_prune(load_settings(), dry_run=dry_run))
    if as_json:
        answer_json({"outbox": done.outbox, "logs": done.logs, "dry_run": dry_run})
        return
    verb = "would be deleted" if dry_run else "deleted"
    answer(f"{done.outbox:,} settled rows and {done.logs:,} log rows {verb}")


async def _prune(settings: Settings, *, dry_run: bool) -> Pruned:
    retention = timedelta(days=settings.retention_days)
    log_retention = timedelta(days=settings.log_retention_days)
    async with outbox(settings) as database:
        with progress("counting" if dry_run else "deleting") as word:
            if dry_run:
                return await prunable(database, retention=retention, log_retention=log_retention)
            return await prune(database, retention=retention, log_retention=log_retention, progress=word)
