"""What HTTP clients send from one process, and what each says when something goes wrong.

Every client posts the worker's event bodies to the sink, which answers at once, with as many requests under way as it
may hold connections. Each measurement is a process of its own on uvloop; at each number of connections all clients take
turns, one right after the other, in rounds of one run. Then each meets every fault on real sockets: whoever reports a
fault that came after the request was read as a connection that was never made hides that Omnisend may have acted.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from benchmarks.backlog import file_of
from benchmarks.http_clients import HttpClient, says_never_sent
from benchmarks.http_clients.faults import READ_FAULTS, errors_of
from benchmarks.http_clients.loop import Run, run_in_process
from benchmarks.peers import HOW_TO_GET_PEERS
from benchmarks.peers.bodies import KEY, body
from benchmarks.report import Bar, Cell, Rounds, Say, ratio
from benchmarks.sink import SinkProcess

_BASE: Final = HttpClient.AIOHTTP
_CONNECTIONS: Final = (8, 16, 64, 256)
_BODIES: Final = 1_000
_NONE: Final = Bar("at most", 0)
_BARS: Final = {HttpClient.HTTPX_OURS: _NONE, HttpClient.OURS: _NONE}
"""The project's own, which are never missing: the worker sends again at once what they say was never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    seconds: float = 1
    """Of each client, number of connections and round."""

    rounds: int = 2


_Runs = dict[tuple[HttpClient, int], list[Run]]
"""The runs of each round, by client and number of connections."""


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """Each client against bare aiohttp at each number of connections, then what each says of faults."""
    installed = [client for client in HttpClient if not client.missing]
    runs = _measure(installed, settings, say)
    for connections in _CONNECTIONS:
        for client in HttpClient:
            if client is not _BASE:
                name = f"clients: {connections} connections, requests/s of {client} / {_BASE}"
                yield (
                    _skipped(name, client)
                    if client.missing
                    else _against_base(name, runs, client, connections)
                )
    for client in HttpClient:
        name = f"clients: faults after the request was read that {client} reports as no connection"
        yield _skipped(name, client) if client.missing else _faults(name, client)


def _measure(clients: Sequence[HttpClient], settings: Settings, say: Say) -> _Runs:
    runs: _Runs = {(client, connections): [] for connections in _CONNECTIONS for client in clients}
    with SinkProcess() as sink, file_of([(KEY, body(uuid4())) for _ in range(_BODIES)]) as file:
        for number in range(1, settings.rounds + 1):
            for client, connections in runs if number % 2 else reversed(runs):
                sink.reset()
                run = run_in_process(
                    client, sink.url, connections=connections, seconds=settings.seconds, file=file
                )
                arrived = sink.summary()["requests"]
                if arrived != run.warm_up + run.requests:
                    raise RuntimeError(
                        f"{client} counted {run.warm_up} + {run.requests} answers, the sink {arrived} requests"
                    )
                runs[client, connections].append(run)
                say(
                    f"clients {number}/{settings.rounds}: {connections} connections, {client}: "
                    f"{run.rate:,.0f} requests/s, {run.cpu_us:,.0f} µs of CPU each"
                )
    return runs


def _against_base(name: str, runs: _Runs, client: HttpClient, connections: int) -> Cell:
    measured, base = runs[client, connections], runs[_BASE, connections]
    return ratio(
        name,
        Rounds(f"{client} requests/s", [run.rate for run in measured]),
        Rounds(f"{_BASE} requests/s", [run.rate for run in base]),
        bar=None,
        against=f"the sink, uvloop, bodies of {len(body(uuid4())):,} bytes; {client.versions}; {_BASE.versions}",
        **{
            f"{which} µs of CPU a request": statistics.median(run.cpu_us for run in its)
            for which, its in ((client, measured), (_BASE, base))
        },
    )


def _faults(name: str, client: HttpClient) -> Cell:
    errors = errors_of(client, body(uuid4()))
    return Cell(
        name=name,
        value=sum(says_never_sent(errors[fault]) for fault in READ_FAULTS),
        bar=_BARS.get(client),
        against=f"a server with one fault, on the loopback, a new client for each; {client.versions}",
        words={"client": client, **{str(fault): error for fault, error in errors.items()}},
    )


def _skipped(name: str, client: HttpClient) -> Cell:
    return Cell(
        name=name,
        value=None,
        bar=None,
        against="the loopback",
        note=f"SKIPPED: {', '.join(client.missing)} is not installed. {HOW_TO_GET_PEERS}",
    )
