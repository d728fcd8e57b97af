"""``retry``: dead letters back into the queue."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import Annotated, Final

import typer

from cli.session import JsonOption, MerchantOption, chosen_merchant, load_settings, outbox, run
from cli.terminal import Exit, Failure, answer, answer_json, progress
from soldt_outbox.administration.records import Retried, retry
from soldt_outbox.settings import Settings

_MAX_EXTENSION: Final = timedelta(days=30)  # old news does harm
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def retry_command(
    *,
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Rows of `dead`, by id.")] = None,
    merchant: MerchantOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every dead letter (of --merchant, if given).")
    ] = False,
    extend: Annotated[
        str | None,
        typer.Option(
            metavar="24h",
            help="Take rows past their expiry too, and give all so long from now: 30m, 24h, 7d.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all or --merchant.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put dead letters back, with fresh attempts, to be sent with the eventID they always had.

    Say which: ids, or --merchant for all of one merchant's, or --all. A row past its expiry stays, since old news
    does harm, unless --extend gives it new time. Rows of a disconnected merchant stay: nobody would send them. Repair
    what killed them first, or they come back.

    Examples:
      soldt-outbox retry 1234 1235
      soldt-outbox retry --merchant protea
      soldt-outbox retry --merchant protea --extend 24h --yes
      soldt-outbox retry --all --yes --json

    Exit codes: 0 all that was named was put back; 1 some stayed (it says why), or you said no; 2 a wrong argument or
    setting, no such merchant, no database.
    """
    if not ids and not every and merchant is None:
        raise Failure("say which: ids, --merchant, or --all; see `soldt-outbox retry --help`", Exit.USAGE)
    if ids and every:
        raise Failure("ids and --all contradict each other", Exit.USAGE)
    extension = _extension(extend)
    if not ids and not yes:
        _confirm(merchant)
    wanted = sorted(set(ids)) if ids else None
    done = run(_retry(load_settings(), wanted, merchant, extension))
    not_dead = len(wanted) - len(done.ids) - done.past_expiry - done.disconnected if wanted else 0
    if as_json:
        answer_json(
            {
                "put_back": done.ids,
                "past_expiry": done.past_expiry,
                "disconnected": done.disconnected,
                "not_dead": not_dead,
            }
        )
    else:
        _print(done, not_dead)
    if done.past_expiry or done.disconnected or not_dead:
        raise typer.Exit(Exit.WRONG)


async def _retry(
    settings: Settings, ids: list[int] | None, named: str | None, extension: timedelta
) -> Retried:
    async with outbox(settings) as database:
        merchant = await chosen_merchant(database, named)
        with progress("putting dead letters back"):
            return await retry(
                database,
                ids=ids,
                merchant_id=merchant.merchant_id if merchant else None,
                extend=extension,
            )


def _print(done: Retried, not_dead: int) -> None:
    answer(f"{len(done.ids):,} put back")
    if done.past_expiry:
        answer(f"{done.past_expiry:,} stayed: past their expiry; --extend 24h gives them a day from now")
    if done.disconnected:
        answer(
            f"{done.disconnected:,} stayed: their merchant is not connected; see `soldt-outbox connect --help`"
        )
    if not_dead:
        answer(f"{not_dead:,} stayed: not dead, another merchant's, or not there")


def _extension(told: str | None) -> timedelta:
    if told is None:
        return timedelta()
    match = re.fullmatch(r"([1-9][0-9]{0,3})([mhd])", told.strip())
    if match is None:
        raise Failure("--extend must be minutes, hours or days: 30m, 24h, 7d", Exit.USAGE)
    extension = int(match[1]) * _UNITS[match[2]]
    if extension > _MAX_EXTENSION:
        raise Failure(f"--extend is at most {_MAX_EXTENSION.days}d: old news does harm", Exit.USAGE)
    return extension


def _confirm(merchant: str | None) -> None:
    if not sys.stdin.isatty():
        raise Failure("say --yes where nobody can be asked", Exit.USAGE)
    whose = f"every dead letter of {merchant}" if merchant else "every dead letter of every merchant"
    if not typer.confirm(f"Put back {whose}?", err=True):
        raise Failure("nothing was changed")
