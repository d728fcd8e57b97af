"""``reconcile``: orders of the last days without their events."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from cli.session import JsonOption, MerchantOption, chosen_merchant, load_settings, outbox, run
from cli.terminal import Exit, answer, answer_json, progress
from soldt_outbox.administration.merchants import slugs
from soldt_outbox.administration.syncing import Reconciled, reconcile
from soldt_outbox.settings import Settings
from soldt_outbox.syncs import Syncs


def reconcile_command(
    *,
    merchant: MerchantOption = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back to look.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find orders whose events are not in the outbox, and write them.

    Each order's transaction writes its events, so nothing should be found: something is where orders were restored from a
    backup, written while triggers were off, or changed by hand. Looks at orders that were placed since their merchant was
    connected, and not further back than the ledger of settled rows goes (RETENTION_DAYS). Events are written as the orders stand,
    with the orders' own instants; safe to run at any time, and again. They are live events, which start automations: an event that
    expired, was skipped or was told to another brand stays so. `backfill` imports it.

    Examples:
      soldt-outbox reconcile --dry-run
      soldt-outbox reconcile --merchant protea --days 7

    Exit codes: 0 nothing was missing, or it was written; 1 with --dry-run: something is missing; 2 a wrong argument or
    setting, no such merchant, no database.
    """
    settings = load_settings()
    found, names = run(_reconcile(settings, merchant, days, write=not dry_run))
    if as_json:
        answer_json({"written": not dry_run, "missing": found})
    else:
        for one in found:
            events = ", ".join(f"{count:,} {name}" for name, count in sorted(one.events.items()))
            verb = "missing" if dry_run else "written"
            answer(
                f"{names.get(one.merchant_id, str(one.merchant_id))}: {one.orders:,} orders, {verb}: {events}"
            )
        if not found:
            answer("every order of these days has its events")
    if found and dry_run:
        raise typer.Exit(Exit.WRONG)


async def _reconcile(
    settings: Settings, named: str | None, days: int, *, write: bool
) -> tuple[list[Reconciled], dict[UUID, str]]:
    since = timedelta(days=min(days, settings.retention_days))
    async with outbox(settings) as database:
        merchant = await chosen_merchant(database, named)
        with progress("looking at orders"):
            chosen = merchant.merchant_id if merchant is not None else None
            found = await reconcile(Syncs(database), chosen, since, write=write)
        return found, await slugs(database, (one.merchant_id for one in found))
