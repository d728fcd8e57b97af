"""A PostgreSQL server of our own: made, started, stopped and removed without leaving a trace.

    with PostgresServer() as server:
        psycopg.connect(server.url(user="supabase_admin"))

The bootstrap superuser is ``supabase_admin``, as on Supabase, so that ``postgres`` can be the ordinary role it
is there. Connections go over loopback TCP with a password that is public (`PASSWORD`): put nothing of worth in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import quote, unquote, urlsplit

from sandbox.postgres_binaries import PostgresBinaries, find_postgres
from sandbox.processes import (
    LOOPBACK,
    Account,
    GuardedProcess,
    SandboxError,
    as_account,
    free_port,
    log_tail,
    remove_tree,
    scratch_directory,
    server_account,
)

SUPERUSER = "supabase_admin"
PASSWORD = "postgres"  # of every role that can log in; public, like the local Supabase stack's

_START_TIMEOUT = 30.0  # seconds; a start takes 0.1, crash recovery of a benchmark's data a few
_PORT_TRIES = 10  # between finding a free port and listening on it, another process may take it

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",  # Supabase's, and what a publication wants
    "max_connections": "200",
    "log_min_messages": "warning",
    "password_encryption": "scram-sha-256",
}
# Nothing of a test's database has to survive the machine's death; commits then cost no disk flush.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# A benchmark must pay for its commits, and should not be disturbed by checkpoints that a larger server would not make.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}


class Server(Protocol):
    """A server one can connect to: our own `PostgresServer`, or an `OutsideServer`."""

    superuser: str

    def url(self, *, user: str = ..., dbname: str = ...) -> str: ...


class OutsideServer:
    """A server that somebody else runs, reached by the URL of a superuser.

    Roles are made in it and their passwords are public: use a throw-away server, as a CI service container is. Its
    superuser must not be ``postgres``, which is an ordinary role on Supabase: ``docker run -e
    POSTGRES_USER=supabase_admin …``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.username is None or parts.hostname is None:
            raise SandboxError(
                "The database URL must name a superuser and a host: postgresql://USER:PASSWORD@HOST/DB"
            )
        self.superuser = unquote(parts.username)
        self.host = parts.hostname
        self.port = parts.port or 5432
        self._password = password_in(url)
        self._query = f"?{parts.query}" if parts.query else ""

    def url(self, *, user: str = "postgres", dbname: str = "postgres") -> str:
        """The URL for ``user``; the superuser's password is the one given, all others have the sandbox's."""
        password = self._password if user == self.superuser else PASSWORD
        return _url(user, password, self.host, self.port, dbname) + self._query


