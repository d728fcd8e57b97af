"""``sandbox`` and ``demo``: thin, since the world they run in is another room."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from cli.terminal import Exit, Failure

_EXTRA = "install soldt-outbox[sandbox], or use a checkout with `make demo`"


def sandbox_command(
    *,
    worker: Annotated[bool, typer.Option("--worker", help="Start a worker too.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep the database here, and go on with what an earlier run left in it."),
    ] = None,
) -> None:
    """Start a world to try things in, and leave it running until Ctrl-C.

    An embedded PostgreSQL that looks like Supabase, SOLDT's tables with three connected shops, this project's
    migrations and a stand-in for Omnisend; no internet, and nothing of it survives unless --data-dir says so. Prints
    how to use it.

    Examples:
      soldt-outbox sandbox
      soldt-outbox sandbox --worker --data-dir ./sandbox-data

    Exit codes: 0 stopped, or 130 by Ctrl-C; 1 something of it broke; 2 it cannot start here.
    """
    raise typer.Exit(_demo_module().run_sandbox(worker=worker, data_dir=data_dir))


def demo_command(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it all running afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Show the whole way a row goes, in a world of its own, and check that it went that way.

    Three shops, orders written as a browser writes them, the real worker, and an Omnisend that answers late, wrongly
    or not at all. Ends with a table per merchant.

    Examples:
      soldt-outbox demo
      soldt-outbox demo --keep

    Exit codes: 0 every expectation held; 1 one did not; 2 it cannot start here.
    """
    raise typer.Exit(_demo_module().run_demo(keep=keep))


def _demo_module() -> ModuleType:
    """Imported only here: the other commands work without the sandbox's parts."""
    try:
        return importlib.import_module("sandbox.demo")
    except ModuleNotFoundError as error:
        raise Failure(
            f"this installation has no sandbox ({error.name} is missing): {_EXTRA}", Exit.USAGE
        ) from None
