"""One row from claimed to its outcome, with a client that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from soldt_outbox.errors import CredentialError, NeverSeen
from soldt_outbox.omnisend.answers import Answer
from soldt_outbox.omnisend.batches import digest
from soldt_outbox.omnisend.dialects import V5, V2026_03_15, Dialect
from soldt_outbox.omnisend.mapping.catalogue import ShopCollection, ShopProduct
from soldt_outbox.rows import (
    Kind,
    MerchantProfile,
    OmnisendRequest,
    OutboxRow,
    Outcome,
    PauseReason,
    Record,
    Unreadable,
    Verdict,
)
from soldt_outbox.store import MAX_RESCUES
from tests.support.shop import ORDER
from tests.support.worker import cart
from tests.support.worker_rows import SHOP, Clock, row
from worker import sending
from worker.authorizing import Authorizer, Credential
from worker.holdings import Holdings
from worker.lanes import Lanes
from worker.sending import Sender, UnderWay
from worker.shops import Shop
from worker.surroundings import Surroundings


class Bench:
    """A sender, and what its client and its shops say."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lanes = Lanes(self.clock)
        self.holdings = Holdings(timedelta(seconds=60), margin=timedelta(seconds=12), clock=self.clock)
        self.sent: list[tuple[OmnisendRequest, str]] = []
        self.answer: Callable[[], Answer] = lambda: Answer(status=202)
        self.replaced: Callable[[], bool] = lambda: False
        self.sender = Sender(self, self.lanes, self.holdings, self, Authorizer(None))  # type: ignore[arg-type]

    def speaking(self, _dialect: Dialect) -> Bench:
        return self

    async def send(self, request: OmnisendRequest, api_key: str) -> Answer:
        self.sent.append((request, api_key))
        return self.answer()

    async def was_replaced(self, merchant_id: UUID, sealed: str | None) -> bool:
        return self.replaced()

    async def deliver(
        self,
        one: OutboxRow,
        shop: Shop | None = None,
        *,
        known: bool = True,
        around: Surroundings | None = None,
    ) -> Outcome:
        self.holdings.take([one], asked_at=self.clock())
        shops = {SHOP: shop or _shop()} if known else {}
        return await self.sender.deliver(UnderWay(one), around or Surroundings(shops=shops))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _shop(**changes: Any) -> Shop:
    given: dict[str, Any] = {
        "profile": MerchantProfile(merchant_id=SHOP, storefront_url=None),
        "dialect": V5,
        "api_key": "key",
        "sealed": "v1:k1:x",
    }
    return Shop(**given | changes)


def _checkout(**changes: Any) -> OutboxRow:
    return row(name="checkout_started", **{"payload": cart()} | changes)


async def test_a_row_is_sent_with_its_merchants_key_and_logged_without_whom_it_is_about(bench: Bench) -> None:
    outcome = await bench.deliver(_checkout())
    ((request, key),) = bench.sent
    assert key == "key"
    assert b"nomsa@example.com" in request.body
    assert (outcome.verdict, outcome.status_code, outcome.event_id) == (
        Verdict.DELIVERED,
        202,
        request.event_id,
    )
    assert "nomsa@" not in str(outcome.request_log)
    assert outcome.contact_hash is not None


