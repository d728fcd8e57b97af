"""Parts that a laptop may lack. Their tests are skipped, the end of the run says so, and CI allows none to be missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

_MARK = "missing part: "


def missing(part: str, how_to_get: str) -> NoReturn:
    """Skip this test because ``part`` is not on this machine; with ``REQUIRE_ALL_PARTS=1`` fail it instead."""
    if os.environ.get("REQUIRE_ALL_PARTS") == "1":
        pytest.fail(f"{part} is missing and REQUIRE_ALL_PARTS=1. {how_to_get}", pytrace=False)
    pytest.skip(f"{_MARK}{part}\n{how_to_get}")


def say_what_was_left_out(reporter: pytest.TerminalReporter) -> None:
    """A section at the end of the run: which parts were missing, how many tests that cost, how to get them.

    Read from the reports and not from a variable, because under xdist the skipping was another process's.
    """
    left_out: dict[tuple[str, str], int] = {}
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, found, rest = reason.partition(_MARK)
        if found:
            part, _, how_to_get = rest.partition("\n")
            left_out[part, how_to_get] = left_out.get((part, how_to_get), 0) + 1
    if not left_out:
        return
    reporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    for (part, how_to_get), count in sorted(left_out.items()):
        reporter.line(
            f"{part} is missing: {count} test{'s' if count > 1 else ''} left out. {how_to_get}", yellow=True
        )
