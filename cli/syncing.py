"""``resync`` and ``backfill``: many items by batch, and how far that is."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from cli.session import JsonOption, MerchantNeeded, load_settings, outbox, run
from cli.terminal import Exit, Failure, Progress, answer, answer_json, duration, instant, progress, say
from soldt_outbox.administration.merchants import Merchant, find_merchant
from soldt_outbox.administration.syncing import Report, begin, watch, write_all
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.settings import Settings
from soldt_outbox.syncs import Sending, Sync, SyncMode, Syncs, SyncState

_INTERRUPTED: Final = 130
_WARNING: Final = (
    "Omnisend runs automations on imported events as on live ones: a customer of last year may get an order confirmation today. "
    "Switch off at Omnisend, before you go on, every automation that begins with an order (and any that waits for one), and switch "
    "them on again when the import is finished."
)
_UNITS: Final = {"d": timedelta(days=1), "h": timedelta(hours=1)}


class Refreshed(StrEnum):
    """What ``resync`` takes."""

    PRODUCTS = "products"
    CATEGORIES = "categories"
    CONTACTS = "contacts"


class Imported(StrEnum):
    """What ``backfill`` takes."""

    ORDERS = "orders"


DetachOption = Annotated[
    bool, typer.Option("--detach", help="Write what is to be sent and leave it to the workers.")
]
StatusOption = Annotated[bool, typer.Option("--status", help="Only show how the last one stands.")]
CancelOption = Annotated[
    bool, typer.Option("--cancel", help="Send nothing more of the one that is not finished.")
]


def resync_command(
    resource: Annotated[Refreshed, typer.Argument(help="products, categories or contacts.")],
    *,
    merchant: MerchantNeeded,
    full: Annotated[
        bool,
        typer.Option("--full", help="Send everything, and delete at Omnisend what the shop no longer has."),
    ] = False,
    detach: DetachOption = False,
    status: StatusOption = False,
    cancel: CancelOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell Omnisend of all products, categories or contacts of a merchant, by batches of 100 (of 1,000 in v5).

    What Omnisend was told of and has not changed since is left out; with --full it is sent all the same,
    which is for after an upgrade that maps something differently, or a catalogue that somebody changed at Omnisend. Contacts are
    the customers of orders and everybody whose consent was recorded; nobody is subscribed by it who did not agree.

    Rows for the workers are written a few at a time, and the workers send them after the merchant's live events and within its
    budget. A command that ends, however it ends, stops nothing: called again it follows the one that is under way.
    Items that Omnisend refuses are in the logs, each with its reason.

    Examples:
      soldt-outbox resync products --merchant protea
      soldt-outbox resync products --merchant protea --full --detach
      soldt-outbox resync contacts --merchant protea --status

    Exit codes: 0 everything is at Omnisend; 1 some items are not, or it was canceled; 2 a wrong argument or setting, no such
    merchant, not connected, no database; 130 Ctrl-C (the workers go on).
    """
    wanted = Resource(resource.value)
    mode = SyncMode.FULL if full else SyncMode.DELTA
    _command(
        _Task("resync", wanted, mode, None),
        merchant,
        detach=detach,
        status=status,
        cancel=cancel,
        as_json=as_json,
    )


