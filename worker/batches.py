"""Rows of kind ``batch``: a chunk of a sync to submit, a batch to follow to its end, contacts to read for unsubscribes.

A chunk is read as it stands when its row was taken, and sent. What became of it is written when the batch has ended, in the
transaction that settles the row which follows it: what was confirmed, what was refused and why, and rows for what is sent
once more. A worker that is killed between sending a chunk and settling it has it sent again: products, categories and contacts end
as they were, and events have the eventID and eventTime by which Omnisend knows historical ones again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

import psycopg

from soldt_outbox.backoff import RetryPolicy
from soldt_outbox.database import PASSING
from soldt_outbox.errors import PayloadRejected
from soldt_outbox.oauth.scopes import batch_uses, missing_scopes
from soldt_outbox.omnisend.answers import Answer
from soldt_outbox.omnisend.batches import (
    BatchRow,
    Chunk,
    Judged,
    Progress,
    Resource,
    Sent,
    SentItem,
    creation,
    judge,
    looking_at,
    lost,
    read_created,
    read_payload,
    read_progress,
)
from soldt_outbox.rows import FollowUp, OutboxRow, Outcome, Record, Skip, Verdict
from soldt_outbox.sync_items import Found, SyncItems, Wanted
from worker import batch_records as records
from worker import outcomes
from worker.contact_polling import ContactPolling
from worker.requests import NotLookedUp
from worker.sending import Ask, UnderWay
from worker.shops import Shop

LONGEST_LOOK: Final = timedelta(seconds=60)
_TOO_LARGE: Final = 413
_UNKNOWN: Final = 404


class Batches:
    """Delivers rows of kind ``batch``."""

    def __init__(
        self,
        items: SyncItems,
        polling: ContactPolling,
        *,
        policy: RetryPolicy,
        rng: random.Random | None = None,
    ) -> None:
        self._items = items
        self._polling = polling
        self._policy = policy
        self._rng = rng or random.Random()  # noqa: S311 - jitter needs no secrecy

    async def deliver(self, attempt: UnderWay, shop: Shop, ask: Ask) -> Outcome:
        """How this row's attempt ended.

        Raises ``PayloadRejected`` for a row that this project did not write, ``NotLookedUp``, and what passes by itself.
        """
        row = attempt.row
        try:
            name = BatchRow(row.name)
        except ValueError:
            raise PayloadRejected("name", f"is none of {', '.join(BatchRow)}") from None
        try:
            match name:
                case BatchRow.SUBMIT:
                    chunk = read_payload(row.payload, Chunk)
                    lacking = _not_granted(row, chunk.resource, shop)
                    return lacking or await self._submit(attempt, chunk, shop, ask)
                case BatchRow.FOLLOW:
                    sent = read_payload(row.payload, Sent)
                    return _not_granted(row, sent.resource, shop) or await self._follow(
                        attempt, sent, shop, ask
                    )
                case BatchRow.POLL:
                    return await self._polling.deliver(attempt, shop, ask)
                case _:
                    assert_never(name)
        except PASSING:
            raise
        except psycopg.Error:
            raise NotLookedUp("what a batch is to hold") from None

    # -- submitting

    async def _submit(self, attempt: UnderWay, chunk: Chunk, shop: Shop, ask: Ask) -> Outcome:
        row, wanted = attempt.row, _wanted(attempt.row, chunk, chunk.ids, shop)
        sync = await self._items.state(wanted)
        if sync is None or sync.canceled:
            return outcomes.of_skip(row, Skip(reason="sync_canceled", detail="nothing more is sent of it"))
        found = await self._items.read(wanted)
        told = await self._items.told(wanted, found.items)
        plan = records.plan(chunk, found, told, delta=sync.delta, dialect=shop.dialect)
        also = _counted(chunk, found, plan)
        alone = records.single_rows(row, chunk.resource, [one.id for one in plan.alone])
        if not plan.items:
            outcome = outcomes.of_skip(row, Skip(reason="nothing_to_send", detail=_in_words(found, plan)))
            return _with(outcome, also, alone)
        request = creation(chunk.resource, plan.method, plan.items)
        shown = {
            "method": plan.method,
            "endpoint": chunk.resource.endpoint,
            "items": len(plan.items),
            "bytes": len(request.body),
            "round": chunk.round,
        }
        # With a single item there is nothing to halve: then 413 means what it means for any row.
        expected = frozenset({_TOO_LARGE} if len(plan.items) > 1 else ())
        answer = await ask(attempt, request, shop, shown=shown, expected=expected)
        if isinstance(answer, Outcome):
            return answer
        if answer.status == _TOO_LARGE:
            smaller = records.submit_rows(row, [*records.halves(chunk, plan), *plan.rest])
            outcome = outcomes.settled(
                attempt.ended(), Verdict.SKIPPED, "too large for Omnisend: sent in halves"
            )
            return _with(outcome, also, [*alone, *smaller])
        batch = read_created(answer)
        if batch is None:
            return self._unreadable(attempt, "which batch it made")
        follow = records.follow_row(row, chunk, plan, batch)
        following = [follow, *alone, *records.submit_rows(row, plan.rest)]
        return _with(outcomes.of_delivery(attempt.ended()), also, following)

    # -- following

    async def _follow(self, attempt: UnderWay, sent: Sent, shop: Shop, ask: Ask) -> Outcome:
        judged = await self._judged(attempt, sent, shop, ask)
        return judged if isinstance(judged, Outcome) else await self._ended(attempt, sent, judged, shop)

    async def _judged(self, attempt: UnderWay, sent: Sent, shop: Shop, ask: Ask) -> Judged | Outcome:
        """What became of the batch's items; or why that is not known yet."""
        request, shown = looking_at(sent.batch), _shown(sent)
        answer = await ask(attempt, request, shop, shown=shown, expected=frozenset({_UNKNOWN}))
        if isinstance(answer, Outcome):
            return answer
        if answer.status == _UNKNOWN:
            return lost(sent)
        progress = read_progress(answer)
        if progress is None:
            return self._unreadable(attempt, "how far the batch is")
        if not progress.ended:
            return _look_again(attempt, progress.status)
        return await self._by_items(attempt, sent, progress, shop, ask)

    async def _by_items(
        self, attempt: UnderWay, sent: Sent, progress: Progress, shop: Shop, ask: Ask
    ) -> Judged | Outcome:
        """What became of a batch that ended; its items are asked for only where not all of them were taken."""
        listed: Answer | None = None
        if progress.errors or progress.status == "stopped":
            answer = await ask(attempt, looking_at(sent.batch, items=True), shop, shown=_shown(sent))
            if isinstance(answer, Outcome):
                return answer
            listed = answer
        judged = judge(sent, progress, listed)
        return self._unreadable(attempt, "what became of the batch's items") if judged is None else judged

    async def _ended(self, attempt: UnderWay, sent: Sent, judged: Judged, shop: Shop) -> Outcome:
        """What follows from a batch that is over."""
        row = attempt.row
        changed, gone = await self._changed_since(row, sent, judged.confirmed, shop)
        chunks = records.again(sent, judged.again)
        if changed:
            chunks.append(records.changed_since(sent, changed))
        also = [
            records.counts(
                sent.sync,
                sent=len(judged.confirmed) - len(changed) + len(judged.alone),
                rejected=len(judged.rejected),
                put_back=len(judged.again) + len(changed),
            ),
            *records.refusals(sent, judged.rejected),
            *records.told(sent.resource, judged.confirmed, brand=shop.brand_id),
        ]
        alone = [*gone, *(one.id for one in judged.alone)]
        follow_ups = [
            *records.submit_rows(row, chunks, wait=records.before_again(sent)),
            *records.single_rows(row, sent.resource, alone),
        ]
        return _with(outcomes.of_delivery(attempt.ended()), also, follow_ups)

    async def _changed_since(
        self, row: OutboxRow, sent: Sent, confirmed: Sequence[SentItem], shop: Shop
    ) -> tuple[list[str], list[str]]:
        """What is not any more as it was sent, and what is no longer there.

        A change while the batch was under way has a row of its own, which may have overtaken the batch: then Omnisend has
        the older state now. What changes from here on is told after the batch.
        """
        if sent.resource is Resource.ORDERS or not confirmed:
            return [], []  # what happened does not change
        found = await self._items.read(_wanted(row, sent, [one.id for one in confirmed], shop))
        digests = {one.id: one.digest for one in confirmed}
        changed = [one.id for one in found.items if one.digest != digests[one.id]]
        return changed, found.gone

    def _unreadable(self, attempt: UnderWay, what: str) -> Outcome:
        return outcomes.of_unreadable_answer(attempt.ended(), what, policy=self._policy, rng=self._rng)


