"""What the scenes stand on: the world, SOLDT in it, the chronicle, the narrator, and ways to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import psycopg

from sandbox.demo.chronicle import Chronicle, Key
from sandbox.demo.narrator import Narrator
from sandbox.demo.soldt import Soldt
from sandbox.demo.world import STORE_NAMES, World
from sandbox.omnisend import Received
from sandbox.shops import SHOPS, Shop
from soldt_outbox.rows import State

SOON_S: Final = 20.0  # what takes a second or two here may take a loaded machine ten times as long
LATER_S: Final = 60.0  # what takes a time-out or a lease
_LOOK_AGAIN_S: Final = 0.05
_PENDING: Final = (
    "select merchant_id, name, dedup_key from public.integrations_omnisend_outbox where state = 'pending'"
)
_LEASED: Final = """
select leased_by, array_agg(id order by id) as ids, max(lease_until) as until
from public.integrations_omnisend_outbox
where state = 'pending' and lease_until > now() and id = any (%s) group by leased_by
"""
_IDS: Final = """
select o.id from public.integrations_omnisend_outbox o
join unnest(%s::uuid[], %s::text[], %s::text[]) as k (merchant_id, name, dedup_key) using (merchant_id, name, dedup_key)
"""


class SceneFailed(Exception):  # noqa: N818 - it reads as what it is
    """A scene waited for something that did not come; the message says for what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Rows that a worker holds, and when the last of its leases runs out."""

    worker: str
    ids: frozenset[int]
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Handed from scene to scene. ``operator`` is a session of the tables' owner, which looks and never writes."""

    world: World
    soldt: Soldt
    narrator: Narrator
    operator: psycopg.Connection
    chronicle: Chronicle = field(default_factory=Chronicle)

    def until(self, holds: Callable[[], bool], *, within: float, what: str) -> None:
        """Wait. Raises ``SceneFailed`` after ``within`` seconds."""
        with self.narrator.waiting(f"Waiting until {what} …") as word:
            self.until_telling(holds, within=within, what=what, word=lambda: word(f"Waiting until {what} …"))

    def until_telling(
        self, holds: Callable[[], bool], *, within: float, what: str, word: Callable[[], None]
    ) -> None:
        """``until`` for a wait that tells of itself; ``word`` is called again and again."""
        deadline = time.monotonic() + within
        while not holds():
            if time.monotonic() > deadline:
                raise SceneFailed(f"after {within:.0f} s it was not so that {what}")
            dead = [one for one in self.world.workers if not one.running and not one.killed]
            if dead:
                raise SceneFailed(f"{dead[0].name} ended by itself")
            word()
            time.sleep(_LOOK_AGAIN_S)

    def waiting(self, shop: Shop | None = None) -> set[Key]:
        """Events that were written and have no outcome yet, of one shop or of all."""
        found = {Key(*row) for row in self.operator.execute(_PENDING)}
        return {key for key in found if shop is None or key.merchant_id == shop.merchant_id}

    def settled(self, *keys: Key) -> bool:
        """Whether each of these has an outcome."""
        return self.waiting().isdisjoint(keys)

    def written(self, state: State = State.DELIVERED) -> list[Key]:
        """What was written so far and is to end so."""
        return [one.key for one in self.chronicle.occurrences.values() if one.fate is state]

    def ids(self, *keys: Key) -> list[int]:
        """The outbox's ids of events."""
        columns = [list(column) for column in zip(*keys, strict=True)]
        return [int(row[0]) for row in self.operator.execute(_IDS, columns)]

    def leases(self, *keys: Key) -> list[Leases]:
        """Who is sending these at this moment, the worker with the most of them first."""
        rows = self.operator.execute(_LEASED, [self.ids(*keys)]).fetchall()
        held = [Leases(worker=by, ids=frozenset(ids), until=until) for by, ids, until in rows]
        return sorted(held, key=lambda one: -len(one.ids))

    def now(self) -> datetime:
        """The database's clock, which is the only one that leases know."""
        row = self.operator.execute("select clock_timestamp()").fetchone()
        return row[0] if row else datetime.now(UTC)

    def requests(self, shop: Shop) -> list[Received]:
        """What Omnisend was sent for a shop so far."""
        brand = self.world.brands[shop.merchant_id].brand_id
        return [one for one in self.world.control.received(brand=brand) if one.method == "POST"]

    def requests_of(self, key: Key) -> list[Received]:
        """Those that carried one event's eventID."""
        shop = next(shop for shop in SHOPS if shop.merchant_id == key.merchant_id)
        return [one for one in self.requests(shop) if one.event_id == key.event_id]

    def unanswered(self, *keys: Key) -> int:
        """How many of these Omnisend has read and not answered."""
        return sum(one.outcome == "pending" for key in keys for one in self.requests_of(key))


def store(shop: Shop) -> str:
    """What people call a shop."""
    return STORE_NAMES[shop.merchant_id]
