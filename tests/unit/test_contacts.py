"""Consents and contacts at the callers' edge: what is taken, and what is refused without repeating it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from soldt_outbox import Consent, Contact, ContactChanged, InvalidEvent

SHOP = UUID(int=1)
EMAIL = {"merchant_id": SHOP, "channel": "email", "identifier": "nomsa@example.com"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"identifier": "nomsa.dlamini"}, "identifier: is no e-mail address"),
        ({"identifier": "nomsa@exämple.com"}, "xn--"),
        ({"identifier": "nomsa\0@example.com"}, "NUL"),
        ({"channel": "phone"}, "channel"),
        ({"source": ""}, "source"),
        ({"source": "x" * 101}, "source"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001 - what is refused
        ({"ip": "10.0.0.0/8"}, "ip"),
        ({"origin": "elsewhere"}, "origin"),
        ({"contact": {"firstName": "Nomsa"}}, "firstName"),
        ({"agreed": True}, "agreed"),
    ],
    ids=str,
)
def test_what_cannot_be_a_consent_is_refused_by_field(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidEvent, match=problem) as refused:
        Consent(**(EMAIL | changes))
    assert "nomsa" not in str(refused.value).lower()


@pytest.mark.parametrize(
    ("identifier", "address"),
    [(" Nomsa@Example.com ", "nomsa@example.com"), ("nomsa@xn--exmple-cua.com", "nomsa@xn--exmple-cua.com")],
)
def test_an_email_is_recorded_as_it_is_sent(identifier: str, address: str) -> None:
    assert Consent(**(EMAIL | {"identifier": identifier})).address() == address


def test_a_phone_with_its_country_needs_no_other() -> None:
    consent = Consent(merchant_id=SHOP, channel="sms", identifier="+264811234567")
    assert not consent.needs_country
    assert consent.address() == "+264811234567"
    national = Consent(merchant_id=SHOP, channel="sms", identifier="081 123 4567")
    assert national.needs_country
    assert national.address("NA") == "+264811234567"


@pytest.mark.parametrize(
    ("contact", "problem"),
    [
        ({"country_code": "za"}, "country_code"),
        ({"gender": "x"}, "gender"),
        ({"tags": ["t"] * 101}, "tags"),
        ({"custom_properties": {"a": float("nan")}}, "custom_properties"),
        ({"custom_properties": {"shoe-size": 7}}, "custom_properties: 'shoe-size' is no name"),
        ({"custom_properties": {"": 7}}, "custom_properties: '' is no name"),
        ({"custom_properties": {"card": {"text": "Nomsa"}}}, "custom_properties: 'card' is an object"),
        ({"custom_properties": {"sizes": [7, 8]}}, "custom_properties: 'sizes' is a list"),
        ({"custom_properties": {"likes": [["Nomsa"]]}}, "custom_properties: 'likes' is a list"),
        (
            {"custom_properties": {"points": 10**18}},
            "custom_properties: 'points' is not finite, or has more than 18",
        ),
        ({"first_name": "N" * 1_001}, "first_name"),
    ],
    ids=[
        "country",
        "gender",
        "tags",
        "not finite",
        "key",
        "no key",
        "nested",
        "numbers",
        "deep",
        "too large",
        "name",
    ],
)
def test_what_cannot_be_a_contact_is_refused_by_field(contact: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidEvent, match=problem) as refused:
        Contact(**contact)
    assert "Nomsa" not in str(refused.value)


def test_a_custom_property_of_each_kind_is_taken_as_it_is_given() -> None:
    properties = {"locale": "zu", "points": 12, "score": 1.5, "b2b": False, "likes": ["tea"], "gone": None}
    assert Contact(custom_properties=properties).custom_properties == properties


def test_a_changed_contact_is_somebody() -> None:
    with pytest.raises(InvalidEvent, match="email or a phone"):
        ContactChanged(merchant_id=SHOP, contact=Contact(first_name="Nomsa"))


def test_a_contact_is_told_in_omnisends_names_and_only_what_is_known() -> None:
    assert (
        Contact(first_name="Nomsa", postal_code="8001").payload_json()
        == '{"firstName":"Nomsa","postalCode":"8001"}'
    )