@pytest.mark.parametrize(
    ("one", "shop", "verdict", "words"),
    [
        (_checkout(rescues=MAX_RESCUES), _shop(), Verdict.DEAD, "lease ran out"),
        (_checkout(expired=True), _shop(), Verdict.EXPIRED, "time to live"),
        (_checkout(), _shop(disabled=True), Verdict.RELEASE, None),
        (_checkout(), _shop(api_key=None, problem="none is stored"), Verdict.RELEASE, "none is stored"),
        (
            _checkout(payload=Unreadable("is nested too deeply")),
            _shop(),
            Verdict.DEAD,
            "payload: is nested too deeply",
        ),
        (_checkout(payload={"contact": {}}), _shop(), Verdict.SKIPPED, "missing_identity"),
        (_checkout(payload=[]), _shop(), Verdict.DEAD, "payload: is a list, not an object"),
        (_checkout(payload=None), _shop(), Verdict.DEAD, "payload: is missing: the order was removed"),
    ],
    ids=[
        "poison",
        "expired",
        "disabled",
        "no key",
        "unreadable",
        "nobody",
        "no object",
        "no order",
    ],
)
async def test_what_is_not_to_be_sent_is_not_sent(
    bench: Bench, one: OutboxRow, shop: Shop, verdict: Verdict, words: str | None
) -> None:
    outcome = await bench.deliver(one, shop)
    assert bench.sent == []
    assert outcome.verdict is verdict
    assert (words is None) if outcome.error is None else (words is not None and words in outcome.error)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"rescues": MAX_RESCUES}, True),
        ({"expired": True}, True),
        ({"expired": True}, False),
        ({"payload": cart() | {"properties": "all of it"}}, True),
    ],
    ids=["poison", "expired", "expired of a merchant that is gone", "broken"],
)
async def test_what_ends_unsent_is_logged_with_whom_it_is_about(
    bench: Bench, changes: dict[str, Any], known: bool
) -> None:
    sent = await bench.deliver(_checkout())
    unsent = await bench.deliver(_checkout(**changes), known=known)
    assert unsent.verdict is not Verdict.DELIVERED
    assert unsent.contact_hash == sent.contact_hash is not None


async def test_a_row_of_a_merchant_that_is_gone_is_handed_back(bench: Bench) -> None:
    outcome = await bench.deliver(_checkout(), known=False)
    assert (outcome.verdict, outcome.counted) == (Verdict.RELEASE, False)


async def test_a_row_claimed_before_a_pause_is_handed_back(bench: Bench) -> None:
    waiting = _checkout()
    bench.holdings.take([waiting], asked_at=bench.clock())
    bench.clock.forward(1)
    bench.lanes.hold(SHOP)
    bench.lanes.pause_stored(SHOP)
    outcome = await bench.sender.deliver(UnderWay(waiting), Surroundings(shops={SHOP: _shop()}))
    assert (outcome.verdict, outcome.counted, bench.sent) == (Verdict.RELEASE, False, [])


async def test_a_refused_key_holds_its_merchant(bench: Bench) -> None:
    bench.answer = lambda: Answer(status=401)
    outcome = await bench.deliver(_checkout())
    assert outcome.pause is not None
    assert outcome.pause.reason is PauseReason.AUTH
    assert bench.lanes.is_held(SHOP)


async def test_a_refused_key_that_was_replaced_meanwhile_punishes_nobody(bench: Bench) -> None:
    bench.answer = lambda: Answer(status=401)
    bench.replaced = lambda: True
    outcome = await bench.deliver(_checkout())
    assert (outcome.verdict, outcome.counted, outcome.pause, outcome.healthy) == (
        Verdict.RELEASE,
        False,
        None,
        None,
    )
    assert not bench.lanes.is_held(SHOP)


async def test_where_the_database_cannot_say_whether_the_key_was_replaced_the_refusal_counts(
    bench: Bench,
) -> None:
    def gone() -> bool:
        raise psycopg.OperationalError

    bench.answer = lambda: Answer(status=401)
    bench.replaced = gone
    outcome = await bench.deliver(_checkout())
    assert outcome.pause is not None


async def test_a_key_that_no_header_can_hold_is_a_broken_credential(bench: Bench) -> None:
    def refuse() -> Answer:
        raise CredentialError("holds a line break")

    bench.answer = refuse
    outcome = await bench.deliver(_checkout())
    assert outcome.pause is not None
    assert outcome.pause.reason is PauseReason.CREDENTIAL


async def test_no_try_is_made_once_the_lease_is_too_short(bench: Bench) -> None:
    def slow() -> Answer:
        bench.clock.forward(50)
        raise NeverSeen("refused")

    bench.answer = slow
    outcome = await bench.deliver(_checkout())
    assert len(bench.sent) == 1
    assert (outcome.verdict, outcome.counted, outcome.requests_made) == (Verdict.RELEASE, False, 1)


async def test_a_defect_in_the_mapping_is_the_rows_trouble_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> OmnisendRequest:
        raise KeyError("nomsa@example.com")

    monkeypatch.setattr(sending, "request_for", broken)
    outcome = await bench.deliver(_checkout())
    assert outcome.verdict is Verdict.RETRY
    assert "nomsa" not in str(outcome.error)
    said = capsys.readouterr()
    assert "KeyError" in said.out + said.err
    assert "nomsa" not in said.out + said.err


