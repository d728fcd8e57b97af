"""The pooler forgets sessions as Supabase's does, and the proxy breaks connections as networks do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import psycopg
import pytest

from sandbox.tcp_proxy import TcpProxy
from sandbox.world import Database


def test_transactions_of_one_session_share_no_connection(pgbouncer: Database) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(pgbouncer.url())) for _ in range(3)]
        first = clients[0].execute("select pg_backend_pid()").fetchone()
        others = [client.execute("select pg_backend_pid()").fetchone() for client in clients[1:]]
        assert first not in others, "inside a transaction a connection is one's own"
        for client in clients:
            client.commit()
        assert clients[2].execute("select pg_backend_pid()").fetchone() in [first, *others]


def test_the_pooler_admits_more_clients_than_it_has_connections(pgbouncer: Database) -> None:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(psycopg.connect(pgbouncer.url("omnisend_worker"), autocommit=True))
            for _ in range(20)
        ]
        pids = {client.execute("select pg_backend_pid()").fetchone() for client in clients}
    assert len(pids) <= 5


def test_prepared_statements_collide_in_the_pooler(pgbouncer: Database) -> None:
    """Why this project sets prepare_threshold=None: two sessions' statements meet on one connection."""
    with (
        psycopg.connect(pgbouncer.url(), autocommit=True) as first,
        psycopg.connect(pgbouncer.url(), autocommit=True) as second,
    ):
        first.prepare_threshold = second.prepare_threshold = 0
        first.execute("select %s::int", [1])
        with pytest.raises(
            (psycopg.errors.DuplicatePreparedStatement, psycopg.errors.InvalidSqlStatementName)
        ):
            second.execute("select %s::int", [1])


@pytest.fixture
def proxy(database: Database, tcp_proxy: Callable[[str, int], TcpProxy]) -> TcpProxy:
    info = psycopg.conninfo.conninfo_to_dict(database.url())
    return tcp_proxy(str(info["host"]), int(info["port"] or 5432))


def test_a_paused_connection_hears_nothing_until_it_is_resumed(database: Database, proxy: TcpProxy) -> None:
    with psycopg.connect(proxy.url(database.url()), autocommit=True) as conn:
        proxy.pause()
        answered = threading.Event()
        asking = threading.Thread(target=lambda: (conn.execute("select 1"), answered.set()))
        asking.start()
        assert not answered.wait(0.3)
        proxy.resume()
        assert answered.wait(10)
        asking.join()


def test_a_cut_connection_breaks_and_a_new_one_works(database: Database, proxy: TcpProxy) -> None:
    with psycopg.connect(proxy.url(database.url()), autocommit=True) as conn:
        assert proxy.open_connections == 1
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
    with psycopg.connect(proxy.url(database.url())) as conn:
        conn.execute("select 1")
    assert proxy.accepted == 2


def test_a_paused_connection_can_be_cut(database: Database, proxy: TcpProxy) -> None:
    with psycopg.connect(proxy.url(database.url()), autocommit=True) as conn:
        proxy.pause()
        killer = threading.Timer(0.1, proxy.cut)
        killer.start()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
        killer.join()
    assert proxy.open_connections == 0


def test_refused_connections_are_taken_again_on_the_same_port(database: Database, proxy: TcpProxy) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(proxy.url(database.url()))
    proxy.accept()
    assert proxy.port == port
    psycopg.connect(proxy.url(database.url())).close()
