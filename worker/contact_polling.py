"""Reading back who unsubscribed at Omnisend. Nothing else is taken from there, and nobody is ever subscribed by it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

import msgspec

from soldt_outbox.backoff import RetryPolicy
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.omnisend.batches import BatchRow
from soldt_outbox.omnisend.contact_pages import (
    BEGINNING,
    Page,
    Walk,
    page_request,
    read_page,
    read_walk,
)
from soldt_outbox.rows import FollowUp, Kind, OutboxRow, Outcome, Record, Skip, Verdict
from worker import outcomes
from worker.sending import Ask, UnderWay
from worker.shops import Shop

MOST_PAGES: Final = 4  # in one go; then the merchant's other rows have their turn
# How far behind that the next walk begins: changes may become visible out of order, and clocks differ.
OVERLAP: Final = timedelta(minutes=5)
_LIVES: Final = timedelta(days=1)  # a walk; the next one begins where the last that ended did
_FORBIDDEN: Final = 403


class ContactPolling:
    """Walks over the contacts that changed since the last walk, some pages a row."""

    def __init__(
        self, database: AsyncDatabase, *, policy: RetryPolicy, rng: random.Random | None = None
    ) -> None:
        self._database = database
        self._policy = policy
        self._rng = rng or random.Random()  # noqa: S311 - jitter needs no secrecy

    async def deliver(self, attempt: UnderWay, shop: Shop, ask: Ask) -> Outcome:
        """Read the next pages. The watermark moves when the walk is over, and not past the instant at which that began.

        No order of the list is relied on: what changes meanwhile may stand on a page that was passed already.
        """
        row = attempt.row
        if not shop.sync_contacts:
            return outcomes.of_skip(row, Skip(reason="contacts_off", detail="contacts are not synchronised"))
        walk = read_walk(row.payload)
        if walk.brand != shop.brand_id:
            walk = Walk(brand=shop.brand_id)  # it begins, or began at the brand before
        since = walk.since or await self._watermark(row)
        cursor, newest, found = walk.cursor, walk.newest, list[Record]()
        for _ in range(MOST_PAGES):
            shown = {"contacts_since": since.isoformat(), "goes_on": cursor is not None}
            # A key that may not read contacts must not stop the merchant's other batches.
            answer = await ask(
                attempt, page_request(since, cursor), shop, shown=shown, expected=frozenset({_FORBIDDEN})
            )
            if isinstance(answer, Outcome):
                return answer
            if answer.status == _FORBIDDEN:
                words = "the API key lacks contacts.read: who unsubscribes at Omnisend is not known here"
                return outcomes.settled(attempt.ended(), Verdict.SKIPPED, words)
            page = read_page(answer, shop.dialect)
            if page is None:
                return outcomes.of_unreadable_answer(
                    attempt.ended(), "which contacts there are", policy=self._policy, rng=self._rng
                )
            found += _records(page)
            newest = max((at for at in (newest, page.newest) if at is not None), default=None)
            cursor = page.cursor
            if cursor is None:
                break
        # Most find nobody, a hundred times a day.
        outcome = msgspec.structs.replace(outcomes.of_delivery(attempt.ended()), quiet=not found)
        if cursor is not None:
            onward = Walk(brand=walk.brand, since=since, cursor=cursor, newest=newest)
            return outcomes.with_more(outcome, records=tuple(found), follow_ups=(_next(row, onward),))
        if newest is not None:
            until = min(newest, row.occurred_at)
            fields = {"brand": walk.brand, "updated_from": until - OVERLAP}
            found.append(Record(by="move_watermark", fields=fields))
        return outcomes.with_more(outcome, records=tuple(found))

    async def _watermark(self, row: OutboxRow) -> datetime:
        rows = await self._database.run("watermark", {"merchant_id": row.merchant_id})
        found: datetime = rows[0]["updated_from"] if rows else BEGINNING
        return found


def _records(page: Page) -> list[Record]:
    return [Record(by="note_unsubscribed", fields=msgspec.structs.asdict(one)) for one in page.unsubscribed]


def _next(row: OutboxRow, walk: Walk) -> FollowUp:
    return FollowUp(
        kind=Kind.BATCH,
        name=BatchRow.POLL,
        dedup_key=f"after {row.id}",
        payload=msgspec.to_builtins(walk),
        occurred_at=row.occurred_at,  # when the walk began, for all of its rows
        time_to_live=_LIVES,
    )
