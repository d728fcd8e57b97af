"""Whose turn it is: merchants with due rows, newcomers first, then one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from uuid import UUID

from soldt_outbox.rows import Due, Kind

_Queues = dict[UUID, dict[Kind, Due]]


class Turns:
    """Merchants that have due rows as far as is known, in the order in which they are asked for them.

    One that was not due when it was last looked for is a newcomer, and is asked before those that have had a turn: a
    quiet shop's single event does not wait for floods. Newcomers take at most half of the places while others wait, so
    that thousands of quiet shops do not starve the busy ones. Kept between scans: a scan does not start the round anew.
    """

    def __init__(self) -> None:
        self._newcomers: _Queues = {}
        self._others: _Queues = {}
        self._odd_place_is_newcomers = True

    def __len__(self) -> int:
        return len(self._newcomers) + len(self._others)

    def found(self, due: Iterable[Due]) -> None:
        """What a scan found: those that are due no more leave, newcomers join, the others keep their places."""
        found: _Queues = {}
        for one in due:
            found.setdefault(one.merchant_id, {})[one.kind] = one
        self._others = {m: found.pop(m) for m in self._others if m in found}
        self._newcomers = found

    def woken(self, merchant_id: UUID) -> None:
        """A live event of this merchant was just committed."""
        queues = self._others.get(merchant_id) or self._newcomers.setdefault(merchant_id, {})
        queues.setdefault(Kind.EVENT, Due(merchant_id=merchant_id, kind=Kind.EVENT))

    def next(self, most: int, askable: Callable[[UUID], bool]) -> dict[UUID, list[Due]]:
        """At most so many merchants to ask now, each with its kinds that are due."""
        newcomers = list(islice(filter(askable, self._newcomers), most))
        others = list(islice(filter(askable, self._others), most))
        if newcomers and others:
            half = most // 2 + (most % 2 if self._odd_place_is_newcomers else 0)
            self._odd_place_is_newcomers = not self._odd_place_is_newcomers
            newcomers = newcomers[: max(most - len(others), half)]
        return {
            merchant_id: list(queues[merchant_id].values())
            for queues, merchants in (
                (self._newcomers, newcomers),
                (self._others, others[: most - len(newcomers)]),
            )
            for merchant_id in merchants
        }

    def asked(self, merchants: Iterable[UUID], gave: Mapping[UUID, int], *, share: int) -> None:
        """After a claim: who gave its whole share has more, and goes to the back; the others leave until they are found again."""
        for merchant_id in merchants:
            queues = self._newcomers.pop(merchant_id, None) or self._others.pop(merchant_id, {})
            if gave.get(merchant_id, 0) >= share:
                self._others[merchant_id] = queues
