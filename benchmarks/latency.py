"""How long an event takes from commit to arrival, at a steady rate that leaves a sender idle now and then.

Senders take turns, each with a database of its own on one durable server and the sink as receiver: the worker polling
(its default), the worker woken by NOTIFY, and the peers. Budgets do not bind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import senders
from benchmarks.peers import CHANCY, HOW_TO_GET_PEERS, PGQUEUER, PROCRASTINATE, Peer
from benchmarks.report import Bar, Cell, Say
from benchmarks.senders import Sender
from benchmarks.sink import SinkProcess
from benchmarks.steady_writer import SteadyWriter
from benchmarks.waits import Waits, arrivals_of
from sandbox.postgres import PostgresServer

MERCHANTS: Final = 50
RATES: Final = (200, 1_000)
POLLING: Final = "worker, polling"
WOKEN: Final = "worker, NOTIFY"
# Each with what its documentation has by default or advises for short jobs; pgqueuer's larger batches are for throughput.
PEERS: Final[Mapping[str, tuple[Peer, str]]] = {
    "pgqueuer, NOTIFY": (PGQUEUER, "1x10"),
    "procrastinate, NOTIFY": (PROCRASTINATE, "30"),
    "chancy, NOTIFY": (CHANCY, "100"),
}
BARS: Final = {
    (POLLING, 200, 0.50): Bar("at most", 40),
    (POLLING, 200, 0.99): Bar("at most", 120),
    (WOKEN, 200, 0.50): Bar("at most", 10),
}
RIVAL: Final = "pgqueuer, NOTIFY"  # whose 99th percentile ours is held to
RIVAL_RATE: Final = 200
RIVAL_BAR: Final = Bar("at most", 1)

_WARM_UP_S: Final = 2.0  # of each turn, not counted: connections opened, statements prepared, shops looked up
_READY_S: Final = 30.0
_PATIENCE_S: Final = 60.0  # for events still to come when the last is committed
_PUNCTUAL_MS: Final = 50.0
_BEHIND_MS: Final = 1_000.0
_MISSING: Final = f"SKIPPED: it is not installed. {HOW_TO_GET_PEERS}"
_AGAINST: Final = "durable embedded PostgreSQL, the sink; orders of 50 merchants, each a transaction (the peers: a job of the same size)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    seconds: float = 60


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """A median and a 99th percentile of each sender at each rate, when all have had their turn at that rate."""
    with PostgresServer(durable=True) as server, SinkProcess() as sink:
        taking_turns = _senders(server)
        for rate in RATES:
            waits = {sender.name: _turn(sender, sink, rate, settings, say) for sender in taking_turns}
            for name in (POLLING, WOKEN, *PEERS):
                yield from _about(name, rate, waits.get(name))
            if rate == RIVAL_RATE:
                yield _beside_the_rival(waits)


def _senders(server: PostgresServer) -> list[Sender]:
    """Ours, and the peers that are installed."""
    return [
        senders.worker(server, POLLING, merchants=MERCHANTS, notify=False),
        senders.worker(server, WOKEN, merchants=MERCHANTS, notify=True),
        *(
            senders.peer(server, name, peer, setting=setting)
            for name, (peer, setting) in PEERS.items()
            if peer.is_installed
        ),
    ]


def _turn(sender: Sender, sink: SinkProcess, rate: int, settings: Settings, say: Say) -> Waits:
    sender.forget()
    sink.reset()
    seconds = _WARM_UP_S + settings.seconds
    writer = SteadyWriter(sender.session, sender.url, rate=rate, seconds=seconds, merchants=range(MERCHANTS))
    with writer, sender.running(sink.url):
        sink.wait_for(1, timeout_s=_READY_S)
        writer.go()
        written = writer.written()
        arrivals = arrivals_of(written, sink, patience_s=_PATIENCE_S)
    waits = Waits.of([one for one in written if one.due >= written[0].due + _WARM_UP_S], arrivals)
    say(f"latency, {sender.name}, {rate}/s: p50 {waits.at(0.50):.1f} ms, p99 {waits.at(0.99):.1f} ms")
    return waits


def _about(name: str, rate: int, waits: Waits | None) -> Iterator[Cell]:
    for words, share in (("median", 0.50), ("99th percentile", 0.99)):
        yield Cell(
            name=f"latency: {name}, {words} of ms from commit to arrival at {rate:,}/s",
            value=waits.at(share) if waits else None,
            bar=BARS.get((name, rate, share)),
            against=f"{_AGAINST}; setting {PEERS[name][1]}" if name in PEERS else _AGAINST,
            figures=waits.figures() if waits else {},
            note=_note(waits) if waits else _MISSING,
        )


def _beside_the_rival(waits: Mapping[str, Waits]) -> Cell:
    ours, theirs = waits[WOKEN].at(0.99), waits[RIVAL].at(0.99) if RIVAL in waits else None
    return Cell(
        name=f"latency: 99th percentile at {RIVAL_RATE:,}/s, {WOKEN} / {RIVAL}",
        value=ours / theirs if theirs else None,
        bar=RIVAL_BAR,
        against=_AGAINST,
        figures={"worker p99 ms": ours, "pgqueuer p99 ms": theirs},
        note="" if theirs else _MISSING,
    )


def _note(waits: Waits) -> str:
    notes = []
    if waits.at(0.50) > _BEHIND_MS:
        notes.append("it did not keep up with the rate")
    if waits.missing:
        notes.append(f"{waits.missing} events had not arrived {_PATIENCE_S:g} s after the last commit")
    if waits.late_by(0.99) > _PUNCTUAL_MS:
        notes.append("UNSTEADY: the writer itself was late; the machine was busy")
    return "; ".join(notes)
