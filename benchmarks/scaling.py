"""What a second process is worth, and a third and fourth, where the receiver takes 100 ms to answer.

A process has 64 requests under way, so it sends at most 640 a second and is bound by waiting, not by its core: what
could keep processes from adding up is what they share, the database and each merchant's lane. Each number of processes
gets as many rows for each of them, so that all drains take about as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.at_sink import AtSink
from benchmarks.report import Bar, Cell, Rounds, Say, ratio

_DELAY_MS: Final = 100
_BARS: Final = {2: Bar("at least", 1.9), 4: Bar("at least", 3.5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rows_per_process: int = 3_000
    """About 600 a second."""

    merchants: int = 100
    rounds: int = 3


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """Two processes against one, and four against one."""
    rates = _measure(settings, say)
    for processes, bar in _BARS.items():
        yield ratio(
            f"scaling: {processes} processes / 1 process, sink with {_DELAY_MS} ms, "
            f"{settings.rows_per_process:,} rows a process of {settings.merchants} merchants",
            Rounds(f"{processes} processes rows/s", rates[processes]),
            Rounds("1 process rows/s", rates[1]),
            bar=bar,
            against="durable embedded PostgreSQL, the sink; WORKER_CONCURRENCY=64",
        )


def _measure(settings: Settings, say: Say) -> dict[int, list[float]]:
    """Rows per second of each round, by number of processes."""
    rates: dict[int, list[float]] = {1: [], **{processes: [] for processes in _BARS}}
    with AtSink(merchants=settings.merchants, delay_ms=_DELAY_MS) as sink:
        for number in range(1, settings.rounds + 1):
            for processes in rates if number % 2 else reversed(rates):
                drained = sink.ours(settings.rows_per_process * processes, processes=processes)
                rates[processes].append(drained.rate)
            told = ", ".join(f"{rates[processes][-1]:,.0f} rows/s with {processes}" for processes in rates)
            say(f"scaling {number}/{settings.rounds}: {told}")
    return rates
