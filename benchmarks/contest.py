"""A backlog drained at the sink beside other queues, which send the same requests, and beside the bare client loop.

Everybody takes turns in rounds of one run (`benchmarks.at_sink` says how a drain is timed). Peers send by our client,
which leaves the queues to be compared, and by a plain ``httpx.AsyncClient``, which is how their users would write it.
Ours does more in each row (order, budget, mapping, log row, fence), and is counted with it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.at_sink import AtSink, Drained
from benchmarks.peers import CHANCY, HOW_TO_GET_PEERS, PEERS, PGQUEUER, PROCRASTINATE, Client, Peer, Setting
from benchmarks.report import Bar, Cell, Rounds, Say, ratio

_PROCESSES: Final = (1, 2)
_BARE: Final = "bare loop"
_BARE_BAR: Final = Bar("at least", 0.7)
_BARS: Final[dict[tuple[Peer, Client], Bar]] = {
    (PGQUEUER, "ours"): Bar("at least", 1.2),
    (PROCRASTINATE, "ours"): Bar("at least", 5),
    (CHANCY, "ours"): Bar("at least", 1.3),
    (PGQUEUER, "httpx"): Bar("at least", 5),
    (PROCRASTINATE, "httpx"): Bar("at least", 5),
    (CHANCY, "httpx"): Bar("at least", 5),
}
_CLIENTS: Final[dict[Client, str]] = {"ours": "with our client", "httpx": "with httpx.AsyncClient"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rows: int = 10_000
    merchants: int = 100
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class _PeerRun:
    """One way to run one peer; the key of its rates."""

    peer: Peer
    setting: Setting
    client: Client

    def __str__(self) -> str:
        return f"{self.peer.name} {self.setting} {_CLIENTS[self.client]}"


_Rates = dict[object, list[float]]
"""Rows per second of each round, by number of our processes, by ``_PeerRun``, and of the bare loop."""


def cells(settings: Settings, say: Say) -> Iterator[Cell]:
    """Ours against the bare loop, and against each peer and client."""
    rates = _measure(settings, say)
    yield from _against_bare_loop(rates, settings)
    for peer in PEERS:
        for client in peer.settings:
            if peer.is_installed:
                yield _against(peer, client, rates, settings)
            else:
                yield _skipped(peer, client, settings)
    if PGQUEUER.is_installed:
        yield _each_with_its_best_processes(rates, settings)


# Measuring --------------------------------------------------------------------------------------------------------


def _measure(settings: Settings, say: Say) -> _Rates:
    with AtSink(merchants=settings.merchants) as sink, sink.events(settings.rows) as file:
        contestants = _contestants(sink, file, settings.rows)
        rates: _Rates = {key: [] for key in contestants}
        for number in range(1, settings.rounds + 1):
            for key in contestants if number % 2 else reversed(contestants):
                rate = _rate_of(contestants[key], may_stall=isinstance(key, _PeerRun))
                rates[key].append(rate)
                said = f"{rate:,.0f} rows/s" if rate else "did not finish"
                say(f"contest {number}/{settings.rounds}: {_words(key)}: {said}")
    return rates


def _rate_of(contestant: Callable[[], Drained], *, may_stall: bool) -> float:
    """Rows per second; 0 of a peer that does not get through, which must not end the others' contest."""
    try:
        return contestant().rate
    except TimeoutError:
        if not may_stall:
            raise
        return 0.0


def _contestants(sink: AtSink, file: Path, rows: int) -> dict[object, Callable[[], Drained]]:
    return {
        _BARE: lambda: sink.bare(file, rows),
        **{processes: partial(sink.ours, rows, processes=processes) for processes in _PROCESSES},
        **{run: partial(sink.peer, run.peer, run.setting, run.client, file, rows) for run in _peer_runs()},
    }


def _peer_runs() -> Iterator[_PeerRun]:
    for peer in PEERS:
        if peer.is_installed:
            for client, settings in peer.settings.items():
                for setting in settings:
                    yield _PeerRun(peer, setting, client)


def _words(key: object) -> str:
    if isinstance(key, int):
        return f"ours, {key} process{'es' if key > 1 else ''}"
    return str(key)


# Cells ------------------------------------------------------------------------------------------------------------


def _against_bare_loop(rates: _Rates, settings: Settings) -> Iterator[Cell]:
    for processes in _PROCESSES:
        name = _name(f"{_words(processes)} / bare loop of its client", settings)
        yield _cell(name, rates, (processes, _BARE), bar=_BARE_BAR if processes == 1 else None)


def _against(peer: Peer, client: Client, rates: _Rates, settings: Settings) -> Cell:
    """One process of ours, one of theirs in the setting that was fastest."""
    runs = _runs(rates, peer, client)
    best = _fastest(rates, [run for run in runs if run.setting.processes == 1])
    if not all(rates[best]):
        return _without(peer, client, settings, f"{peer.name} did not finish in every round: {_words(best)}")
    name = _name(f"{_words(1)} / {peer.name} {_CLIENTS[client]}", settings)
    return _cell(name, rates, (1, best), bar=_BARS.get((peer, client)), tried=runs)


def _each_with_its_best_processes(rates: _Rates, settings: Settings) -> Cell:
    ours, theirs = _fastest(rates, _PROCESSES), _fastest(rates, _runs(rates, PGQUEUER, "ours"))
    name = f"ours / {PGQUEUER.name} with our client, each with as many processes as suit it best"
    return _cell(_name(name, settings), rates, (ours, theirs), bar=_BARS[PGQUEUER, "ours"])


def _cell(
    name: str,
    rates: _Rates,
    pair: tuple[object, object],
    *,
    bar: Bar | None,
    tried: Sequence[_PeerRun] = (),
) -> Cell:
    ours, theirs = pair
    others = {f"{run} rows/s": statistics.median(rates[run]) for run in tried if run != theirs}
    return ratio(
        name,
        Rounds(f"{_words(ours)} rows/s", rates[ours]),
        Rounds(f"{_words(theirs)} rows/s", rates[theirs]),
        bar=bar,
        against=f"durable embedded PostgreSQL, the sink; {_words(ours)}; {_words(theirs)}",
        **others,
    )


def _skipped(peer: Peer, client: Client, settings: Settings) -> Cell:
    return _without(peer, client, settings, f"SKIPPED: {peer.name} is not installed. {HOW_TO_GET_PEERS}")


def _without(peer: Peer, client: Client, settings: Settings, note: str) -> Cell:
    """A cell with no figure, and why."""
    return Cell(
        name=_name(f"{_words(1)} / {peer.name} {_CLIENTS[client]}", settings),
        value=None,
        bar=_BARS.get((peer, client)),
        against="durable embedded PostgreSQL, the sink",
        note=note,
    )


def _name(name: str, settings: Settings) -> str:
    return f"contest: {settings.rows:,} rows of {settings.merchants} merchants, {name}"


def _runs(rates: _Rates, peer: Peer, client: Client) -> list[_PeerRun]:
    return [key for key in rates if isinstance(key, _PeerRun) and (key.peer, key.client) == (peer, client)]


def _fastest(rates: _Rates, keys: Sequence[object]) -> object:
    return max(keys, key=lambda key: statistics.median(rates[key]))
