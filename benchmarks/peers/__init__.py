"""Other queues on PostgreSQL that do the same job: one HTTP request for each row, then their own acknowledgement.

Each is a program of its own (``python -m benchmarks.peers.<module>``), written as its documentation has it, with the
settings that the documentation recommends for throughput; its docstring says which, and why. What a measurement needs
to know of them without importing them stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Literal

Client = Literal["ours", "httpx"]
"""Whose HTTP client sends a peer's requests: this project's, or a plain ``httpx.AsyncClient`` as users write it."""

HOW_TO_GET_PEERS: Final = (
    "`make bench` installs it; or: pip install --require-hashes -r requirements/bench.txt"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a peer."""

    argument: str
    """What the peer's program is given as ``--setting``."""

    processes: int = 1

    def __str__(self) -> str:
        return f"{self.argument}, {self.processes} processes" if self.processes > 1 else self.argument


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peer:
    """A queue to measure.

    Attributes:
        name: as on PyPI.
        package: as it is imported.
        module: its program within this package.
        settings: the ways to run it that are tried with either client; the fastest of each counts.
        acknowledged: SQL: is every one of %(rows)s jobs acknowledged?
    """

    name: str
    package: str
    module: str
    settings: Mapping[Client, tuple[Setting, ...]]
    acknowledged: str

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


# httpx's pool looks through its requests and connections at each change, so it is slower the more of them there are:
# where an answer takes no time, pgqueuer and chancy sent 1,100 requests a second with 10 under way, 900 and 750 with 20,
# 300 with 100. So its users would have few.
PGQUEUER: Final = Peer(
    name="pgqueuer",
    package="pgqueuer",
    module="pgqueuer_drain",
    settings={
        "ours": (
            Setting("1x100"),
            Setting("2x100/200"),
            Setting("1x500/1000"),
            Setting("1x100", processes=2),
        ),
        "httpx": (Setting("1x5/10"),),
    },
    acknowledged="select not exists (select from pgqueuer)",
)
PROCRASTINATE: Final = Peer(
    name="procrastinate",
    package="procrastinate",
    module="procrastinate_drain",
    settings={"ours": (Setting("10"), Setting("30")), "httpx": (Setting("10"),)},
    acknowledged="select not exists (select from procrastinate_jobs where status in ('todo', 'doing'))",
)
CHANCY: Final = Peer(
    name="chancy",
    package="chancy",
    module="chancy_drain",
    settings={"ours": (Setting("100"),), "httpx": (Setting("10"),)},
    acknowledged="select not exists (select from chancy_jobs where state <> 'succeeded')",
)
AWA: Final = Peer(
    name="awa-pg",
    package="awa",
    module="awa_drain",
    settings={"ours": (Setting("256"),)},
    acknowledged="select count(*) >= %(rows)s from awa.jobs where state = 'completed'",
)
PEERS: Final = (PGQUEUER, PROCRASTINATE, CHANCY, AWA)
