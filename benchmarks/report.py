"""What a benchmark says: cells with the bar each must meet, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

Say = Callable[[str], None]
"""Takes a line of progress."""

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Bar:
    """What a cell's value is held to."""

    relation: Literal["at least", "at most"]
    limit: float

    def is_met_by(self, value: float) -> bool:
        return value >= self.limit if self.relation == "at least" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: the figure that the bar is about, nearly always a ratio; None where the cell could not run.
        bar: None for a figure that is only told.
        against: what it ran against: server, client, load.
        figures: what the value was made from, so that a reader can judge it.
        note: why there is no value, or how to read it.
        words: findings that are no numbers, by column of a table of their own; the first says whose they are.
    """

    name: str
    value: float | None
    bar: Bar | None
    against: str
    figures: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "SKIPPED"
        if self.bar is None:
            return "-"
        return "met" if self.bar.is_met_by(self.value) else "NOT MET"


@dataclass(frozen=True, slots=True)
class Rounds:
    """What one side measured, round by round; ``what`` names it in the figures, unit and all."""

    what: str
    values: Sequence[float]


def ratio(
    name: str, measured: Rounds, base: Rounds, *, bar: Bar | None, against: str, **figures: Any
) -> Cell:
    """A cell of two that took turns: the median of the rounds' ratios, and how far these lay apart."""
    ratios = [a / b for a, b in zip(measured.values, base.values, strict=True)]
    return Cell(
        name=name,
        value=statistics.median(ratios),
        bar=bar,
        against=against,
        figures={
            **{side.what: statistics.median(side.values) for side in (measured, base)},
            "lowest ratio": min(ratios),
            "highest ratio": max(ratios),
            **figures,
            **{f"rounds, {side.what}": list(side.values) for side in (measured, base)},
        },
        note=_UNSTEADY if max(ratios) > _STEADY * min(ratios) else "",
    )


# Where rounds differ by more than this, something else had the cores, and the median says little.
_STEADY: Final = 1.3
_UNSTEADY: Final = "UNSTEADY: the machine was busy with other things; measure again when it is not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    system: str
    processor: str
    cores: int
    memory_gib: float
    python: str
    load_average: tuple[float, float, float]


def this_machine() -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        python=platform.python_version(),
        load_average=os.getloadavg(),
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(cells: list[Cell]) -> str:
    """A Markdown table, aligned for a terminal; where cells have words, a second one of these."""
    rows = [["what", "value", "bar", "", "from"]]
    for cell in cells:
        value = "-" if cell.value is None else f"{cell.value:.3g}"
        rows.append(
            [
                cell.name,
                value,
                str(cell.bar or "-"),
                cell.verdict,
                "; ".join(filter(None, [_short(cell.figures), cell.note])),
            ]
        )
    worded = [cell.words for cell in cells if cell.words]
    columns = list(dict.fromkeys(column for words in worded for column in words))
    of_words = [columns, *([words.get(column, "-") for column in columns] for words in worded)]
    return "\n\n".join(_aligned(each) for each in (rows, of_words) if len(each) > 1)


def _aligned(rows: list[list[str]]) -> str:
    """``rows``, of which the first is the header."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[-1] = 4  # the last column may be as long as it likes
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def _short(figures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,.4g}" for name, value in figures.items() if isinstance(value, int | float)
    )


def write(cells: list[Cell], machine: Machine, started: datetime) -> tuple[Path, Path]:
    """Write table and JSON beside each other; returns their paths."""
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / started.strftime("%Y-%m-%dT%H%M%SZ")
    against = "\n".join(dict.fromkeys(f"- {cell.name}: {cell.against}" for cell in cells))
    facts = (
        f"{started:%Y-%m-%d %H:%M} UTC; {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB; "
        f"{machine.system}; Python {machine.python}; load average before: {machine.load_average[0]:.1f}"
    )
    markdown = stem.with_suffix(".md")
    markdown.write_text(f"{facts}\n\n{table(cells)}\n\n{against}\n")
    data = {
        "started": started.isoformat(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": asdict(machine),
        "cells": [
            asdict(cell) | {"bar": str(cell.bar) if cell.bar else None, "verdict": cell.verdict}
            for cell in cells
        ],
    }
    as_json = stem.with_suffix(".json")
    as_json.write_text(json.dumps(data, indent=1, default=str) + "\n")
    return markdown, as_json
