"""Several worker processes under one: started, started again when one dies, and stopped in order together.

A process is bound by one core. Each of them is a whole worker, as if it ran alone: what they share is the database.
They are told to stop over a pipe and pass over signals, because a platform signals every process it knows, and a
worker takes a second signal as the wish not to wait. When the pipe ends, their parent is gone, and they stop too.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from worker.waiting import wait_at_most

log = structlog.get_logger()

#: The hidden argument of a process that is told to stop over its standard input.
COMMANDED: Final = "--commanded"
CANNOT_START: Final = 2  # the exit code of a worker that cannot start as configured
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 30.0
_IN_ORDER: Final = (0, -signal.SIGTERM, -signal.SIGINT)  # by a signal: before it had begun
STEADY_S: Final = 60.0  # one that lived this long is started again as if nothing had been


class Supervisor:
    """Keeps ``count`` processes of ``command`` running until it is told to stop."""

    def __init__(
        self,
        count: int,
        *,
        command: Sequence[str] = (sys.executable, "-m", "worker", "--processes", "1", COMMANDED),
    ) -> None:
        self._count = count
        self._command = command
        self._running: set[Process] = set()
        self._stopping = asyncio.Event()
        self._began = time.monotonic()
        self._exit_code = 0

    def stop(self) -> None:
        """Stop all in order. Once more: they wait for nothing under way."""
        self._stopping.set()
        for process in self._running:
            _tell(process)

    async def run(self) -> int:
        """Until all have stopped; the exit code: 0 where each stopped in order, else that of the one that did not."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._count):
                tasks.create_task(self._keep())
        return self._exit_code

    async def _keep(self) -> None:
        """One process after the other, until told to stop."""
        wait = FIRST_WAIT_S
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._one()
            lived = time.monotonic() - began
            if self._stopping.is_set():
                if code not in _IN_ORDER:
                    self._exit_code = abs(code)
            elif code == CANNOT_START and time.monotonic() - self._began < STEADY_S:
                self._exit_code = code  # it said why; the others would say the same
                self.stop()
            else:
                wait = FIRST_WAIT_S if lived > STEADY_S else wait
                log.error(
                    "a process ended and is started again", exit_code=code, lived_s=round(lived), wait_s=wait
                )
                await wait_at_most(wait, self._stopping)
                wait = min(MAX_WAIT_S, wait * 2)

    async def _one(self) -> int:
        process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE)
        self._running.add(process)
        if self._stopping.is_set():  # while it was being started
            _tell(process)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)


def _tell(process: Process) -> None:
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(b"stop\n")


async def obey(stop: Callable[[], None]) -> None:
    """In a commanded process: call ``stop`` for each line of the standard input, and when it ends."""
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    try:
        while await lines.readline():
            stop()
        stop()
    finally:
        transport.close()
