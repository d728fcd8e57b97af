"""The entry point of ``soldt-outbox``: the list of commands, and every error as one sentence and an exit code."""

from __future__ import annotations

import inspect
import sys
from typing import Annotated

import psycopg
import psycopg_pool
import typer
from rich.markup import escape

import soldt_outbox
from cli.configuring import configure_command
from cli.connecting import connect_command, disconnect_command
from cli.forgetting import forget_command
from cli.keys import encrypt_credentials_command, keygen_command, rotate_keys_command
from cli.looking import dead_command, logs_command, status_command
from cli.playing import demo_command, sandbox_command
from cli.reconciling import reconcile_command
from cli.retrying import retry_command
from cli.syncing import backfill_command, resync_command
from cli.terminal import Exit, Failure, say
from cli.upkeep import migrate_command, prune_command, wake_up_command
from soldt_outbox.errors import (
    ConfigurationError,
    KeyRingError,
    OutboxError,
    SchemaError,
    UnknownMerchant,
)
from soldt_outbox.redaction import scrub

_SETTING_UP = "Setting up"
_TELLING = "Telling it all"
_LOOKING = "Looking, and putting right"
_KEYS = "Keys and upkeep"
_TRYING = "Trying it out"

app = typer.Typer(
    name="soldt-outbox",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(docstring: str | None) -> str:
    """A docstring as typer wants it: each paragraph one line, for the terminal to wrap, and lists as they stand."""
    paragraphs = [paragraph.splitlines() for paragraph in inspect.cleandoc(docstring or "").split("\n\n")]
    return "\n\n".join(
        escape("\b\n" + "\n".join(lines) if lines[0].endswith(":") else " ".join(lines))
        for lines in paragraphs
    )


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"soldt-outbox {soldt_outbox.__version__}\n")
        raise typer.Exit


def about(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """The outbox between SOLDT's shops and Omnisend, from the operator's side.

    Settings come from the environment and from .env (.env.example lists them): DATABASE_URL for nearly everything,
    OUTBOX_ENCRYPTION_KEYS for keys. Merchants are named by id or slug. Answers go to stdout, everything said beside
    them to stderr. No command shows a
    merchant's key, an e-mail address or a payload.

    To begin:
      soldt-outbox migrate
      soldt-outbox keygen                       makes OUTBOX_ENCRYPTION_KEYS
      soldt-outbox connect --merchant protea    asks for the key
      python -m worker                          sends
      soldt-outbox status

    Exit codes: 0 all well; 1 it ran, and found or met something wrong; 2 it could not run: a wrong argument, a setting,
    the database or its schema; 130 Ctrl-C. Each command's --help says more.
    """


def _register() -> None:
    app.callback(help=_help(about.__doc__))(about)
    for name, command, panel in (
        ("migrate", migrate_command, _SETTING_UP),
        ("connect", connect_command, _SETTING_UP),
        ("configure", configure_command, _SETTING_UP),
        ("disconnect", disconnect_command, _SETTING_UP),
        ("resync", resync_command, _TELLING),
        ("backfill", backfill_command, _TELLING),
        ("reconcile", reconcile_command, _TELLING),
        ("status", status_command, _LOOKING),
        ("logs", logs_command, _LOOKING),
        ("dead", dead_command, _LOOKING),
        ("retry", retry_command, _LOOKING),
        ("forget", forget_command, _LOOKING),
        ("keygen", keygen_command, _KEYS),
        ("rotate-keys", rotate_keys_command, _KEYS),
        ("encrypt-credentials", encrypt_credentials_command, _KEYS),
        ("prune", prune_command, _KEYS),
        ("wake-up", wake_up_command, _KEYS),
        ("sandbox", sandbox_command, _TRYING),
        ("demo", demo_command, _TRYING),
    ):
        app.command(
            name,
            help=_help(command.__doc__),
            rich_help_panel=panel,
            # What stands beside their options may be a key or an address: the command refuses it without repeating it.
            context_settings={"allow_extra_args": command in (connect_command, forget_command)},
        )(command)


_register()


def main() -> None:
    """Run the command line; never a traceback for what can be foreseen."""
    try:
        app()
    except Failure as failure:
        _end(str(failure), failure.code)
    except (ConfigurationError, KeyRingError, SchemaError, UnknownMerchant) as error:
        _end(str(error), Exit.USAGE)
    except OutboxError as error:
        _end(str(error), Exit.WRONG)
    except psycopg_pool.PoolTimeout:
        _end("the database takes no connection: its pool may be exhausted; try again", Exit.USAGE)
    except psycopg.Error as error:
        # Not str(error): its DETAIL may show a row.
        _end(scrub(f"the database refused: {error.diag.message_primary or type(error).__name__}"), Exit.WRONG)
    except KeyboardInterrupt:
        _end("stopped", 130)


def _end(sentence: str, code: int) -> None:
    say(f"soldt-outbox: {sentence}")
    sys.exit(code)


if __name__ == "__main__":
    main()
