"""Events committed at a steady rate, whatever becomes of them, by a process of its own.

    python -m benchmarks.steady_writer MODULE URL --rate 200 --seconds 60 --first 0 --merchants 50

Each event is due at an instant of the schedule, and not when the one before it is done: a slow commit puts off nobody,
as there are several sessions, and how late the writer itself was is told with each event. MODULE has a function
``session(url)``, an async context manager that yields a ``Write``. Once its sessions are open it commits one event ahead,
by whose arrival one sees that the sender is up, and prints ``ready``; it begins when a line comes on standard input, and
prints what it wrote as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

import uvloop

from benchmarks.worker_process import ROOT

Write = Callable[[int, int], Awaitable[str]]
"""Takes the merchant's number and the event's, commits the event, gives its eventID."""
Session = Callable[[str], AbstractAsyncContextManager[Write]]

SESSIONS: Final = 8  # a commit may take this many times the pause between two before any event has to wait
_AHEAD: Final = 1_000_000_000  # the number of the event ahead: none of the schedule's
_PATIENCE_S: Final = 120.0  # past the end of the schedule, for a database that does not keep up


@dataclass(frozen=True, slots=True)
class Written:
    """An event and its instants, by ``time.monotonic``: when it was due, begun, and known to be committed."""

    event: str
    merchant: int
    due: float
    begun: float
    committed: float


class SteadyWriter:
    """The writer beside the benchmark, as a context manager: connected and with one event ahead once entered, writing after ``go``.

    Args:
        module: where ``session`` is, such as ``benchmarks.orders``.
        url: the database.
        rate: events a second, dealt out to the merchants in turn.
        seconds: for how long.
        merchants: their numbers.
    """

    def __init__(self, module: str, url: str, *, rate: float, seconds: float, merchants: range) -> None:
        self.rate = rate
        self._seconds = seconds
        self._command = [
            sys.executable, "-m", "benchmarks.steady_writer", module, url, "--rate", str(rate), "--seconds", str(seconds),
            "--first", str(merchants.start), "--merchants", str(len(merchants)),
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None  # noqa: S101
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the steady writer could not connect; its error is above")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def go(self) -> None:
        """Begin to write now."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def written(self) -> list[Written]:
        """What it wrote, in the order it was due; waits until it is done."""
        said, _ = self._process.communicate(timeout=self._seconds + _PATIENCE_S)
        if self._process.returncode != 0:
            raise RuntimeError("the steady writer failed; its error is above")
        return [Written(*entry) for entry in json.loads(said)]


async def _run(options: argparse.Namespace) -> list[tuple[str, int, float, float, float]]:
    session: Session = importlib.import_module(options.module).session
    async with AsyncExitStack() as stack:
        writes = [await stack.enter_async_context(session(options.url)) for _ in range(SESSIONS)]
        await writes[0](options.first, _AHEAD)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        numbers = iter(range(round(options.rate * options.seconds)))
        start = time.monotonic() + 0.01
        written: list[tuple[str, int, float, float, float]] = []

        async def write_on(write: Write) -> None:
            for number in numbers:  # shared: whoever is free takes the next
                due = start + number / options.rate
                await asyncio.sleep(due - time.monotonic())
                merchant = options.first + number % options.merchants
                begun = time.monotonic()
                event = await write(merchant, number)
                written.append((event, merchant, due, begun, time.monotonic()))

        async with asyncio.TaskGroup() as tasks:
            for write in writes:
                tasks.create_task(write_on(write))
    return sorted(written, key=lambda entry: entry[2])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady_writer")
    parser.add_argument("module")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--merchants", type=int, default=1)
    print(json.dumps(uvloop.run(_run(parser.parse_args()))))


if __name__ == "__main__":
    main()
