"""``forget``: what is held of one person, removed on request."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from cli.session import JsonOption, MerchantNeeded, load_settings, outbox, owner_connection, run
from cli.terminal import Exit, Failure, answer, answer_json, answer_table, progress, say
from soldt_outbox.administration.forgetting import Forgotten, forget, read_person
from soldt_outbox.administration.merchants import Merchant, country_of, find_merchant
from soldt_outbox.settings import Settings

_MAX_INPUT: Final = 1_000  # characters; an e-mail address has 254 at most
_NOT_DONE: Final = (
    "Omnisend still has its contact of this person, and SOLDT its orders: erase both there "
    "(docs/operations.md, Forgetting a person)"
)


def forget_command(
    context: typer.Context,
    *,
    merchant: MerchantNeeded,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget a person: remove what the outbox holds of an e-mail address, a phone number, or both, of one merchant.

    The address is asked for, or read from standard input, where both stand on a line each; never given as an argument,
    where `ps` and the shell's history would keep it. Give both where both are known. Consents go, with address and user
    agent; what waits to be sent and what is dead is skipped as `forgotten`, without what it held; log rows no longer say
    whom they are about. No other person's and no other merchant's data is touched, and nothing brings it back.

    Rows that a worker holds at this moment are left to it: then run it again, a minute later.

    What it cannot do: Omnisend's contact is erased at Omnisend, and SOLDT's orders are SOLDT's. While these name the
    person, a later order or refresh tells Omnisend of them as not subscribed. Needs the tables' owner (on Supabase
    `postgres`).

    Examples:
      soldt-outbox forget --merchant protea
      pass show requests/17 | soldt-outbox forget --merchant protea --yes
      soldt-outbox forget --merchant protea --yes --json < request.txt

    Exit codes: 0 forgotten, also when nothing was held; 1 a worker holds some of it: run it again, or you said no; 2 no
    such merchant, no address, a wrong argument or setting, no database, or not the owner.
    """
    if context.args:
        raise Failure(
            "the address must not be an argument (`ps` and the shell's history keep it): "
            "give it on standard input, or leave it out and be asked",
            Exit.USAGE,
        )
    settings = load_settings()
    found, country = run(_merchant(settings, merchant))
    person = read_person(_read(), country)
    if not yes:
        _confirm(found)
    with owner_connection(settings) as conn, progress("forgetting"):
        done = forget(conn, found, person)
    if as_json:
        answer_json(done)
    else:
        _print(done)
    say(_NOT_DONE)
    if done.in_hand:
        say(f"rows that a worker holds at this moment: {done.in_hand:,}; run it again in a minute")
        raise typer.Exit(Exit.WRONG)


async def _merchant(settings: Settings, named: str) -> tuple[Merchant, str]:
    async with outbox(settings) as database:
        merchant = await find_merchant(database, named)
        return merchant, await country_of(database, merchant)


def _read() -> str:
    if sys.stdin.isatty():
        asked = ("E-mail address", "Phone number")
        return "\n".join(
            typer.prompt(f"{what} (empty: none)", default="", show_default=False, err=True) for what in asked
        )
    text = sys.stdin.read(_MAX_INPUT + 1)
    if len(text) > _MAX_INPUT:
        raise Failure("standard input must hold the addresses of one person and nothing else", Exit.USAGE)
    return text


def _confirm(merchant: Merchant) -> None:
    if not sys.stdin.isatty():
        raise Failure("say --yes where nobody can be asked", Exit.USAGE)
    if not typer.confirm(f"Forget this person at {merchant}? Nothing brings it back.", err=True):
        raise Failure("nothing was changed")


def _print(done: Forgotten) -> None:
    answer(f"{done.merchant}:")
    answer_table(
        ["", ""],
        [
            ["consents removed", done.consents],
            ["waiting or dead rows emptied", done.rows],
            ["items taken out of batches", done.batch_items],
            ["confirmed contacts forgotten", done.told],
            ["log rows cleared", done.logs],
        ],
    )
