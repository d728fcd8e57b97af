"""What the scenes of the demo did, written down as they did it: what the checks at the end compare with what is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from sandbox.shops import Shop
from soldt_outbox.omnisend.identity import event_id
from soldt_outbox.rows import State


class Key(NamedTuple):
    """An occurrence as the outbox's unique key names it; every one in the demo is of kind ``event``."""

    merchant_id: UUID
    name: str
    dedup_key: str

    @property
    def event_id(self) -> str:
        """The eventID that every attempt to tell it must carry."""
        return str(event_id(self.merchant_id, self.name, self.dedup_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something that happened in a shop, whom it is about (an e-mail address), and how it must end."""

    key: Key
    customer: str | None
    fate: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Killing:
    """A worker killed while it was sending ``rows``."""

    worker: str
    rows: frozenset[int]
    still_running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A merchant whose key was revoked: what its admin then read, and what waited until a new key came."""

    shop: Shop
    status: str
    code: str | None
    waiting: frozenset[Key]
    delivered_elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttling:
    """A merchant that Omnisend told to wait ``seconds``, in answers with status 429."""

    shop: Shop
    seconds: float


@dataclass(slots=True, kw_only=True)
class Chronicle:
    """Everything the scenes did. ``written_again`` and ``refused`` are counted per merchant."""

    occurrences: dict[Key, Occurrence] = field(default_factory=dict)
    written_again: Counter[UUID] = field(default_factory=Counter)
    refused: Counter[UUID] = field(default_factory=Counter)
    rolled_back: list[str] = field(default_factory=list)
    tracking: dict[Key, str] = field(default_factory=dict)
    told_later: set[Key] = field(default_factory=set)
    unanswered: set[Key] = field(default_factory=set)
    killing: Killing | None = None
    revocation: Revocation | None = None
    throttling: Throttling | None = None

    def happened(
        self, key: Key, *, customer: str | None, fate: State = State.DELIVERED, refused: bool = False
    ) -> None:
        """An event was written; one that was written before is a repetition, which the database should refuse."""
        if key in self.occurrences:
            self.written_again[key.merchant_id] += 1
        else:
            self.occurrences[key] = Occurrence(key=key, customer=customer, fate=fate)
        if refused:
            self.refused[key.merchant_id] += 1

    def customers(self) -> list[str]:
        """Everybody something happened to, in the order of their first event."""
        return list(dict.fromkeys(one.customer for one in self.occurrences.values() if one.customer))
