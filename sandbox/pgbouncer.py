"""PgBouncer in transaction mode before a server: what Supabase's pooler on port 6543 does to a client.

It is made as strict as Supavisor is by default: no prepared statements outlive their transaction, which versions
before 1.21 (Debian 12's) could not offer anyway and later ones are told not to.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from sandbox.postgres import Server, password_in
from sandbox.processes import (
    LOOPBACK,
    GuardedProcess,
    SandboxError,
    free_port,
    log_tail,
    remove_tree,
    scratch_directory,
    server_account,
)

HOW_TO_GET_PGBOUNCER = "apt-get install pgbouncer (or brew install pgbouncer)."

_PORT_TRIES = 10
_START_TIMEOUT = 10.0  # seconds; a start takes a few hundredths


def find_pgbouncer() -> Path | None:
    """The program, or None. Debian puts it where an ordinary user's PATH does not look."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


class PgBouncer:
    """A transaction-mode pooler for every database of ``server``, started on entering the context.

    Args:
        server: the server behind it.
        users: the roles it admits; all have the sandbox's password.
        pool_size: connections to the server per database and role; more clients than that wait for one another.
    """

    host = LOOPBACK

    def __init__(
        self,
        server: Server,
        *,
        users: Iterable[str] = ("postgres", "authenticator", "omnisend_worker"),
        pool_size: int = 5,
    ) -> None:
        binary = find_pgbouncer()
        if binary is None:
            raise SandboxError(f"PgBouncer was not found on this machine. {HOW_TO_GET_PGBOUNCER}")
        self._binary = binary
        self._server = server
        self.superuser = server.superuser
        self._users = (*users, server.superuser)
        self._pool_size = pool_size
        self._account = server_account()
        self._scratch: Path | None = None
        self._process: GuardedProcess | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._scratch = scratch_directory("pgbouncer", self._account)
        try:
            self._start(self._scratch)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def url(self, *, user: str = "postgres", dbname: str = "postgres") -> str:
        """The URL of ``dbname`` by way of the pooler."""
        credentials = f"{quote(user, safe='')}:{quote(self._password(user), safe='')}"
        return f"postgresql://{credentials}@{self.host}:{self.port}/{quote(dbname, safe='')}"

    def stop(self) -> None:
        """End it at once; its clients' connections break."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._scratch is not None:
            remove_tree(self._scratch)
            self._scratch = None

    def _password(self, user: str) -> str:
        return password_in(self._server.url(user=user))

    def _start(self, scratch: Path) -> None:
        log = scratch / "pgbouncer.log"
        for _ in range(_PORT_TRIES):
            self.port = free_port()
            command = [self._binary, *self._configure(scratch)]
            self._process = GuardedProcess(command, log=log, account=self._account, scratch=scratch)
            if self._became_ready(self._process):
                return
        raise SandboxError(f"PgBouncer did not start. Its log ends with:\n{log_tail(log)}")

    def _configure(self, scratch: Path) -> list[Path]:
        """Write the configuration and return the arguments that name it."""
        target = urlsplit(self._server.url())
        users = scratch / "users.txt"
        users.write_text("".join(f'"{user}" "{self._password(user)}"\n' for user in self._users))
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "pool_mode": "transaction",
            "default_pool_size": self._pool_size,
            "max_client_conn": 500,
            "auth_type": "scram-sha-256",
            "auth_file": users,
        }
        if self._version() >= (1, 21):
            settings["max_prepared_statements"] = 0
        ini = scratch / "pgbouncer.ini"
        lines = ["[databases]", f"* = host={target.hostname} port={target.port or 5432}", "[pgbouncer]"]
        ini.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items()), ""]))
        if self._account is not None:
            for path in (users, ini):
                os.chown(path, self._account.uid, self._account.gid)
        return [ini]

    def _version(self) -> tuple[int, ...]:
        said = subprocess.run([self._binary, "--version"], check=True, capture_output=True, text=True).stdout
        found = re.search(r"PgBouncer (\d+)\.(\d+)", said)
        return tuple(int(part) for part in found.groups()) if found else (0, 0)

    def _became_ready(self, process: GuardedProcess) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT
        while process.running and time.monotonic() < deadline:
            # Its own word, in its own log: another program on the port would answer a connection too.
            if f"listening on {self.host}:{self.port}" in process.log.read_text(errors="replace"):
                with socket.create_connection((self.host, self.port), timeout=5):
                    return True
            time.sleep(0.01)
        process.stop()
        return False