async def test_a_retired_dialect_is_not_asked_again_and_the_other_one_is(bench: Bench) -> None:
    bench.answer = lambda: Answer(status=410)
    first = await bench.deliver(_checkout())
    bench.lanes.pause_stored(SHOP)
    bench.clock.forward(1)
    second = await bench.deliver(_checkout())
    for outcome in (first, second):
        assert (outcome.verdict, outcome.counted) == (Verdict.RELEASE, False)
        assert outcome.pause is not None
        assert (outcome.pause.reason, outcome.pause.breaks_integration) == (PauseReason.RETIRED, False)
    assert len(bench.sent) == 1
    bench.lanes.pause_stored(SHOP)
    bench.clock.forward(1)
    bench.answer = lambda: Answer(status=202)
    other = await bench.deliver(_checkout(), _shop(dialect=V2026_03_15))
    assert other.verdict is Verdict.DELIVERED


# -- other kinds ------------------------------------------------------------------------------------------------


BRAND = "5f0000000000000000000abc"
SHIRT = ShopProduct(id="17", title="T-shirt", price=Decimal("199.90"))


def _product(**changes: Any) -> OutboxRow:
    given = {"kind": Kind.PRODUCT, "name": "product_changed", "payload": {"product_id": "17"}}
    return row(**given | changes)


def _selling(*products: ShopProduct) -> Surroundings:
    shop = _shop(
        profile=MerchantProfile(merchant_id=SHOP, storefront_url="https://protea.example"), brand_id=BRAND
    )
    return Surroundings(shops={SHOP: shop}, products={SHOP: {one.id: one for one in products}})


def _answers(*statuses: int) -> Callable[[], Answer]:
    left = list(statuses)
    return lambda: Answer(status=left.pop(0))


async def test_what_is_not_there_to_be_replaced_is_created(bench: Bench) -> None:
    bench.answer = _answers(404, 201)
    outcome = await bench.deliver(_product(), around=_selling(SHIRT))
    assert [(request.method, request.path) for request, _ in bench.sent] == [
        ("PUT", "/products/17"),
        ("POST", "/products"),
    ]
    assert (outcome.verdict, outcome.status_code, outcome.requests_made) == (Verdict.DELIVERED, 201, 2)


async def test_what_somebody_else_created_meanwhile_is_replaced(bench: Bench) -> None:
    bench.answer = _answers(404, 409, 200)
    outcome = await bench.deliver(_product(), around=_selling(SHIRT))
    assert [request.method for request, _ in bench.sent] == ["PUT", "POST", "PUT"]
    assert outcome.verdict is Verdict.DELIVERED


async def test_what_is_there_and_not_there_is_tried_again_later(bench: Bench) -> None:
    bench.answer = _answers(404, 409, 404)
    outcome = await bench.deliver(_product(), around=_selling(SHIRT))
    assert (outcome.verdict, outcome.requests_made) == (Verdict.RETRY, 3)


async def test_a_product_that_is_gone_is_deleted_and_gone_is_gone(bench: Bench) -> None:
    bench.answer = _answers(404)
    outcome = await bench.deliver(_product(), around=_selling())
    ((request, _),) = bench.sent
    assert (request.method, request.path, request.body) == ("DELETE", "/products/17", b"")
    assert outcome.verdict is Verdict.DELIVERED
    assert outcome.request_log == {"call": "DELETE /products/17"}


async def test_what_a_row_told_of_a_product_is_remembered_as_a_batch_would(bench: Bench) -> None:
    bench.answer = _answers(200)
    outcome = await bench.deliver(_product(), around=_selling(SHIRT))
    ((request, _),) = bench.sent
    assert outcome.records == (_kept("products", digest(request.body)),)


@pytest.mark.parametrize("statuses", [(200,), (404, 201)], ids=["changed", "created"])
async def test_of_a_category_what_creates_it_is_remembered(bench: Bench, statuses: tuple[int, ...]) -> None:
    """And not what changes its title: a batch only creates."""
    bench.answer = _answers(*statuses)
    category = row(kind=Kind.CATEGORY, name="category_changed", payload={"collection_id": "17"})
    known = replace(_selling(), collections={SHOP: {"17": ShopCollection(id="17", name="Summer")}})
    outcome = await bench.deliver(category, around=known)
    created = digest(b'{"categoryID": "17", "title": "Summer"}')
    assert outcome.records == (_kept("categories", created),)


