"""Sessions that insert orders as fast as the server takes them: pgbench where there is one, else psycopg threads."""

from __future__ import annotations

import json
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

from sandbox.world import Database

Protocol = Literal["extended", "prepared", "simple"]

ADDRESS: Final = {
    "address": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postal_code": "8001",
    "country": "South Africa",
}  # fmt: skip
ITEMS: Final = [
    {
        "product_id": 101, "variant_id": 1012, "title": "Linen shirt", "variant_title": "M", "price": 899.00,
        "quantity": 2, "image": "https://cdn.soldt.example/protea/shirt-m.jpg", "subtotal": 1798.00,
    },
    {
        "product_id": 102, "variant_id": None, "title": "Enamel mug", "variant_title": None, "price": 149.50,
        "quantity": 1, "image": "https://cdn.soldt.example/protea/mug.jpg", "subtotal": 149.50,
    },
]  # fmt: skip
CUSTOMERS: Final = 1_000_000

_TEXTS: Final = {
    "address": json.dumps(ADDRESS),
    "items": json.dumps(ITEMS),
    "name": "Naledi van der Merwe",
    "phone": "082 123 4567",
    "note": "Please ring at the gate",
}
_INSERT: Final = """insert into public.orders (merchant_id, customer_email, customer_name, customer_phone,
  shipping_address, items, subtotal, shipping, tax, total, status, payment_status, payment_method, notes)
values ({merchant}, {email}, {name}, {phone}, {address}, {items},
  1947.50, 99.00, 254.02, 2046.50, 'pending', 'pending', 'payfast', {note})
returning id"""
_PGBENCH_SCRIPT: Final = (
    f"\\set customer random(1, {CUSTOMERS})\n"
    + _INSERT.format(
        email="'customer' || :customer::int || '@shopper.example'",
        **{name: f":{name}" for name in ("merchant", *_TEXTS)},
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
        values = {"merchant": str(self.merchant_id), **_TEXTS}
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
        statement = _INSERT.format(
            email="%(email)s", **{name: f"%({name})s" for name in ("merchant", *_TEXTS)}
        )
        start = threading.Barrier(sessions + 1)
        ended = threading.Event()
        counts = [0] * sessions
        failures: list[Exception] = []

        def session(number: int) -> None:
            values = {"merchant": self.merchant_id, **_TEXTS}
            cursors = psycopg.ClientCursor if self.protocol == "simple" else psycopg.Cursor
            try:
                with psycopg.connect(database.url(), autocommit=True, cursor_factory=cursors) as conn:
                    start.wait()
                    while not ended.is_set():
                        email = f"customer{random.randint(1, CUSTOMERS)}@shopper.example"
                        conn.execute(
                            statement, {**values, "email": email}, prepare=self.protocol == "prepared"
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