def backfill_command(
    resource: Annotated[Imported, typer.Argument(help="orders.")],
    *,
    merchant: MerchantNeeded,
    since: Annotated[
        str, typer.Option(metavar="DAY", help="Orders placed since: 2025-01-01, or 365d before now.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask: automations are switched off.")
    ] = False,
    detach: DetachOption = False,
    status: StatusOption = False,
    cancel: CancelOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import a merchant's orders into Omnisend: what was placed, paid, fulfilled, canceled and refunded, by batches.

    Automations that are switched on at Omnisend run on imported events too. Switch them off first; the command asks.

    Each event has the eventID that it would have had live, and the order's own instant, by which Omnisend knows it again if it
    is sent twice. What was told as it happened, waits to be, or was imported before, is left out; what expired or was skipped is
    not. Otherwise as `resync`.

    Examples:
      soldt-outbox backfill orders --merchant protea --since 2025-01-01
      soldt-outbox backfill orders --merchant protea --since 365d --yes --detach
      soldt-outbox backfill orders --merchant protea --since 365d --status

    Exit codes: 0 everything is at Omnisend; 1 some events are not, it was canceled, or you said no; 2 a wrong argument or
    setting, no such merchant, not connected, no database; 130 Ctrl-C (the workers go on).
    """
    begins = _since(since)
    if not (yes or status or cancel):
        _ask()
    task = _Task("backfill", Resource(resource.value), SyncMode.FULL, begins)
    _command(task, merchant, detach=detach, status=status, cancel=cancel, as_json=as_json)


class _Task:
    """What a command is to do, and how to call it again."""

    def __init__(self, command: str, resource: Resource, mode: SyncMode, since: datetime | None) -> None:
        self.command = command
        self.resource = resource
        self.mode = mode
        self.since = since

    def again(self, merchant: str) -> str:
        """How to look at it later."""
        since = f" --since {self.since:%Y-%m-%d}" if self.since is not None else ""
        return f"soldt-outbox {self.command} {self.resource} --merchant {merchant}{since} --status"


def _command(task: _Task, named: str, *, detach: bool, status: bool, cancel: bool, as_json: bool) -> None:
    if status + cancel + detach > 1:
        raise Failure("--status, --cancel and --detach exclude each other", Exit.USAGE)
    settings = load_settings()
    try:
        if status:
            sync = run(_last(settings, task, named))
        elif cancel:
            sync = run(_cancel(settings, task, named))
        else:
            sync = run(_carry_out(settings, task, named, detach=detach))
    except KeyboardInterrupt:
        say(f"The workers go on with what is written. How it stands: {task.again(named)}")
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        answer_json(_as_record(sync))
    else:
        _print(sync, task, named)
    if sync.state is SyncState.CANCELED or (sync.over and sync.items > sync.done - sync.items_rejected):
        raise typer.Exit(Exit.WRONG)


async def _carry_out(settings: Settings, task: _Task, named: str, *, detach: bool) -> Sync:
    async with outbox(settings) as database:
        merchant, syncs = await find_merchant(database, named), Syncs(database)
        with progress("looking at the merchant") as word:
            report = _reporter(task, word)
            sync, fresh = await begin(
                syncs,
                merchant,
                task.resource,
                task.mode,
                api_version=settings.omnisend_api_version,
                since=task.since,
            )
            if not fresh:
                _say_what_goes_on(sync, task, merchant)
            await write_all(syncs, sync, report)
            _say_what_holds_it_up(await syncs.sending(merchant.merchant_id))
            if detach:
                return await syncs.get(sync.id) or sync
            return await watch(syncs, sync, report)


async def _last(settings: Settings, task: _Task, named: str) -> Sync:
    async with outbox(settings) as database:
        merchant, syncs = await find_merchant(database, named), Syncs(database)
        await syncs.finish()
        return await _found(syncs, task, merchant)


async def _cancel(settings: Settings, task: _Task, named: str) -> Sync:
    async with outbox(settings) as database:
        merchant, syncs = await find_merchant(database, named), Syncs(database)
        sync = await _found(syncs, task, merchant)
        if sync.over:
            raise Failure(f"nothing is under way: the last one is {sync.state}")
        await syncs.cancel(sync.id)
        return await _found(syncs, task, merchant)


async def _found(syncs: Syncs, task: _Task, merchant: Merchant) -> Sync:
    sync = await syncs.last(merchant.merchant_id, task.resource)
    if sync is None:
        raise Failure(f"{merchant} never had a {task.command} of {task.resource}", Exit.USAGE)
    return sync


def _say_what_goes_on(sync: Sync, task: _Task, merchant: Merchant) -> None:
    if sync.mode is not task.mode:
        raise Failure(
            f"another refresh of {task.resource} is not finished ({sync.mode}, begun {instant(sync.created_at)}): "
            f"wait for it, or end it with `soldt-outbox {task.command} {task.resource} --merchant {merchant} --cancel`",
            Exit.USAGE,
        )
    since = f", since {instant(sync.since)}" if sync.since is not None else ""
    say(f"One begun {instant(sync.created_at)}{since} is not finished: this goes on with it.")


def _say_what_holds_it_up(sending: Sending) -> None:
    if not sending.worker_alive:
        say("No worker is running: `python -m worker` sends what is written.")
    if sending.paused:
        say(f"Sending is paused for this merchant ({sending.pause_reason}): see `soldt-outbox status`.")
    if sending.forbidden:
        say(
            "The API key may not do this: see `soldt-outbox status`; what is written waits for the permission."
        )


def _reporter(task: _Task, word: Progress) -> Report:
    def report(sync: Sync, pace: float) -> None:
        rejected = f", {sync.items_rejected:,} rejected" if sync.items_rejected else ""
        if sync.state is SyncState.WRITING:
            word(f"{sync.items:,} {_things(task.resource)} found")
            return
        left = sync.items - sync.done
        remaining = f", {pace:,.0f}/s, {duration(left / pace)} left" if pace and left else ""
        word(f"{sync.done:,} of {sync.items:,} {_things(task.resource)} done{rejected}{remaining}")

    return report


def _things(resource: Resource) -> str:
    return "events of orders" if resource is Resource.ORDERS else resource.value


def _print(sync: Sync, task: _Task, named: str) -> None:
    counts = {
        "sent": sync.items_sent,
        "unchanged": sync.items_unchanged,
        "with nothing to send": sync.items_skipped,
        "rejected": sync.items_rejected,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    answer(f"{sync.items:,} {_things(task.resource)}: {told or 'nothing done yet'} ({sync.state})")
    if sync.items_rejected:
        answer(f"why: soldt-outbox logs --merchant {named} --outcome dead")
    missing = sync.items - sync.done
    if sync.over and missing:
        answer(f"{missing:,} were not sent: see `soldt-outbox dead --merchant {named}`")
    if not sync.over:
        answer(f"the workers go on; how it stands: {task.again(named)}")


def _as_record(sync: Sync) -> dict[str, Any]:
    return {name: getattr(sync, name) for name in Sync.__slots__} | {"items_done": sync.done}


def _since(told: str) -> datetime:
    """A day, or so long before now."""
    ago = re.fullmatch(r"([1-9][0-9]{0,4})([dh])", told.strip())
    if ago is not None:
        return datetime.now(UTC) - int(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(told.strip())
    except ValueError:
        raise Failure("--since must be a day (2025-01-01) or how long ago (365d, 12h)", Exit.USAGE) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise Failure(f"{_WARNING} Then say --yes, where nobody can be asked.", Exit.USAGE)
    say(_WARNING)
    if not typer.confirm("Are they switched off?", err=True):
        raise Failure("nothing was imported")
