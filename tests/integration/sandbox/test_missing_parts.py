"""A run that left something out says so, and a run that may leave nothing out fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox


@pytest.fixture
def lacking(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(
        "from tests.support.parts import say_what_was_left_out\n"
        "def pytest_terminal_summary(terminalreporter):\n"
        "    say_what_was_left_out(terminalreporter)\n"
    )
    (tmp_path / "test_lacking.py").write_text(
        "from tests.support.parts import missing\n"
        "def test_one():\n    missing('Widget', 'apt-get install widget')\n"
        "def test_two():\n    missing('Widget', 'apt-get install widget')\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_what_was_left_out_is_said_at_the_end(lacking: Path) -> None:
    status, output = _run(lacking, require_all="0")
    assert status == 0
    assert "NOT EVERYTHING WAS TESTED" in output
    assert "Widget is missing: 2 tests left out. apt-get install widget" in output


def test_nothing_may_be_left_out_where_all_parts_are_required(lacking: Path) -> None:
    status, output = _run(lacking, require_all="1")
    assert status == 1
    assert "Widget is missing and REQUIRE_ALL_PARTS=1. apt-get install widget" in output


def _run(folder: Path, *, require_all: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(sandbox.__file__).parent.parent),
            "REQUIRE_ALL_PARTS": require_all,
        },
    )
    return done.returncode, done.stdout
