"""Running a program so that nothing it leaves behind is missed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Playground:
    """A temporary directory of one's own, and the processes that come to descend from this one."""

    scratch: Path
    before: frozenset[int]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`soldt-outbox` with these arguments, its output in a pipe as in a CI log."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=Path(__file__).parents[3],
            env={**environment, "TMPDIR": str(self.scratch)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def left_behind(self) -> list[str]:
        """Processes and files that are still there; what is just ending is given a moment."""
        deadline = time.monotonic() + 10
        while (found := self._found()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _found(self) -> list[str]:
        processes = [command for pid, command in _children().items() if pid not in self.before]
        return processes + [path.name for path in self.scratch.iterdir()]


@pytest.fixture
def playground() -> Iterator[Playground]:
    # Not tmp_path: the account that PostgreSQL runs under when this is root cannot enter it.
    scratch = Path(tempfile.mkdtemp(prefix="demo-test-"))
    scratch.chmod(0o1777)  # as /tmp itself
    # Orphans of what a test starts become this process's children, and cannot hide.
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    yield Playground(scratch, frozenset(_children()))
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)
    shutil.rmtree(scratch)


def _children() -> dict[int, str]:
    """This process's living children and their command lines."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return found
