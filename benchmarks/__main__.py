"""``python -m benchmarks``: run cells, print a table, write it and a JSON file into ``benchmarks/results/``."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from benchmarks import budget, drain, fairness, latency, memory, writers
from benchmarks.report import Bar, Cell, table, this_machine, write

Suite = Callable[[argparse.Namespace], Iterator[Cell]]


def say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {line}", file=sys.stderr, flush=True)


def run_writers(options: argparse.Namespace) -> Iterator[Cell]:
    """What the trigger costs a checkout (about 3 minutes)."""
    settings = writers.Settings(
        rounds=options.rounds, seconds=options.seconds, requests=options.requests, protocol=options.protocol
    )
    return writers.cells(settings, say)


def run_drain(options: argparse.Namespace) -> Iterator[Cell]:
    """How fast a worker drains a backlog, against a bare loop of the same client (about 2 minutes)."""
    result = drain.run(rows=options.rows, say=say)
    for processes, rates in result.worker.items():
        yield Cell(
            name=f"drain: {options.rows:,} rows of {drain.MERCHANTS} merchants, {processes} process{'es' if processes > 1 else ''} / bare loop",
            value=result.ratio(processes),
            bar=Bar("at least", drain.BAR) if processes == 1 else None,
            against="durable embedded PostgreSQL, the stand-in without faults; the same client posting the same bodies",
            figures={
                "worker rows/s": statistics.median(rates),
                "bare requests/s": statistics.median(result.bare),
                "rounds worker": rates,
                "rounds bare": result.bare,
            },
        )


def run_latency(options: argparse.Namespace) -> Iterator[Cell]:
    """How long an event takes from commit to arrival, at a steady rate."""
    return latency.cells(latency.Settings() if _full(options) else latency.Settings(seconds=10), say)


def run_fairness(options: argparse.Namespace) -> Iterator[Cell]:
    """What quiet merchants notice of another's backlog."""
    short = fairness.Settings(flood=10_000, seconds=8, rounds=1)
    return fairness.cells(fairness.Settings() if _full(options) else short, say)


def run_memory(options: argparse.Namespace) -> Iterator[Cell]:
    """The most memory a worker holds with a million rows due."""
    return memory.cells(
        memory.Settings() if _full(options) else memory.Settings(rows=100_000, seconds=8), say
    )


def run_budget(options: argparse.Namespace) -> Iterator[Cell]:
    """What one brand gets from ten workers in any minute."""
    return budget.cells(budget.Settings() if _full(options) else budget.Settings(seconds=70), say)


def _full(options: argparse.Namespace) -> bool:
    return bool(getattr(options, "full", False))


SUITES: dict[str, Suite] = {
    "writers": run_writers,
    "drain": run_drain,
    "latency": run_latency,
    "fairness": run_fairness,
    "memory": run_memory,
    "budget": run_budget,
}


def main() -> int:
    options = _options()
    started, machine = datetime.now(UTC), this_machine()
    say(
        f"{', '.join(options.suites)} on {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB"
    )
    cells = []
    for name in options.suites:
        for cell in SUITES[name](options):
            say(
                f"{cell.name}: {cell.value if cell.value is None else f'{cell.value:.3f}'} (bar: {cell.bar or 'none'}) {cell.verdict}"
            )
            cells.append(cell)
    print(table(cells))
    markdown, as_json = write(cells, machine, started)
    print(f"\nWritten to {markdown} and {as_json}")
    failed = [cell for cell in cells if cell.verdict == "NOT MET"]
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    suites = "\n".join(f"  {name:9} {suite.__doc__}" for name, suite in SUITES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ratios side by side in one run. Exits with 1 where a bar is not met.",
        epilog=f"suites:\n{suites}\n\nexample:\n  python -m benchmarks writers --rounds 3 --seconds 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{' or '.join(SUITES)}; default: all")
    parser.add_argument(
        "--rounds", type=int, default=7, help="pairs of runs per number of sessions (default: 7)"
    )
    parser.add_argument("--seconds", type=int, default=3, help="length of a writers' run (default: 3)")
    parser.add_argument(
        "--requests", type=int, default=1500, help="orders through PostgREST on either side (default: 1500)"
    )
    parser.add_argument(
        "--protocol",
        choices=["extended", "prepared", "simple"],
        default="extended",
        help="how statements reach the server (default: extended)",
    )
    parser.add_argument("--rows", type=int, default=drain.ROWS, help=f"rows to drain (default: {drain.ROWS})")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    options.suites = options.suites or list(SUITES)
    return options


if __name__ == "__main__":
    sys.exit(main())
