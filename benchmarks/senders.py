"""What may take its turn at sending events as they are committed: this project's worker, and the peers beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks import orders
from benchmarks.peers import Peer
from benchmarks.shops import connect_merchants
from benchmarks.worker_process import ROOT, running_worker
from sandbox.postgres import Server
from sandbox.world import prepare_database
from soldt_outbox.administration.waking import switch_wake_ups
from soldt_outbox.credentials import KeyRing

_FILL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A sender with a database of its own.

    Attributes:
        name: of it and of how it learns of new events.
        url: the database that events are written into.
        session: the module of the steady writer's sessions, which knows how.
        running: runs it, against a receiver at the URL given, until the context is left.
        forget: makes the tables as they were before anything was written.
    """

    name: str
    url: str
    session: str
    running: Callable[[str], AbstractContextManager[object]]
    forget: Callable[[], None]


def worker(server: Server, name: str, *, merchants: int, notify: bool) -> Sender:
    """This project's worker, one process without a budget; ``notify``: the order's transaction wakes it."""
    database = prepare_database(server, "woken" if notify else "polled")
    ring = KeyRing.generate("bench")
    connect_merchants(database, ring, merchants)
    if notify:
        with database.connect(autocommit=True) as conn:
            switch_wake_ups(conn, on=True)

    def running(receiver: str) -> AbstractContextManager[object]:
        if notify:
            return running_worker(database, receiver, ring, WORKER_WAKE_UP="notify")
        return running_worker(database, receiver, ring)

    return Sender(
        name=name,
        url=database.url(),
        session="benchmarks.orders",
        running=running,
        forget=lambda: orders.forget_all(database),
    )


def peer(server: Server, name: str, peer: Peer, *, setting: str) -> Sender:
    """A peer's worker, one process with our HTTP client, woken by NOTIFY as it is by default.

    Its tables are made anew in an empty database for each turn.
    """
    database = f"peer_{peer.package}"
    url = server.url(user=server.superuser, dbname=database)
    program = [sys.executable, "-m", f"benchmarks.peers.{peer.module}"]

    def forget() -> None:
        with psycopg.connect(server.url(user=server.superuser), autocommit=True) as conn:
            conn.execute(f"drop database if exists {database} with (force)")
            conn.execute(f"create database {database}")
        subprocess.run([*program, "fill", url, os.devnull], check=True, timeout=_FILL_S, cwd=ROOT)

    @contextmanager
    def running(receiver: str) -> Iterator[None]:
        asked = [*program, "drain", url, receiver, "--client", "ours", "--setting", setting]
        process = subprocess.Popen(asked, cwd=ROOT, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # and what it started, which would outlive it
            process.wait()

    return Sender(
        name=name,
        url=url,
        session=f"benchmarks.peers.{peer.package}_latency",
        running=running,
        forget=forget,
    )