class PostgresServer:
    """An embedded server. Made on ``start`` (or on entering the context), gone after ``stop``.

    Args:
        major: the PostgreSQL version wanted; by default 17, or else the newest on this machine.
        durable: flush every commit to disk, as a production server does; by default commits are fast and the data
            may be lost with the machine.
        settings: further configuration parameters, which win over the sandbox's own.
        data_dir: keep the data here; an existing cluster is used again and ``stop`` leaves it in place.
        port: a fixed port; by default a free one.
    """

    superuser = SUPERUSER
    host = LOOPBACK

    def __init__(
        self,
        *,
        major: int | None = None,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        port: int | None = None,
    ) -> None:
        self._binaries: PostgresBinaries = find_postgres(major)
        self.major: int = self._binaries.major
        self._settings = {**_SETTINGS, **(_DURABLE if durable else _FAST), **(settings or {})}
        self._kept_data_dir = data_dir.absolute() if data_dir else None
        self._wanted_port = port
        self._port: int | None = port
        self._account: Account | None = server_account()
        self._scratch: Path | None = None
        self._process: GuardedProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        if self._port is None:
            raise SandboxError("The server has no port before it is started.")
        return self._port

    @property
    def bin_dir(self) -> Path:
        """Where this server's programs are (psql, pg_dump, pgbench), in a copy if need be."""
        return self._binaries.bin_dir

    @property
    def log(self) -> Path:
        """The server's log file."""
        if self._scratch is None:
            raise SandboxError("The server has no log before it is started.")
        return self._scratch / "server.log"

    def url(self, *, user: str = "postgres", dbname: str = "postgres") -> str:
        """A connection URL for ``user``, with the sandbox's public password."""
        return _url(user, PASSWORD, self.host, self.port, dbname)

    def start(self) -> Self:
        """Make the cluster if there is none, and start it.

        Raises:
            SandboxError: it cannot be made or started; the message ends with the server's own words.
        """
        if self._scratch is not None:
            raise SandboxError("The server is already started.")
        self._scratch = scratch_directory("postgres", self._account)
        try:
            if self._account is not None and not self._binaries.readable_by(self._account):
                self._binaries = self._binaries.copied_to(self._scratch / "pginstall", self._account)
            self._make_cluster()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server (open sessions are ended) and remove what it left, save a data directory that was given."""
        if self._process is not None:
            self._process.stop(signal.SIGINT if self._kept_data_dir else signal.SIGQUIT, timeout=20)
            self._process = None
        if self._scratch is not None:
            remove_tree(self._scratch)
            self._scratch = None
        self._port = self._wanted_port

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start on the same port with the same data; with ``crash`` without a checkpoint, as if killed."""
        if self._process is None:
            raise SandboxError("Only a started server can be restarted.")
        self._process.stop(signal.SIGQUIT if crash else signal.SIGINT, timeout=20)
        self._process = None
        self._launch(self.port)

    @property
    def _data_dir(self) -> Path:
        return self._kept_data_dir or self.log.parent / "data"

    def _make_cluster(self) -> None:
        data_dir = self._data_dir
        if self._kept_data_dir is not None and self._adopt(self._kept_data_dir):
            return
        password_file = self.log.parent / "password"
        password_file.write_text(PASSWORD)
        if self._account is not None:
            os.chown(password_file, self._account.uid, self._account.gid)
        locale = ["--locale=C.UTF-8"]  # lower() must know more than ASCII; no collation rules, as fast as C
        if self.major >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command: list[str | Path] = [
            self._binaries.tool("initdb"),
            "--pgdata",
            data_dir,
            "--username",
            SUPERUSER,
        ]
        command += ["--pwfile", password_file, "--auth=scram-sha-256", "--encoding=UTF8", *locale]
        made = subprocess.run(
            [*command, "--no-sync", "--no-instructions"],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            **as_account(self._account),
        )
        password_file.unlink()
        if made.returncode != 0:
            raise SandboxError(
                f"initdb of PostgreSQL {self.major} failed in {data_dir}:\n{made.stderr.strip()}"
            )

    def _adopt(self, data_dir: Path) -> bool:
        """Whether a kept directory already holds a cluster of this major; make it ready to be filled if not."""
        version_file = data_dir / "PG_VERSION"
        if version_file.exists():
            found = version_file.read_text().strip()
            if found != str(self.major):
                raise SandboxError(
                    f"{data_dir} was made by PostgreSQL {found}, this is {self.major}: remove it, or install {found}."
                )
            return True
        data_dir.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            os.chown(data_dir, self._account.uid, self._account.gid)
            if not self._account.may_run(["test", "-w", data_dir]):
                raise SandboxError(
                    f"The account {self._account.name!r}, which PostgreSQL runs under here, cannot reach {data_dir}. "
                    f"Choose a directory that is not beneath a private home."
                )
        return False

    def _launch(self, port: int | None = None) -> None:
        fixed = port or self._wanted_port
        for _ in range(1 if fixed else _PORT_TRIES):
            self._port = fixed or free_port()
            self.log.unlink(missing_ok=True)
            self._process = GuardedProcess(
                self._command(self._port),
                log=self.log,
                account=self._account,
                scratch=self._scratch,
                orphan_signal="INT" if self._kept_data_dir else "QUIT",
            )
            if self._became_ready(self._process):
                return
            if "could not bind" not in self.log.read_text(errors="replace"):
                break
        raise SandboxError(f"PostgreSQL {self.major} did not start. Its log ends with:\n{log_tail(self.log)}")

    def _command(self, port: int) -> list[str | Path]:
        zone = "UTC" if Path("/usr/share/zoneinfo/UTC").exists() else "GMT"  # GMT needs no time zone files
        settings = {"timezone": zone, "log_timezone": zone, **self._settings, "port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._binaries.tool("postgres"), "-D", self._data_dir, *options]

    def _became_ready(self, process: GuardedProcess) -> bool:
        """Wait until the server itself, not another one on the same port, says that it takes connections."""
        status_file = self._data_dir / "postmaster.pid"
        deadline = time.monotonic() + _START_TIMEOUT
        while process.running and time.monotonic() < deadline:
            lines = status_file.read_text().splitlines() if status_file.exists() else []
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return True
            time.sleep(0.01)
        process.stop(signal.SIGQUIT)
        return False


def password_in(url: str) -> str:
    """The password of a connection URL as it is typed, empty where there is none."""
    return unquote(urlsplit(url).password or "")


def _url(user: str, password: str, host: str, port: int, dbname: str) -> str:
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return (
        f"postgresql://{credentials}@{f'[{host}]' if ':' in host else host}:{port}/{quote(dbname, safe='')}"
    )
