"""``configure``: what is told for a merchant beside its events, and how."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

from cli.session import JsonOption, MerchantNeeded, load_settings, outbox, run
from cli.terminal import Exit, Failure, answer, answer_json, answer_table, say
from soldt_outbox.administration.configuring import Change, Configuration, configure
from soldt_outbox.administration.merchants import Merchant, find_merchant
from soldt_outbox.settings import Settings


class ApiVersion(StrEnum):
    """What --api-version takes."""

    V5 = "v5"
    V2026_03_15 = "2026-03-15"
    DEFAULT = "default"


def configure_command(
    *,
    merchant: MerchantNeeded,
    contacts: Annotated[
        bool | None,
        typer.Option("--contacts/--no-contacts", help="Tell contacts and consent. Off at first."),
    ] = None,
    catalogue: Annotated[
        bool | None,
        typer.Option("--catalogue/--no-catalogue", help="Tell products and collections. Off at first."),
    ] = None,
    ordered_products: Annotated[
        bool | None,
        typer.Option(
            "--ordered-products/--no-ordered-products",
            help="Tell each line of a placed order as an event of its own: one request a line. Off at first.",
        ),
    ] = None,
    api_version: Annotated[
        ApiVersion | None,
        typer.Option(
            help="The version of Omnisend's API; default: what the worker's OMNISEND_API_VERSION says."
        ),
    ] = None,
    locale: Annotated[
        str | None,
        typer.Option(metavar="BCP_47", help="Which text to take where a product has several, such as af-ZA."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change what is told to Omnisend for a merchant beside its shop's events.

    Without an option it only shows. What is switched on is told from then on, as it changes; the key then needs the
    permissions contacts.write and contacts.read, or products.write. Where it lacks one, only what needs it waits.

    Examples:
      soldt-outbox configure --merchant protea
      soldt-outbox configure --merchant protea --contacts --catalogue
      soldt-outbox configure --merchant protea --api-version 2026-03-15

    Exit codes: 0 done; 2 no such merchant, never connected, a wrong argument or setting, no database.
    """
    if locale is not None and not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", locale):
        raise Failure(
            "--locale must be a language, with a region if need be, such as en or af-ZA", Exit.USAGE
        )
    change = Change(
        contacts=contacts,
        catalogue=catalogue,
        ordered_products=ordered_products,
        api_version=api_version,
        locale=locale,
    )
    found, stands = run(_configure(load_settings(), merchant, change))
    if as_json:
        answer_json(stands)
        return
    answer(f"{found}:")
    answer_table(
        ["", ""],
        [
            ["contacts and consent", _switch(stands.contacts)],
            ["products and collections", _switch(stands.catalogue)],
            ["ordered products", _switch(stands.ordered_products)],
            ["version of the API", stands.api_version or "as OMNISEND_API_VERSION says"],
            ["locale", stands.locale],
        ],
    )
    if contacts or catalogue:
        say("what changes from now on is told; for what is there already see `soldt-outbox resync --help`")


async def _configure(settings: Settings, named: str, change: Change) -> tuple[Merchant, Configuration]:
    async with outbox(settings) as database:
        merchant = await find_merchant(database, named)
        return merchant, await configure(database, merchant, change)


def _switch(on: bool) -> str:
    return "told" if on else "not told"
