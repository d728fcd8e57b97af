"""One row from claimed to its outcome: judge it, map it, send it, say how it ended. Holds no transaction."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec
import structlog

from soldt_outbox.backoff import DEFAULT_POLICY, RetryPolicy
from soldt_outbox.database import PASSING
from soldt_outbox.errors import (
    AuthorizationLost,
    CredentialError,
    PayloadRejected,
    TokenUnavailable,
    TransportError,
)
from soldt_outbox.oauth.scopes import missing_scopes
from soldt_outbox.omnisend.answers import (
    Answer,
    AnswerClass,
    Delivered,
    Retired,
    Switch,
    SwitchCall,
    classify,
)
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.mapping import recipient_hash
from soldt_outbox.redaction import contact_hash
from soldt_outbox.request_logs import logged_request
from soldt_outbox.rows import Kind, OmnisendRequest, OutboxRow, Outcome, Skip, Verdict
from soldt_outbox.store import MAX_RESCUES
from worker import outcomes
from worker.authorizing import Authorizer
from worker.batch_records import told_alone
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.outcomes import Attempt
from worker.requests import NotLookedUp, follow_ups, request_for
from worker.retrying import send_within_lease
from worker.shops import Shop, Shops
from worker.surroundings import Surroundings

log = structlog.get_logger()

_UNAUTHORIZED: Final = 401
SUSPECT_RESCUES: Final = (
    3  # leases that ran out before a row is sent alone, so that it takes no other down with it
)


class UnderWay:
    """An attempt while it lasts: how many requests it made, with what, and what its log row will hold."""

    __slots__ = ("log", "requests", "row", "sealed", "started", "status")

    def __init__(self, row: OutboxRow) -> None:
        self.row = row
        self.requests = 0
        self.sealed: str | None = None  # the credential it was last sent with, as it is stored
        self.status: int | None = None
        self.log: dict[str, Any] = {}
        self.started = time.monotonic()

    def ended(self) -> Attempt:
        return Attempt(
            row=self.row,
            requests_made=self.requests,
            status=self.status,
            log=self.log,
            milliseconds=round((time.monotonic() - self.started) * 1000),
        )


class _LeaseRunsOut(Exception):  # noqa: N818 - no error: it ends the tries
    """No time is left for another try."""


class Ask(Protocol):
    """``Sender.ask``."""

    async def __call__(
        self,
        attempt: UnderWay,
        request: OmnisendRequest,
        shop: Shop,
        *,
        shown: dict[str, Any] | None = None,
        expected: frozenset[int] = frozenset(),
    ) -> Answer | Outcome: ...


class BatchDelivery(Protocol):
    """What rows of kind ``batch`` are delivered by; see ``worker.batches``."""

    async def deliver(self, attempt: UnderWay, shop: Shop, ask: Ask) -> Outcome: ...


class Sender:
    """Sends rows over one client. Has no state of its own but the random source of its jitter."""

    def __init__(
        self,
        client: OmnisendClient,
        lanes: Lanes,
        holdings: Holdings,
        shops: Shops,
        authorizer: Authorizer,
        *,
        batches: BatchDelivery | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
        rng: random.Random | None = None,
    ) -> None:
        self._batches = batches
        self._client = client
        self._lanes = lanes
        self._holdings = holdings
        self._shops = shops
        self._authorizer = authorizer
        self._policy = policy
        self._rng = rng or random.Random()  # noqa: S311 - jitter needs no secrecy

    async def deliver(self, attempt: UnderWay, surroundings: Surroundings) -> Outcome:
        """How this row's attempt ended. Raises only what cancels it."""
        shop = surroundings.shops.get(attempt.row.merchant_id)
        return _findable(await self._outcome(attempt, shop, surroundings), shop)

    async def _outcome(self, attempt: UnderWay, shop: Shop | None, surroundings: Surroundings) -> Outcome:
        row = attempt.row
        try:
            return self._judge(row, shop) or await self._tell(attempt, surroundings)
        except PayloadRejected as error:
            return outcomes.of_rejected_payload(row, error)
        except NotLookedUp as error:
            return outcomes.of_failed_look_up(row, str(error))
        except PASSING as error:
            return outcomes.of_interrupted_look_up(attempt.ended(), error, policy=self._policy, rng=self._rng)
        except Exception as error:  # noqa: BLE001 - one row's defect must not stop the others
            # The traceback's source lines are ours; the message might repeat the payload and is left out.
            log.error(  # noqa: TRY400 - see above
                "defect", outbox_id=row.id, error=type(error).__name__, where=_where(error)
            )
            return outcomes.of_defect(row, error, policy=self._policy, rng=self._rng)

    async def _tell(self, attempt: UnderWay, surroundings: Surroundings) -> Outcome:
        row = attempt.row
        shop = surroundings.shops[row.merchant_id]
        if row.kind is Kind.BATCH and self._batches is not None:
            return await self._batches.deliver(attempt, shop, self.ask)
        request = request_for(row, shop, surroundings)
        if isinstance(request, Skip):
            return outcomes.of_skip(row, request)
        answered = await self.ask(attempt, request, shop)
        if isinstance(answered, Outcome):
            return answered
        return outcomes.of_delivery(
            attempt.ended(), follow_ups(row, shop), told_alone(row, request, brand=shop.brand_id)
        )

    def _judge(self, row: OutboxRow, shop: Shop | None) -> Outcome | None:
        """The outcome of a row that is not to be sent, or ``None``."""
        if row.rescues >= MAX_RESCUES:
            return outcomes.of_too_many_rescues(row)
        if row.expired:
            return outcomes.of_expiry(row)
        claimed_at = self._holdings.claimed_at(row)
        if (
            shop is None
            or shop.disabled
            or self._lanes.holds(row.merchant_id, row.kind, claimed_at=claimed_at)
        ):
            return outcomes.handed_back(row)
        retired_for = self._lanes.retired_for(shop.dialect.version)
        if retired_for is not None:
            self._lanes.hold(row.merchant_id)
            return outcomes.of_retired_dialect(row, retired_for)
        if shop.problem is not None:
            self._lanes.hold(row.merchant_id)
            return outcomes.of_unusable_credential(row, shop.problem)
        return self._lacks_scope(row, shop)

    def _lacks_scope(self, row: OutboxRow, shop: Shop) -> Outcome | None:
        """Of a batch it is known only when it is read what it holds."""
        missing = () if row.kind is Kind.BATCH else missing_scopes(shop.scopes, [row.kind])
        if not missing:
            return None
        outcome = outcomes.of_missing_scope(row, missing[0])
        self._lanes.hold(row.merchant_id, None if outcome.pause is not None else row.kind)
        return outcome

    async def ask(
        self,
        attempt: UnderWay,
        request: OmnisendRequest,
        shop: Shop,
        *,
        shown: dict[str, Any] | None = None,
        expected: frozenset[int] = frozenset(),
    ) -> Answer | Outcome:
        """Omnisend's answer where it took the request, or the other one that it asked for; else how the attempt ended.

        ``shown`` is what the log holds of the request, where its kind does not say. An answer with a status that is
        ``expected`` is returned whatever it means.
        """
        attempt.log = {
            "event_id": request.event_id,
            "contact_hash": contact_hash(request.recipient) if request.recipient else None,
            "request_log": logged_request(attempt.row.kind, request) if shown is None else shown,
        }
        while True:
            answer = await self._send(attempt, request, shop)
            if isinstance(answer, Outcome) or answer.status in expected:
                return answer
            meaning = classify(answer, kind=attempt.row.kind, dialect=shop.dialect)
            match meaning:
                case Delivered():
                    return answer
                case SwitchCall(Switch.CREATE) if request.method == "DELETE":
                    return answer  # gone is gone
                case SwitchCall() if request.otherwise is not None:
                    request = request.otherwise
                case _:
                    return await self._failed(attempt, meaning, shop)

    async def _send(self, attempt: UnderWay, request: OmnisendRequest, shop: Shop) -> Answer | Outcome:
        """One request and, within the lease, again for what passes in a second: the whole answer, whatever it says."""
        client = self._client.speaking(shop.dialect)

        async def once() -> Answer:
            if (attempt.requests or shop.token is not None) and not self._holdings.may_send(attempt.row):
                raise _LeaseRunsOut  # a token may have been waited for, too
            attempt.requests += 1
            return await client.send(request, credential.secret)

        try:
            credential = await self._authorizer.credential(shop)
            attempt.sealed = credential.sealed
            answer = await send_within_lease(once)
            if answer.status == _UNAUTHORIZED and shop.token is not None:
                other = await self._authorizer.another(shop, credential)
                if other is not None:
                    credential, attempt.sealed = other, other.sealed
                    answer = await send_within_lease(once)
        except TransportError as error:
            return outcomes.of_transport_error(attempt.ended(), error, policy=self._policy, rng=self._rng)
        except AuthorizationLost as error:
            self._lanes.hold(attempt.row.merchant_id)
            return outcomes.of_lost_authorization(attempt.row, str(error))
        except TokenUnavailable as error:
            self._lanes.hold(attempt.row.merchant_id)
            return outcomes.of_unavailable_token(attempt.row, str(error))
        except CredentialError as error:
            self._lanes.hold(attempt.row.merchant_id)
            return outcomes.of_unusable_credential(attempt.row, str(error))
        except _LeaseRunsOut:
            return outcomes.of_too_late(attempt.ended())
        attempt.status = answer.status
        return answer

    async def _failed(self, attempt: UnderWay, meaning: AnswerClass, shop: Shop) -> Outcome:
        """The outcome of an answer that is no success, and what it says about the merchant's lane."""
        row = attempt.row
        outcome = outcomes.of_answer(attempt.ended(), meaning, policy=self._policy, rng=self._rng)
        if isinstance(meaning, Retired):
            self._lanes.retire(shop.dialect.version, meaning.words)
        if outcome.forbidden is not None:
            self._lanes.hold(row.merchant_id, row.kind)
        if outcome.pause is not None:
            if outcome.pause.breaks_integration and await self._was_replaced(attempt):
                return outcomes.of_replaced_credential(attempt.ended(), outcome.pause)
            self._lanes.hold(row.merchant_id)
            if outcome.pause.breaks_integration:  # it may still be replaced before this is settled
                pause = replace(outcome.pause, credential=attempt.sealed)
                outcome = msgspec.structs.replace(outcome, pause=pause)
        return outcome

    async def _was_replaced(self, attempt: UnderWay) -> bool:
        """Whether a refusal is about a key or token that is not the merchant's any more."""
        try:
            return await self._shops.was_replaced(attempt.row.merchant_id, attempt.sealed)
        except PASSING:
            return False  # then the lane waits, at worst, for its next probe


def _findable(outcome: Outcome, shop: Shop | None) -> Outcome:
    """With whom it is about, where it ended before there was a request that says so. A row handed back has no log row."""
    if outcome.contact_hash is not None or outcome.verdict is Verdict.RELEASE:
        return outcome
    row = outcome.row
    known_as = recipient_hash(row.kind, row.payload, shop.profile.country_code if shop else None)
    return outcome if known_as is None else msgspec.structs.replace(outcome, contact_hash=known_as)


def _where(error: Exception) -> str:
    trace = error.__traceback__
    place = "?"
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
