"""``python -m worker``: the process that sends what the outbox holds. Configured by the environment alone."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import traceback
from collections.abc import Callable

from soldt_outbox.errors import OutboxError
from soldt_outbox.settings import MAX_PROCESSES, Settings
from worker.processes import COMMANDED, Supervisor
from worker.telemetry import configure_logging

_EPILOG = """\
Everything is set by environment variables (or .env); .env.example lists them all. The two it cannot do without:
  DATABASE_URL             postgresql://user:password@host:5432/postgres
  OUTBOX_ENCRYPTION_KEYS   what `soldt-outbox keygen` prints last

SIGTERM stops it in order: nothing new is claimed, requests under way are finished and recorded, the rest is
handed back. Exit codes: 0 stopped in order, 1 a failure it could not recover from, 2 cannot start as configured.
"""


def main() -> int:
    """Run the worker; the exit code."""
    arguments = _arguments()
    try:
        settings = Settings.load()
        configure_logging(settings)
        count = arguments.processes or settings.worker_processes
        if count > 1:
            return asyncio.run(Supervisor(count).run())
        _work(settings, commanded=arguments.commanded)
    except OutboxError as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201 - before or instead of a log
        return 2
    except Exception as error:  # noqa: BLE001 - told below, without its message
        _tell(error)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description="Sends the events that wait in the Omnisend outbox.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--processes",
        type=_count,
        metavar="N",
        help="run N processes, each with WORKER_CONCURRENCY requests under way (default: WORKER_PROCESSES)",
    )
    parser.add_argument(COMMANDED, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MAX_PROCESSES):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MAX_PROCESSES}")
    return int(text)


def _work(settings: Settings, *, commanded: bool) -> None:
    from worker import app  # noqa: PLC0415 - a supervisor needs none of it: 50 MB instead of 71

    _tune_garbage_collection()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(app.run(settings, commanded=commanded))


def _tune_garbage_collection() -> None:
    """Look for reference cycles less often: by default it took a sixth of a busy worker's time.

    What is imported stays for ever and is not looked at again; what leaves a cycle behind waits longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _tell(error: BaseException) -> None:
    """What went wrong and where. Messages of drivers may repeat the data they were about, and are left out."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            _tell(one)
        return
    where = "".join(traceback.format_tb(error.__traceback__))
    print(f"worker: failed with {type(error).__name__}\n{where}", file=sys.stderr)  # noqa: T201


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
