"""The stand-in in a process of its own, started and stopped by the one that needs it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from sandbox.omnisend.client import StandInControl

_ROOT: Final = Path(__file__).resolve().parents[2]
_READY_S: Final = 20.0
_STOP_S: Final = 5.0


class StandInProcess:
    """Runs `python -m sandbox.omnisend`; `url` and `control` are there once it is ready.

        with StandInProcess("--rate-limit", "0") as omnisend:
            brand = omnisend.control.add_brand()

    It ends with this process even when this one is killed: it stops when its standard input closes.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._urls: dict[str, str] = {}
        self._control: StandInControl | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, timeout_s: float = _READY_S) -> Self:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it ended or said nothing in time; the message holds what it printed.
        """
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.omnisend", "--until-stdin-closes", *self._arguments],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = _first_line(process.stdout, timeout_s)
        try:
            self._urls = msgspec.json.decode(line, type=dict[str, str])
        except msgspec.DecodeError:
            self.stop()
            raise RuntimeError(f"the Omnisend stand-in did not become ready; it said {line!r}") from None
        self._control = StandInControl(self.url)
        return self

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self._control is not None:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def url(self) -> str:
        return self._urls["url"]

    @property
    def control_url(self) -> str:
        return self._urls["control_url"]

    @property
    def control(self) -> StandInControl:
        if self._control is None:
            raise RuntimeError("the Omnisend stand-in is not running")
        return self._control

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the Omnisend stand-in is not running")
        return self._process.pid


def _first_line(stream: IO[str] | None, timeout_s: float) -> str:
    """What it printed first, or nothing when it took too long; read in a thread, for pipes know no time-out."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    if stream is not None:
        threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        return ""
