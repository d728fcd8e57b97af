"""``connect`` and ``disconnect``."""

from __future__ import annotations

import getpass
import re
import sys
from typing import Annotated, Final

import typer

from cli.oauth import DEFAULT_PORT, connect_by_oauth, say_what_is_missing
from cli.session import JsonOption, MerchantNeeded, key_ring, load_settings, outbox, run
from cli.terminal import Exit, Failure, answer, answer_json, progress, say
from soldt_outbox.administration.merchants import (
    Connected,
    Disconnected,
    Merchant,
    connect,
    find_merchant,
)
from soldt_outbox.credentials import KeyRing
from soldt_outbox.oauth.revoking import disconnect
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import DIALECTS
from soldt_outbox.settings import Settings

_MAX_KEY: Final = 1_000  # characters; a key has some 60


def connect_command(
    context: typer.Context,
    *,
    merchant: MerchantNeeded,
    currency: Annotated[
        str | None,
        typer.Option(metavar="ISO_4217", help="What the shop's prices are in. ZAR unless said before."),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(
            metavar="ISO_3166",
            help="Where phone numbers and addresses without a country belong. ZA unless said before.",
        ),
    ] = None,
    oauth: Annotated[
        bool,
        typer.Option("--oauth", help="Let the shop's admin authorize it in a browser; no key is needed."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help=f"With --oauth: where Omnisend sends the browser back to ({DEFAULT_PORT}); 0 is any free port.",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="With --oauth: open no browser, only print the address.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Connect a merchant to Omnisend, or give it a new key.

    The API key is read from standard input, or asked for without showing it; never given as an argument, where
    `ps` and the shell's history would keep it. It is checked at Omnisend (`brands/current`, which writes nothing),
    stored encrypted with the first key of OUTBOX_ENCRYPTION_KEYS, and never shown again. Events that waited for a
    new key go out, in order.

    A key is made in Omnisend under Store settings, API keys, with the permissions brands.read and events.write.

    With --oauth there is no key: the command prints an address of Omnisend's, opens it in a browser, and waits up to
    15 minutes on 127.0.0.1 for the browser to come back from there. It stores the tokens encrypted, shows the brand and
    the scopes, and names those that were not granted. Workers refresh the tokens. It needs OMNISEND_OAUTH_CLIENT_ID,
    and Omnisend must know http://127.0.0.1:PORT/callback as a redirect URI of that client.

    Examples:
      soldt-outbox connect --merchant protea
      soldt-outbox connect --oauth --merchant protea
      soldt-outbox connect --oauth --merchant protea --port 9000 --no-browser
      pass show omnisend/protea | soldt-outbox connect --merchant protea --json
      soldt-outbox connect --merchant karoo --currency ZAR --country ZA

    Exit codes: 0 connected; 1 Omnisend did not confirm the key, or nobody authorized the shop, nothing was stored; 2 no
    such merchant, a wrong argument or setting, no database.
    """
    if context.args:
        raise Failure(
            "the key must not be an argument (`ps` and the shell's history keep it; make a new key now): "
            "give it on standard input, or leave it out and be asked",
            Exit.USAGE,
        )
    if not oauth and (no_browser or port is not None):
        raise Failure("--port and --no-browser belong to --oauth", Exit.USAGE)
    currency = _code(currency, r"[A-Z]{3}", "--currency must be three letters (ISO 4217), such as ZAR")
    country = _code(country, r"[A-Z]{2}", "--country must be two letters (ISO 3166-1), such as ZA")
    settings = load_settings()
    keys = key_ring(settings)
    if oauth:
        connected: Connected = run(
            connect_by_oauth(
                settings,
                keys,
                merchant,
                port=DEFAULT_PORT if port is None else port,
                browser=not no_browser,
                currency=currency,
                country=country,
            )
        )
    else:
        connected = run(_connect(settings, keys, merchant, currency, country))
    say_what_is_missing(connected)
    for other in connected.shared_with:
        say(
            f"warning: {other} sends to this brand too: both shops' customers end up in one audience, and they share its "
            f"limit of requests; if that is a mistake, connect {connected.merchant} again with its own key"
        )
    if as_json:
        answer_json(connected)
        return
    verb = "connected" if connected.created else "connected again, its credential was replaced:"
    answer(f"{connected.merchant} {verb} to brand {connected.brand_name or '?'} ({connected.brand_id})")


async def _connect(
    settings: Settings, keys: KeyRing, named: str, currency: str | None, country: str | None
) -> Connected:
    async with outbox(settings) as database:
        merchant = await find_merchant(database, named)
        api_key = _read_key(merchant)
        dialect = DIALECTS[settings.omnisend_api_version]
        with progress("asking Omnisend about the key"):
            async with OmnisendClient(settings.omnisend_base_url, dialect) as omnisend:
                return await connect(
                    database, omnisend, keys, merchant, api_key, currency=currency, country_code=country
                )


def _read_key(merchant: Merchant) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"Omnisend API key of {merchant} (not shown): ").strip()
    text = sys.stdin.read(_MAX_KEY + 1).strip()
    if not text:
        raise Failure("no API key came in on standard input", Exit.USAGE)
    if len(text) > _MAX_KEY or len(text.splitlines()) > 1:
        raise Failure("standard input must hold the API key and nothing else", Exit.USAGE)
    return text


def _code(value: str | None, pattern: str, problem: str) -> str | None:
    if value is not None and not re.fullmatch(pattern, value):
        raise Failure(problem, Exit.USAGE)
    return value


def disconnect_command(
    *,
    merchant: MerchantNeeded,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Disconnect a merchant: wipe its credentials, and skip what waits to be sent.

    Nothing more is written for it until it is connected again. What was skipped is not sent then; its log and its
    ledger against duplicates stay. A request that is under way at this moment is finished. The tokens of a connection by
    OAuth are revoked at Omnisend too; where Omnisend cannot be told, the command says so, and wipes them all the same.

    Examples:
      soldt-outbox disconnect --merchant protea
      soldt-outbox disconnect --merchant protea --yes --json

    Exit codes: 0 disconnected; 1 you said no; 2 no such merchant, never connected, a wrong setting, no database.
    """
    done = run(_disconnect(load_settings(), merchant, yes=yes))
    if done.revoked is False:
        say(
            f"warning: Omnisend could not be told that the authorization has ended ({done.problem}): remove the app "
            "from the brand there; nothing here can use it any more"
        )
    if as_json:
        answer_json(done)
    else:
        revoked = " and revoked at Omnisend" if done.revoked else ""
        answer(
            f"{done.merchant} disconnected: credentials wiped{revoked}, {done.skipped:,} waiting events skipped"
        )


async def _disconnect(settings: Settings, named: str, *, yes: bool) -> Disconnected:
    async with outbox(settings) as database:
        merchant = await find_merchant(database, named)
        if not yes:
            _confirm(merchant)
        with progress("skipping what waits, and telling Omnisend"):
            return await disconnect(database, settings, merchant)


def _confirm(merchant: Merchant) -> None:
    if not sys.stdin.isatty():
        raise Failure("say --yes where nobody can be asked", Exit.USAGE)
    if not typer.confirm(f"Wipe the credentials of {merchant} and skip what waits?", err=True):
        raise Failure("nothing was changed")
