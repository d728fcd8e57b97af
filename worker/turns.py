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
        self._heard: set[UUID] = set()  # woken since they were last asked, or never asked
        self._odd_place_is_newcomers = True

    def __len__(self) -> int:
        return len(self._newcomers) + len(self._others)

    def found(self, due: Iterable[Due]) -> None:
        """What a scan found: those that are due no more leave, newcomers join, the others keep their places.

        Whoever was woken stays: the scan may have begun before the commit that woke them.
        """
        found: _Queues = {}
        for one in due:
            found.setdefault(one.merchant_id, {})[one.kind] = one
        self._others = {m: found.pop(m) for m in self._others if m in found}
        for merchant_id in self._heard - found.keys() - self._others.keys():
            found[merchant_id] = _live(merchant_id)
        self._newcomers = found

    def woken(self, merchant_id: UUID) -> None:
        """A live event of this merchant was just committed."""
        self._heard.add(merchant_id)
        queues = self._others.get(merchant_id) or self._newcomers.setdefault(merchant_id, {})
        for kind, due in _live(merchant_id).items():
            queues.setdefault(kind, due)

    def heard_of(self, merchant_id: UUID) -> bool:
        """Whether this merchant was woken since it was last asked."""
        return merchant_id in self._heard

    def next(self, most: int, askable: Callable[[UUID], bool]) -> dict[UUID, list[Due]]:
        """At most so many merchants to ask now, each with its kinds that are due."""
        newcomers = list(islice(filter(askable, self._newcomers), most))
        others = list(islice(filter(askable, self._others), most))
        if newcomers and others:
            half = most // 2 + (most % 2 if self._odd_place_is_newcomers else 0)
            self._odd_place_is_newcomers = not self._odd_place_is_newcomers
            newcomers = newcomers[: max(most - len(others), half)]
        asked = {
            merchant_id: list(queues[merchant_id].values())
            for queues, merchants in (
                (self._newcomers, newcomers),
                (self._others, others[: most - len(newcomers)]),
            )
            for merchant_id in merchants
        }
        self._heard -= asked.keys()
        return asked

    def asked(self, merchants: Iterable[UUID], gave: Mapping[UUID, int], *, share: int) -> None:
        """After a claim: who gave its whole share has more, and goes to the back; the others leave until they are found again.

        Whoever was woken while the claim was under way stays: it may not have seen that commit.
        """
        for merchant_id in merchants:
            queues = self._newcomers.pop(merchant_id, None) or self._others.pop(merchant_id, {})
            if gave.get(merchant_id, 0) >= share:
                self._others[merchant_id] = queues
            elif merchant_id in self._heard:
                self._newcomers[merchant_id] = _live(merchant_id)


def _live(merchant_id: UUID) -> dict[Kind, Due]:
    """A live event, of which it is not known since when it is due."""
    return {Kind.EVENT: Due(merchant_id=merchant_id, kind=Kind.EVENT)}
