"""What may take its turn at sending events as they are committed: this project's worker, and the peers beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks import orders
from benchmarks.shops import connect_merchants
from benchmarks.worker_process import running_worker
from sandbox.postgres import Server
from sandbox.world import prepare_database
from soldt_outbox.credentials import KeyRing


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


def worker(server: Server, *, merchants: int, notify: bool) -> Sender:
    """This project's worker, one process without a budget; ``notify``: the order's transaction wakes it."""
    database = prepare_database(server, "woken" if notify else "polled")
    ring = KeyRing.generate("bench")
    connect_merchants(database, ring, merchants)
    environment = {}
    if notify:
        environment["WORKER_WAKE_UP"] = "notify"
        with database.connect(database.superuser, autocommit=True) as conn:
            conn.execute(f"alter database {database.name} set omnisend.notify = 'on'")
    return Sender(
        name=f"worker, {'NOTIFY' if notify else 'polling'}",
        url=database.url(),
        session=orders.__name__,
        running=lambda receiver: running_worker(database, receiver, ring, **environment),
        forget=lambda: orders.forget_all(database),
    )
