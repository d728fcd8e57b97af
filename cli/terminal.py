"""What the commands print with: answers on stdout, everything said beside them on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soldt_outbox.json_objects import encode

PATIENCE_S: Final = 2.0  # after this long a person wants to know that something is under way
_PIPED_WIDTH: Final = 200  # columns where no terminal says how wide it is


class Exit(IntEnum):
    """What the exit code says. 130 is Ctrl-C, as everywhere."""

    WELL = 0
    WRONG = 1  # it ran, and found or met something wrong
    USAGE = 2  # an argument, a setting or the schema: it could not run


class Failure(Exception):  # noqa: N818 - it carries an exit code, and is not always an error
    """Ends the command with a sentence on stderr."""

    def __init__(self, sentence: str, code: Exit = Exit.WRONG) -> None:
        super().__init__(sentence)
        self.code = code


def plain(value: object) -> str:
    """Text that cannot steer a terminal: customers and Omnisend choose some of what is shown."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def say(sentence: str) -> None:
    """A line on stderr: what is going on, a warning, an error."""
    sys.stderr.write(plain(sentence) + "\n")
    sys.stderr.flush()


def answer(sentence: str) -> None:
    """A line on stdout."""
    sys.stdout.write(plain(sentence) + "\n")


def answer_json(value: object) -> None:
    """``value`` as indented JSON on stdout; data classes, UUIDs, instants and decimals included."""
    sys.stdout.write(msgspec.json.format(encode(value), indent=2).decode() + "\n")


def answer_json_line(value: object) -> None:
    """``value`` as one line of JSON, at once."""
    sys.stdout.write(encode(value).decode() + "\n")
    sys.stdout.flush()


def answer_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; as wide as it needs to be where stdout is no terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(cell)) for cell in row))
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def instant(moment: datetime | None) -> str:
    """UTC to the second, as people read it."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float | None) -> str:
    """``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


class Progress:
    """The latest word on what is under way."""

    def __init__(self, doing: str) -> None:
        self._word = doing

    def __call__(self, word: str) -> None:
        self._word = word

    @property
    def word(self) -> str:
        return self._word


@contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """Says on stderr what is under way once it takes longer than two seconds, and then whenever that changes."""
    current, over = Progress(doing), threading.Event()

    def watch() -> None:
        said = None
        while not over.wait(PATIENCE_S):
            if current.word != said:
                said = current.word
                say(f"… {said}")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield current
    finally:
        over.set()
        watcher.join()
