"""Worker processes as a platform runs them: ``python -m worker``, told everything by the environment."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.processes import GuardedProcess, log_tail

_ROOT: Final = Path(__file__).resolve().parents[2]
_STOP_S: Final = 28.0  # the worker itself gives up after 20 and 5; a platform kills after 30


class WorkerProcess:
    """One worker, started on creation. Its log is a file. It ends with this process, however that ends."""

    def __init__(self, name: str, environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.killed = False
        self._process = GuardedProcess(
            [sys.executable, "-m", "worker"],
            log=self.log,
            account=None,
            env={"PYTHONPATH": str(_ROOT), "LOG_FORMAT": "json", **environment, "DYNO": name},
            scratch=directory,
        )

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def ready(self) -> bool:
        """Whether it says that it claims rows."""
        return any(event == "started" for event in self.events())

    def events(self) -> list[str]:
        """What its log lines are about, in order."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                found.append(str(json.loads(line).get("event")))
            except (ValueError, AttributeError):
                continue  # a line that is still being written, or no JSON: shown as it is when something fails
        return found

    def tail(self, lines: int = 15) -> str:
        """The log's last lines, indented."""
        return log_tail(self.log, lines)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is handed back."""
        self.killed = True
        if self.running:
            self._process.stop(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait for its orderly end."""
        if self.running:
            self._process.stop(signal.SIGTERM, timeout=_STOP_S)
