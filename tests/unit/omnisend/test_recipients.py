"""Whom a row is about, told without a request: by the hash that the request is logged with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from soldt_outbox.omnisend.dialects import V5
from soldt_outbox.omnisend.mapping import events, map_contact, map_event, recipient_hash
from soldt_outbox.redaction import contact_hash
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, OutboxRow, Unreadable
from tests.support.shop import ORDER
from tests.support.worker import cart
from tests.support.worker_rows import row

BRITISH = MerchantProfile(merchant_id=UUID(int=1), storefront_url=None, country_code="GB")


def _contact(payload: Any) -> OutboxRow:
    return row(kind=Kind.CONTACT, name="contact_changed", payload=payload)


@pytest.mark.parametrize(
    "one",
    [
        row(name="order_placed", payload=ORDER | {"id": 4711}),
        row(name="checkout_started", payload=cart(" Nomsa@Example.COM ")),
        row(name="checkout_started", payload=cart() | {"contact": {"phone": "07911 123456"}}),
        row(name="gift_wrapped", payload={"contact": '{"email": "nomsa@example.com"}', "properties": {}}),
        row(name="gift_wrapped", payload={"contact": {"id": "c1"}, "properties": {}}),
        _contact({"email": "nomsa@example.com", "phone": "07911 123456"}),
        _contact({"contact": {"phone": "07911 123456"}}),
        _contact({"channel": "sms", "phone": "+27821234567"}),
    ],
    ids=["order", "cart", "phone", "contact as text", "contact id", "contact", "its phone", "consent by SMS"],
)
def test_a_row_is_known_by_whom_its_request_is_about(one: OutboxRow) -> None:
    request = map_event(one, BRITISH, {}) if one.kind is Kind.EVENT else map_contact(one, BRITISH, {}, V5)
    assert isinstance(request, OmnisendRequest)
    expected = contact_hash(request.recipient) if request.recipient else None
    assert recipient_hash(one.kind, one.payload, "GB") == expected


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "payload",
    [None, [], "nomsa", {}, {"contact": {"email": "nobody"}}, {"contact": [[{}]]}, Unreadable("is too deep")],
    ids=["none", "list", "text", "empty", "no address", "odd", "unreadable"],
)
def test_a_row_that_names_nobody_is_known_by_nothing(kind: Kind, payload: Any) -> None:
    assert recipient_hash(kind, payload, None) is None


def test_rows_of_the_catalogue_are_about_no_person() -> None:
    assert recipient_hash(Kind.PRODUCT, {"email": "nomsa@example.com"}, "ZA") is None


def test_of_a_connection_that_is_gone_phones_are_read_as_in_the_default_country() -> None:
    payload = {"contact": {"phone": "082 123 4567"}}
    assert recipient_hash(Kind.EVENT, payload, None) == contact_hash("+27821234567")


def test_a_defect_in_the_reading_costs_no_more_than_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(events, "customer", broken)
    assert recipient_hash(Kind.EVENT, cart(), "ZA") is None
