"""What the demo says: sentences with the seconds since the start, and what is being waited for.

At a terminal a line at the bottom moves while something is waited for. Elsewhere (a CI log, a pipe) every word is a
plain line, and a long wait says every few seconds that it is still there. Colours follow NO_COLOR.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

_PIPED_WIDTH: Final = 110  # columns where no terminal says how wide it is
_AGAIN_S: Final = 8.0  # how often a plain log hears of a wait
_INDENT: Final = 10  # columns, of which the seconds take eight

Word = Callable[[str], None]
"""Says what is going on while something is waited for."""


class Narrator:
    """Prints; knows nothing of what it prints about."""

    def __init__(self, console: Console | None = None) -> None:
        if console is None:
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(
                    errors="replace"
                )  # a terminal without UTF-8 gets question marks, no crash
            console = Console(highlight=False)
            if not console.is_terminal:
                console = Console(highlight=False, width=max(console.width, _PIPED_WIDTH))
        self._console = console
        self._started = time.monotonic()
        self._scenes = 0

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._started

    @property
    def marks(self) -> tuple[str, str]:
        """Held, and did not hold."""
        return ("✔", "✘") if self._console.encoding.lower().startswith("utf") else ("ok", "NO")

    def title(self, text: str) -> None:
        self._console.print(Text(text, style="bold"))

    def scene(self, title: str, why: str) -> None:
        """A heading, and what the scene is there to show."""
        self._scenes += 1
        self.heading(f"{self._scenes}. {title}")
        self.paragraph(why, indent=3, style="dim")

    def gap(self) -> None:
        self._console.print()

    def heading(self, title: str) -> None:
        self.gap()
        self._console.print(Text(title, style="bold cyan"))

    def say(self, sentence: str, *, style: str = "") -> None:
        """A sentence, with the time."""
        self._console.print(Text(f"{self.seconds:6.1f} s", style="dim"), end="  ")
        self.paragraph(sentence, indent=_INDENT, style=style, begun=True)

    def paragraph(self, text: str, *, indent: int, style: str = "", begun: bool = False) -> None:
        """Wrapped and indented; ``begun`` where its first line already has something in front of it."""
        lines = Text(text, style=style).wrap(self._console, max(20, self._console.width - indent))
        for number, line in enumerate(lines):
            line.rstrip()
            self._console.print(Text(" " * (0 if begun and not number else indent)) + line)

    def mark(self, mark: str, sentence: str, *, style: str) -> None:
        """A sentence behind a mark."""
        self._console.print(Text(f"   {mark:<2}", style=style), end=" ")
        self.paragraph(sentence, indent=6, begun=True)

    def show(self, what: RenderableType) -> None:
        """A table, whole."""
        self._console.print(Padding(what, (0, 0, 0, 3), expand=False))

    def raw(self, text: str) -> None:
        """Lines to be copied: never wrapped."""
        self._console.print(Text(text), soft_wrap=True)

    @contextmanager
    def waiting(self, for_what: str) -> Iterator[Word]:
        """While something is waited for; the function it gives replaces the words."""
        if self._console.is_terminal:
            with self._console.status(Text(for_what, style="dim")) as status:
                yield lambda words: status.update(Text(words, style="dim"))
            return
        last = time.monotonic()

        def word(words: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _AGAIN_S:
                last = time.monotonic()
                self.say(words)

        yield word