async def test_what_a_row_deleted_is_forgotten(bench: Bench) -> None:
    bench.answer = _answers(404)
    outcome = await bench.deliver(_product(), around=_selling())
    assert outcome.records == (_kept("products", None),)


async def test_what_omnisend_did_not_take_is_not_remembered(bench: Bench) -> None:
    bench.answer = _answers(400)
    outcome = await bench.deliver(_product(), around=_selling(SHIRT))
    assert (outcome.verdict, outcome.records) == (Verdict.DEAD, ())


def _kept(resource: str, known: str | None) -> Record:
    return Record(by="keep_told", fields={"brand": BRAND, "resource": resource, "items": {"17": known}})


@pytest.mark.parametrize("products", [None, {}], ids=["failed", "of other merchants"])
async def test_a_look_up_that_failed_or_was_not_about_the_shop_deletes_nothing(
    bench: Bench, products: dict[UUID, dict[str, ShopProduct]] | None
) -> None:
    unknown = replace(_selling(), products=products)
    outcome = await bench.deliver(_product(), around=unknown)
    assert bench.sent == []
    assert (outcome.verdict, outcome.counted) == (Verdict.RETRY, False)
    assert "cannot be looked up" in str(outcome.error)


async def test_a_database_out_of_reach_while_a_token_is_looked_up_is_no_defect(bench: Bench) -> None:
    class OutOfReach(Authorizer):
        async def credential(self, shop: Shop) -> Credential:
            raise psycopg.OperationalError("gone")

    bench.sender = Sender(bench, bench.lanes, bench.holdings, bench, OutOfReach(None))  # type: ignore[arg-type]
    outcome = await bench.deliver(_checkout())
    assert bench.sent == []
    assert outcome.verdict is Verdict.RETRY
    assert outcome.error == "the shop's data could not be read (OperationalError)"


async def test_a_key_that_may_not_change_products_stops_products_alone(bench: Bench) -> None:
    bench.answer = _answers(403)
    outcome = await bench.deliver(_product(), around=_selling(SHIRT))
    assert (outcome.verdict, outcome.pause) == (Verdict.RELEASE, None)
    assert "products.write" in str(outcome.forbidden)
    held = await bench.deliver(_product(), around=_selling(SHIRT))
    assert (held.verdict, held.requests_made) == (Verdict.RELEASE, 0)
    bench.answer = _answers(202)
    assert (await bench.deliver(_checkout())).verdict is Verdict.DELIVERED


async def test_of_a_contact_the_log_holds_no_address(bench: Bench) -> None:
    contact = row(
        kind=Kind.CONTACT,
        name="contact_changed",
        payload={"email": "nomsa@example.com", "phone": "082 123 4567", "firstName": "Nomsa"},
    )
    outcome = await bench.deliver(contact)
    assert outcome.verdict is Verdict.DELIVERED
    logged = str(outcome.request_log)
    assert "POST /contacts" in logged
    assert "nonSubscribed" in logged
    for secret in ("nomsa@", "Nomsa", "0821234567", "27821234567"):
        assert secret not in logged


@pytest.mark.parametrize(
    ("switched_on", "follow"),
    [
        ({}, []),
        ({"sync_contacts": True}, ["contact_changed"]),
        ({"ordered_products": True}, ["ordered_product"]),
        ({"sync_contacts": True, "ordered_products": True}, ["ordered_product", "contact_changed"]),
    ],
)
async def test_from_a_placed_order_follows_what_its_merchant_wants(
    bench: Bench, switched_on: dict[str, bool], follow: list[str]
) -> None:
    order = {name: value for name, value in ORDER.items() if name != "merchant_id"} | {"id": 4711}
    outcome = await bench.deliver(row(payload=order), _shop(**switched_on))
    assert outcome.verdict is Verdict.DELIVERED
    assert [row.name for row in outcome.follow_ups] == follow
    paid = await bench.deliver(row(name="order_paid", payload=order), _shop(**switched_on))
    assert (paid.verdict, paid.follow_ups) == (Verdict.DELIVERED, ())
