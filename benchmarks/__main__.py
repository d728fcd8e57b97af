"""``python -m benchmarks``: run cells, print a table, write it and a JSON file into ``benchmarks/results/``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks import (
    backfill,
    budget,
    clients,
    contest,
    drain,
    fairness,
    latency,
    memory,
    refresh,
    scaling,
    size,
    writers,
)
from benchmarks.report import Cell, table, this_machine, write

Suite = Callable[[argparse.Namespace], Iterator[Cell]]


def say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {line}", file=sys.stderr, flush=True)


def run_writers(options: argparse.Namespace) -> Iterator[Cell]:
    """What the trigger costs a checkout (about 10 minutes)."""
    settings = writers.Settings(
        rounds=options.rounds or 7,
        seconds=options.seconds,
        requests=options.requests,
        protocol=options.protocol,
    )
    return writers.cells(settings, say)


def run_drain(options: argparse.Namespace) -> Iterator[Cell]:
    """How fast a worker drains a backlog at the stand-in, against a bare loop of the same client (about a minute)."""
    return drain.cells(drain.Settings(rows=options.rows or 20_000, rounds=options.rounds or 3), say)


def run_contest(options: argparse.Namespace) -> Iterator[Cell]:
    """How fast it drains at the sink, beside other queues on PostgreSQL (about 5 minutes; in full 25)."""
    rows = options.rows or (50_000 if options.full else 10_000)
    return contest.cells(contest.Settings(rows=rows, rounds=options.rounds or 3), say)


def run_scaling(options: argparse.Namespace) -> Iterator[Cell]:
    """What two and four processes send where an answer takes 100 ms, against one (about a minute)."""
    rows = 6_000 if options.full else 3_000
    return scaling.cells(scaling.Settings(rows_per_process=rows, rounds=options.rounds or 3), say)


def run_latency(options: argparse.Namespace) -> Iterator[Cell]:
    """How long an event takes from commit to arrival, at a steady rate, beside other queues (about 3 minutes; in full 11)."""
    return latency.cells(latency.Settings(seconds=60 if options.full else 10), say)


def run_fairness(options: argparse.Namespace) -> Iterator[Cell]:
    """What quiet merchants notice of another's backlog (about a minute; in full 5)."""
    short = fairness.Settings(flood=10_000, seconds=8, rounds=options.rounds or 1)
    return fairness.cells(fairness.Settings(rounds=options.rounds or 3) if options.full else short, say)


def run_size(options: argparse.Namespace) -> Iterator[Cell]:
    """What taking and settling a row costs as tables and backlogs grow (about a minute; in full 5)."""
    settings = size.FULL if options.full else size.Settings()
    return size.cells(replace(settings, rounds=options.rounds or settings.rounds), say)


def run_memory(options: argparse.Namespace) -> Iterator[Cell]:
    """The most memory a worker holds with 100,000 rows due, in full a million (half a minute; in full one)."""
    return memory.cells(memory.Settings() if options.full else memory.Settings(rows=100_000, seconds=8), say)


def run_budget(options: argparse.Namespace) -> Iterator[Cell]:
    """What one brand gets from ten workers in any minute (80 seconds; in full 160)."""
    return budget.cells(budget.Settings(seconds=150 if options.full else 70), say)


def run_clients(options: argparse.Namespace) -> Iterator[Cell]:
    """What HTTP clients send from one process, and what they say of faults (2 minutes; in full 5)."""
    short, full = clients.Settings(), clients.Settings(seconds=2, rounds=3)
    settings = full if options.full else short
    return clients.cells(replace(settings, rounds=options.rounds or settings.rounds), say)


def run_refresh(options: argparse.Namespace) -> Iterator[Cell]:
    """A catalogue refreshed by a worker that is killed three times: memory, and what is missing (about a minute)."""
    return refresh.cells(refresh.Settings() if options.full else refresh.Settings(products=5_000), say)


def run_backfill(options: argparse.Namespace) -> Iterator[Cell]:
    """What live events notice of their own merchant's history being imported (a minute; in full three)."""
    short = backfill.Settings(orders=4_000, seconds=40)
    return backfill.cells(backfill.Settings() if options.full else short, say)


SUITES: dict[str, Suite] = {
    "writers": run_writers,
    "drain": run_drain,
    "contest": run_contest,
    "scaling": run_scaling,
    "latency": run_latency,
    "fairness": run_fairness,
    "size": run_size,
    "memory": run_memory,
    "budget": run_budget,
    "clients": run_clients,
    "refresh": run_refresh,
    "backfill": run_backfill,
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
    parser.add_argument("--full", action="store_true", help="full row counts, which take longer")
    parser.add_argument("--rounds", type=int, help="turns that everybody takes (default: the suite's own)")
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
    parser.add_argument("--rows", type=int, help="rows to drain (default: the suite's own)")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    options.suites = options.suites or list(SUITES)
    return options


if __name__ == "__main__":
    sys.exit(main())