def _not_granted(row: OutboxRow, resource: Resource, shop: Shop) -> Outcome | None:
    """Where a token lacks what the batch, or following it, needs: the merchant's other batches go on."""
    missing = missing_scopes(shop.scopes, batch_uses(resource.kind))
    return outcomes.of_ungranted_batch(row, missing) if missing else None


def _wanted(row: OutboxRow, batch: Chunk | Sent, ids: Sequence[str], shop: Shop) -> Wanted:
    return Wanted(
        row=row,
        sync=batch.sync,
        resource=batch.resource,
        ids=ids,
        merchant=shop.profile,
        dialect=shop.dialect,
    )


def _shown(sent: Sent) -> dict[str, Any]:
    """What the log holds of the requests about a batch."""
    return {"batch": sent.batch, "endpoint": sent.resource.endpoint, "items": len(sent.items)}


def _look_again(attempt: UnderWay, status: str) -> Outcome:
    """Pending for half as long again as it has been: what takes long is not asked for often."""
    age = datetime.now(UTC) - attempt.row.created_at
    wait = min(LONGEST_LOOK, max(records.FIRST_LOOK, age / 2))
    return outcomes.settled(
        attempt.ended(),
        Verdict.RETRY,
        f"the batch is {status}",
        retry_in=wait,
        counted=False,
        healthy=True,
        quiet=True,
    )


def _counted(chunk: Chunk, found: Found, plan: records.Plan) -> list[Record]:
    """What is known of items before anything is sent."""
    counted = records.counts(
        chunk.sync,
        sent=len(plan.alone),
        unchanged=plan.unchanged + len(found.told),
        skipped=len(found.gone) + len(found.skipped),
        rejected=len(found.refused),
    )
    return [counted, *records.unmappable(chunk, found)]


def _in_words(found: Found, plan: records.Plan) -> str:
    parts = {
        "told by themselves": len(plan.alone),
        "unchanged": plan.unchanged + len(found.told),
        "gone": len(found.gone),
        "without an address": len(found.skipped),
        "cannot be sent": len(found.refused),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def _with(outcome: Outcome, also: Sequence[Record], follow_ups: Sequence[FollowUp] = ()) -> Outcome:
    return outcomes.with_more(outcome, records=tuple(also), follow_ups=tuple(follow_ups))
