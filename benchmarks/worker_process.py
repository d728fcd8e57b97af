"""The worker as it is deployed, a process of its own (or several), for as long as a benchmark wants it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sandbox.world import Database

ROOT: Final = Path(__file__).parent.parent
"""Where processes of this project are started, so that they import it from here."""

_STOP_S: Final = 30.0  # what the platform gives a process between SIGTERM and SIGKILL
_UNLIMITED: Final = 100_000_000


@contextmanager
def running_worker(
    database: Database, url: str, ring: str, *, processes: int = 1, concurrency: int = 64, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m worker`` against ``database`` and an Omnisend at ``url``; stopped in order on leaving.

    Args:
        database: whose outbox it sends.
        url: where Omnisend is.
        ring: the encryption keys, as ``KeyRing.generate`` writes them.
        processes: how many of it.
        concurrency: requests under way at once in each.
        environment: further settings, such as ``OMNISEND_REQUESTS_PER_MINUTE="400"``; without that one a
            merchant's budget is never the bound.
    """
    settings = {
        "DATABASE_URL": database.url("omnisend_worker"),
        "OUTBOX_ENCRYPTION_KEYS": ring,
        "OMNISEND_BASE_URL": url,
        "OMNISEND_REQUESTS_PER_MINUTE": str(_UNLIMITED),
        "WORKER_CONCURRENCY": str(concurrency),
        "WORKER_PROCESSES": str(processes),
        "LOG_LEVEL": "warning",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "worker"], env=os.environ | settings | environment, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
