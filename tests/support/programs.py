"""Programs that look at a database from outside: the Supabase CLI and pg_prove."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.postgres import password_in
from sandbox.world import Database
from tests.support.parts import missing

_CLI = Path(__file__).parent.parent / "parts/node_modules/@supabase/cli-linux-x64/bin/supabase"


@dataclass(frozen=True, slots=True)
class SupabaseCli:
    """The CLI with a home of its own; only commands that take ``--remote`` work without Docker."""

    home: Path

    @classmethod
    def found(cls, home: Path) -> SupabaseCli:
        """Skips the test where the CLI is not installed."""
        if not _CLI.is_file():
            missing("The Supabase CLI", "npm ci --prefix tests/parts (or: make parts); needs Node.")
        return cls(home)

    def run(self, *arguments: str, database: Database) -> subprocess.CompletedProcess[str]:
        """Run a command against ``database`` as ``postgres``; its exit code is the caller's to judge."""
        return subprocess.run(
            [_CLI, *arguments, f"--remote={database.url()}"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.home,
            env={
                "HOME": str(self.home),
                "PATH": os.environ.get("PATH", os.defpath),
                "PGSSLMODE": "disable",
                "SUPABASE_TELEMETRY_DISABLED": "1",
                "DO_NOT_TRACK": "1",
            },
        )

    def advisors(self, database: Database, *, level: str = "warn") -> list[dict[str, Any]]:
        """What ``db advisors`` finds at ``level`` (info, warn, error) or above."""
        done = self.run("db", "advisors", "--type", "all", "--level", level, "-o", "json", database=database)
        if done.returncode != 0 and not done.stdout.strip():
            raise AssertionError(f"supabase db advisors failed: {done.stderr}")
        start = done.stdout.find("[")
        return json.loads(done.stdout[start:]) if start >= 0 else []


@dataclass(frozen=True, slots=True)
class PgProve:
    """pg_prove for one database that has pgTAP."""

    database: Database

    @classmethod
    def found(cls, database: Database) -> PgProve:
        """Makes the extension, as the superuser; skips the test where pgTAP or pg_prove is not installed."""
        with database.connect(database.superuser) as conn:
            available = conn.execute("select from pg_available_extensions where name = 'pgtap'").fetchone()
            if available is None or shutil.which("pg_prove") is None:
                missing("pgTAP", "apt-get install postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl")
            conn.execute("create extension pgtap with schema extensions")
        return cls(database)

    def __call__(self, *paths: Path) -> subprocess.CompletedProcess[str]:
        """Run the ``.sql`` files in ``paths`` as ``postgres``; its exit code is the caller's to judge."""
        url = urlsplit(self.database.url())
        connection = [
            "-h",
            str(url.hostname),
            "-p",
            str(url.port or 5432),
            "-U",
            "postgres",
            "-d",
            self.database.name,
        ]
        return subprocess.run(
            ["pg_prove", "--ext", ".sql", "-r", *connection, *map(str, paths)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PGPASSWORD": password_in(self.database.url())},
        )
