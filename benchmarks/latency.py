"""How long an event takes from commit to arrival, at a steady rate that leaves a sender idle now and then.

Senders take turns, each with a database of its own on one durable server and the sink as receiver: the worker polling
(its default), the worker woken by NOTIFY, and the peers. Budgets do not bind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import senders
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
PGQUEUER: Final = "pgqueuer, NOTIFY"
BARS: Final = {
    (POLLING, 200, 0.50): Bar("at most", 40),
    (POLLING, 200, 0.99): Bar("at most", 120),
    (WOKEN, 200, 0.50): Bar("at most", 10),
}
PGQUEUER_RATE: Final = 200
PGQUEUER_BAR: Final = Bar("at most", 1)

_WARM_UP_S: Final = 2.0  # of each turn, not counted: connections opened, statements prepared, shops looked up
_READY_S: Final = 30.0
_PATIENCE_S: Final = 60.0  # for events still to come when the last is committed
_PUNCTUAL_MS: Final = 50.0
_AGAINST: Final = "durable embedded PostgreSQL, the sink; orders of 50 merchants, each a transaction (the peers: a job of the same size)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    seconds: float = 60


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """A median and a 99th percentile of each sender at each rate, when all have had their turn at that rate."""
    with PostgresServer(durable=True) as server, SinkProcess() as sink:
        taking_turns = [
            senders.worker(server, merchants=MERCHANTS, notify=notify) for notify in (False, True)
        ]
        for rate in RATES:
            waits = {sender.name: _turn(sender, sink, rate, settings, say) for sender in taking_turns}
            for name, one in waits.items():
                yield from _about(name, rate, one)
            if rate == PGQUEUER_RATE:
                yield _beside_pgqueuer(waits, rate)


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


def _about(name: str, rate: int, waits: Waits) -> Iterator[Cell]:
    for words, share in (("median", 0.50), ("99th percentile", 0.99)):
        yield Cell(
            name=f"latency: {name}, {words} of ms from commit to arrival at {rate:,}/s",
            value=waits.at(share),
            bar=BARS.get((name, rate, share)),
            against=_AGAINST,
            figures=waits.figures(),
            note=_note(waits),
        )


def _beside_pgqueuer(waits: Mapping[str, Waits], rate: int) -> Cell:
    ours, theirs = waits[WOKEN].at(0.99), waits[PGQUEUER].at(0.99)
    return Cell(
        name=f"latency: 99th percentile at {rate:,}/s with NOTIFY, worker / pgqueuer",
        value=ours / theirs,
        bar=PGQUEUER_BAR,
        against=_AGAINST,
        figures={"worker p99 ms": ours, "pgqueuer p99 ms": theirs},
    )


def _note(waits: Waits) -> str:
    notes = []
    if waits.missing:
        notes.append(f"{waits.missing} events had not arrived {_PATIENCE_S:g} s after the last commit")
    if waits.late_by(0.99) > _PUNCTUAL_MS:
        notes.append("UNSTEADY: the writer itself was late; the machine was busy with other things")
    return "; ".join(notes)
