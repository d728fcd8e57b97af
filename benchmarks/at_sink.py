"""One drain at the sink: by our worker, by the bare loop, by a peer, all timed by the same clock and the same rule.

From the first request's arrival until the contestant's own tables say that the last job is acknowledged. Whoever did
not deliver each event exactly once is not measured: the run fails.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import psycopg
from psycopg import sql

from benchmarks.backlog import file_of, ready_bodies, wait_until, wait_until_settled, write_orders
from benchmarks.drain import CONCURRENCY, run_bare_loop
from benchmarks.peers import Client, Peer, Setting
from benchmarks.shops import connect_merchants
from benchmarks.sink import SinkProcess
from benchmarks.worker_process import ROOT, running_worker
from sandbox.postgres import PostgresServer
from sandbox.world import Database, prepare_database
from soldt_outbox.credentials import KeyRing

_SLOWEST: Final = 100  # rows a second; who is slower than that is stuck
_FILL_S: Final = 300.0
_STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Drained:
    """A drain that went well."""

    rows: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


class AtSink:
    """A durable server and a sink, with what a drain needs; each contestant has a database of its own.

    Args:
        merchants: who the orders are of.
        delay_ms: how long the sink takes to answer.
    """

    def __init__(self, *, merchants: int, delay_ms: float = 0) -> None:
        self._merchants = merchants
        self._ring = KeyRing.generate("bench")
        self._server = PostgresServer(durable=True)
        self._sink = SinkProcess(delay_ms=delay_ms)
        self._database: Database
        self._keys: dict[UUID, str]

    def __enter__(self) -> Self:
        self._server.start()
        try:
            self._sink.__enter__()
            self._database = prepare_database(self._server, "ours")
            self._keys = connect_merchants(self._database, self._ring, self._merchants)
        except BaseException:
            self._server.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._sink.__exit__()
        self._server.stop()

    @contextmanager
    def events(self, rows: int) -> Iterator[Path]:
        """A file of as many events, for the bare loop and the peers."""
        write_orders(self._database, rows=rows, merchants=self._merchants)
        with file_of(ready_bodies(self._database, self._keys)) as file:
            yield file

    def ours(self, rows: int, *, processes: int = 1) -> Drained:
        """By our worker: orders, claims, mapping, log rows and all."""
        write_orders(self._database, rows=rows, merchants=self._merchants)
        self._sink.reset()
        with (
            running_worker(
                self._database, self._sink.url, self._ring, processes=processes, concurrency=CONCURRENCY
            ) as process,
            self._database.connect(self._database.superuser, autocommit=True) as conn,
        ):
            self._wait_for_events(rows, [process])
            settled = wait_until_settled(conn, timeout_s=_timeout_s(rows))
        return self._drained("our worker", rows, settled)

    def bare(self, file: Path, rows: int) -> Drained:
        """By the worker's client in a bare loop: the ceiling. Nothing is acknowledged, so the last arrival ends it."""
        self._sink.reset()
        run_bare_loop(self._sink.url, file)
        return self._drained("the bare loop", rows, self._sink.summary()["last"])

    def peer(self, peer: Peer, setting: Setting, client: Client, file: Path, rows: int) -> Drained:
        """By a peer, in a database of its own that is new."""
        with self._new_database() as url:
            program = [sys.executable, "-m", f"benchmarks.peers.{peer.module}"]
            subprocess.run([*program, "fill", url, str(file)], check=True, timeout=_FILL_S, cwd=ROOT)
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("vacuum analyze")
                conn.execute(
                    "set enable_nestloop = off"
                )  # statistics are of before; awa's view may take a minute else
                self._sink.reset()
                drain = [*program, "drain", url, self._sink.url]
                options = ["--client", client, "--setting", setting.argument]
                with _running([*drain, *options], count=setting.processes) as processes:
                    self._wait_for_events(rows, processes)
                    acknowledged = wait_until(
                        lambda: conn.execute(peer.acknowledged, {"rows": rows}).fetchone() == (True,),
                        timeout_s=_timeout_s(rows),
                    )
        return self._drained(f"{peer.name} ({setting}, {client})", rows, acknowledged)

    @contextmanager
    def _new_database(self) -> Iterator[str]:
        """The URL of an empty database, as its superuser; removed on leaving."""
        superuser, name = self._server.superuser, sql.Identifier("peer")
        with psycopg.connect(self._server.url(user=superuser), autocommit=True) as conn:
            conn.execute(sql.SQL("create database {}").format(name))
            try:
                yield self._server.url(user=superuser, dbname="peer")
            finally:
                conn.execute(sql.SQL("drop database {} with (force)").format(name))

    def _wait_for_events(self, rows: int, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        until = time.monotonic() + _timeout_s(rows)
        while (events := self._sink.summary()["events"]) < rows:
            if ended := [process.args for process in processes if process.poll() is not None]:
                raise RuntimeError(f"{ended} ended after {events} of {rows} events")
            if time.monotonic() > until:
                raise TimeoutError(f"{events} of {rows} events came within {_timeout_s(rows):g} s")
            time.sleep(0.02)

    def _drained(self, who: str, rows: int, ended: float) -> Drained:
        summary = self._sink.summary()
        if not summary["requests"] == summary["events"] == rows:
            raise RuntimeError(
                f"{who} sent {summary['requests']} requests with {summary['events']} different events for {rows} jobs"
            )
        return Drained(rows, ended - summary["first"])


def _timeout_s(rows: int) -> float:
    return 60 + rows / _SLOWEST


@contextmanager
def _running(command: list[str], *, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
