"""Server processes that never outlive the program that started them, and never run as root.

PostgreSQL and PgBouncer refuse to run as root, and rightly. Only they are started under another account;
the program itself keeps its own. A process killed with SIGKILL runs no clean-up of its own, so each server
stands beneath a small shell that holds the reading end of a pipe: when the writing end goes away, however it
goes away, the shell stops the server and removes its scratch directory.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"

# dash and bash alike. The child's pid is the only line on stdout; what the child says goes to the log.
_GUARD = """
stop_signal=$1 scratch=$2 log=$3
shift 3
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
child=$!
orphaned=
trap 'orphaned=1; kill -s "$stop_signal" "$child"' USR1
echo "$child"
exec >/dev/null 2>&1
( while read -r _ <&3; do :; done; kill -s USR1 $$ ) &
watcher=$!
exec 3<&-
wait "$child"
status=$?
if [ -n "$orphaned" ]; then
    wait "$child"
    [ -z "$scratch" ] || rm -rf "$scratch"
else
    kill "$watcher"
fi
exit "$status"
"""


class SandboxError(RuntimeError):
    """A part of the sandbox could not be found or started; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """An operating-system account that servers run under."""

    name: str
    uid: int
    gid: int

    def may_run(self, command: Sequence[str | Path]) -> bool:
        """Whether this account can execute ``command``, which must be harmless (``--version``)."""
        try:
            done = subprocess.run(
                [str(part) for part in command],
                check=False,
                capture_output=True,
                timeout=30,
                **as_account(self),
            )
        except OSError:
            return False
        return done.returncode == 0


def server_account() -> Account | None:
    """The account servers run under: ``postgres`` or ``nobody`` when this is root, else None for one's own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return Account(name, entry.pw_uid, entry.pw_gid)
    raise SandboxError(
        "PostgreSQL does not run as root, and this machine has neither a 'postgres' nor a 'nobody' account "
        "to run it under. Run this as an ordinary user, or create one of the two."
    )


def as_account(account: Account | None) -> dict[str, Any]:
    """Keyword arguments that make ``subprocess`` run a command under ``account``."""
    if account is None:
        return {"cwd": "/"}
    return {"user": account.uid, "group": account.gid, "extra_groups": [], "cwd": "/"}


def scratch_directory(prefix: str, account: Account | None) -> Path:
    """A new private directory that ``account`` owns and can reach. No other directory's mode is touched."""
    candidates = dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp"))  # noqa: S108 - mkdtemp inside them
    for parent in candidates:
        try:
            scratch = Path(tempfile.mkdtemp(prefix=f"soldt-{prefix}-", dir=parent))
        except OSError:
            continue
        if account is None:
            return scratch
        try:
            os.chown(scratch, account.uid, account.gid)
        except PermissionError as error:
            scratch.rmdir()
            raise SandboxError(
                f"This is root, but a root that may not give files to {account.name!r} (a container without "
                f"CAP_CHOWN and CAP_SETUID?), and PostgreSQL does not run as root. Run this as an ordinary user."
            ) from error
        if account.may_run(["test", "-w", scratch]):
            return scratch
        scratch.rmdir()
    who = account.name if account else "this user"
    raise SandboxError(f"No temporary directory that {who} can write to: tried {', '.join(candidates)}.")


def free_port() -> int:
    """A TCP port nobody listens on at this moment. Another process may take it first: be ready to ask again."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (the log is empty)"


def remove_tree(path: Path) -> None:
    """Remove a scratch directory; a server that is still closing files in it is no error."""
    shutil.rmtree(path, ignore_errors=True)


class GuardedProcess:
    """A running server beneath its guard. ``pid`` is the server's own.

    ``scratch`` is removed by the guard if this program dies; after an orderly ``stop`` it is the caller's to remove.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        account: Account | None,
        env: Mapping[str, str] | None = None,
        scratch: Path | None = None,
        orphan_signal: str = "TERM",
    ) -> None:
        self.log = log
        log.touch()  # readers need not wait for the guard to create it
        if account is not None:
            os.chown(log, account.uid, account.gid)
        self._guard = subprocess.Popen(
            [
                *("/bin/sh", "-c", _GUARD, "guard", orphan_signal, str(scratch or ""), str(log)),
                *(str(part) for part in command),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the program, which then stops its servers in order
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **(env or {})},
            **as_account(account),
        )
        assert self._guard.stdout is not None  # noqa: S101 - PIPE was asked for
        with self._guard.stdout as line:
            self.pid = int(line.readline())

    @property
    def running(self) -> bool:
        return self._guard.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the server itself, not its guard."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Wait for the server to end and let its guard go. Raises ``subprocess.TimeoutExpired``."""
        status = self._guard.wait(timeout)
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout: float = 10) -> None:
        """End the server with ``number``, or with SIGKILL when it has not gone after ``timeout`` seconds."""
        self.send(number)
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.wait(timeout)
