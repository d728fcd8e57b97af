"""Choosing which fault, if any, a request is hit by."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count
from typing import Final

from sandbox.omnisend.model import Fault, FaultKind, FaultView

AT_CONNECT: Final[frozenset[FaultKind]] = frozenset({"reset_on_connect"})
BEFORE_READING: Final[frozenset[FaultKind]] = frozenset({"reset_before_reading"})
AFTER_READING: Final[frozenset[FaultKind]] = frozenset(
    {"status", "delay", "hang", "reset_after_reading", "half_answer", "garbage"}
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is known of a request when a fault is looked for."""

    brand: str | None = None
    path: str | None = None
    event_name: str | None = None
    email: str | None = None
    batch_item: bool = False
    item_id: str | None = None


@dataclass(frozen=True)
class Hit:
    """A fault that fires, and the delay drawn for it in seconds."""

    fault_id: int
    fault: Fault
    delay_s: float


class _Armed:
    def __init__(self, fault_id: int, fault: Fault) -> None:
        self.id = fault_id
        self.fault = fault
        self.seen = 0
        self.fired = 0
        self._random = random.Random(fault.seed)  # noqa: S311 - faults must repeat, not surprise

    def matches(self, target: Target) -> bool:
        fault = self.fault
        return all(
            wanted is None or wanted == found
            for wanted, found in (
                (fault.brand, target.brand),
                (fault.path, target.path),
                (fault.event_name, target.event_name),
                (fault.email, target.email),
                (fault.item_id, target.item_id),
                (fault.batch_item, target.batch_item),
            )
        )

    def fire(self) -> Hit | None:
        fault = self.fault
        self.seen += 1
        if self.seen < fault.nth or (fault.count is not None and self.fired >= fault.count):
            return None
        if self._random.random() >= fault.probability:
            return None
        self.fired += 1
        longest = fault.delay_max_s
        delay = fault.delay_s if longest is None else self._random.uniform(fault.delay_s, longest)
        return Hit(self.id, fault, delay)


class Faults:
    """The faults in force, oldest first."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._ids = count(1)

    def __bool__(self) -> bool:
        return bool(self._armed)

    def add(self, fault: Fault) -> int:
        armed = _Armed(next(self._ids), fault)
        self._armed.append(armed)
        return armed.id

    def clear(self) -> None:
        self._armed.clear()

    def views(self) -> list[FaultView]:
        return [FaultView(one.id, one.fault, one.seen, one.fired) for one in self._armed]

    def pick(self, kinds: frozenset[FaultKind], target: Target) -> Hit | None:
        """The first fault of these kinds that matches and fires; its counts go up, those behind it stay."""
        for armed in self._armed:
            if armed.fault.kind in kinds and armed.matches(target):
                hit = armed.fire()
                if hit is not None:
                    return hit
        return None
