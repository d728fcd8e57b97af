"""Sessions that insert orders as fast as the server takes them: pgbench where there is one, else psycopg threads."""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import psycopg

from benchmarks.the_order import CUSTOMERS, INSERT, PSYCOPG_INSERT, TEXTS
from sandbox.world import Database

Protocol = Literal["extended", "prepared", "simple"]

_PGBENCH_SCRIPT: Final = (
    f"\\set customer random(1, {CUSTOMERS})\n"
    + INSERT.format(
        email="'customer' || :customer::int || '@shopper.example'",
        **{name: f":{name}" for name in ("merchant", *TEXTS)},
    ).replace("\n", " ")
    + ";\n"
)


@dataclass(frozen=True, slots=True)
class OrderLoad:
    """Sessions of one merchant's customers; each order is a statement that commits by itself.

    Attributes:
        pgbench: its binary; None for psycopg threads, which are bound by Python and so flatter whatever is measured.
        protocol: ``extended`` parses each statement, as drivers do behind a pooler in transaction mode; ``prepared``
            parses it once a session; ``simple`` has the values in the statement's text.
    """

    pgbench: Path | None
    merchant_id: UUID
    protocol: Protocol = "extended"

    def __str__(self) -> str:
        return f"{'pgbench' if self.pgbench else 'psycopg threads'}, {self.protocol} protocol, one merchant"

    def run(self, database: Database, *, sessions: int, seconds: int) -> float:
        """Orders committed per second."""
        if self.pgbench is None:
            return self._with_psycopg(database, sessions, seconds)
        return self._with_pgbench(self.pgbench, database, sessions, seconds)

    def _with_pgbench(self, pgbench: Path, database: Database, sessions: int, seconds: int) -> float:
        values = {"merchant": str(self.merchant_id), **TEXTS}
        if self.protocol == "simple":
            values = {name: "'" + value.replace("'", "''") + "'" for name, value in values.items()}
        variables = [part for name, value in values.items() for part in ("-D", f"{name}={value}")]
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(_PGBENCH_SCRIPT)
            script.flush()
            command = [
                pgbench, "--no-vacuum", "--protocol", self.protocol, "--client", str(sessions),
                "--jobs", str(min(sessions, os.cpu_count() or 1)), "--time", str(seconds), "--file", script.name, *variables, database.url(),
            ]  # fmt: skip
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 60)
        found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        if done.returncode != 0 or found is None:
            raise RuntimeError(
                f"pgbench failed ({done.returncode}):\n{done.stdout[-500:]}\n{done.stderr[-1500:]}"
            )
        return float(found[1])

    def _with_psycopg(self, database: Database, sessions: int, seconds: int) -> float:
        start = threading.Barrier(sessions + 1)
        ended = threading.Event()
        counts = [0] * sessions
        failures: list[Exception] = []

        def session(number: int) -> None:
            values = {"merchant": self.merchant_id, **TEXTS}
            cursors = psycopg.ClientCursor if self.protocol == "simple" else psycopg.Cursor
            try:
                with psycopg.connect(database.url(), autocommit=True, cursor_factory=cursors) as conn:
                    start.wait()
                    while not ended.is_set():
                        email = f"customer{random.randint(1, CUSTOMERS)}@shopper.example"
                        conn.execute(
                            PSYCOPG_INSERT, {**values, "email": email}, prepare=self.protocol == "prepared"
                        )
                        counts[number] += 1
            except psycopg.Error as error:
                failures.append(error)
                start.abort()

        threads = [threading.Thread(target=session, args=[number], daemon=True) for number in range(sessions)]
        for thread in threads:
            thread.start()
        start.wait()
        began = time.perf_counter()
        time.sleep(seconds)
        ended.set()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return sum(counts) / (time.perf_counter() - began)
