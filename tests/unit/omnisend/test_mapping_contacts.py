"""Contacts: which status each channel has, in every state and after every transition, and what else is sent within which limits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.dialects import V5, V2026_03_15
from soldt_outbox.omnisend.mapping import contact_identifiers, map_contact, read_consents
from soldt_outbox.omnisend.mapping.contacts import (
    NEVER_SAID,
    Channel,
    ConsentState,
    ContactRow,
    Origin,
    Status,
)
from soldt_outbox.rows import Kind, OmnisendRequest, Skip
from tests.unit.omnisend.shapes import CART, MERCHANT, MERCHANT_ID, ORDER, parse, row

EMAIL, PHONE = "thandi@example.co.za", "+27821234567"
SAID = datetime(2026, 11, 20, 8, 30, 0, 250_400, tzinfo=UTC)
GIVEN = ConsentState(
    status=Status.SUBSCRIBED,
    since=SAID,
    source="checkout",
    ip="203.0.113.7",
    user_agent="Mozilla/5.0",
    recent=True,
    consent_id=7,
)
WITHDRAWN = ConsentState(
    status=Status.UNSUBSCRIBED, since=SAID, source="account page", recent=True, consent_id=8
)
DIALECTS = pytest.mark.parametrize("dialect", [V5, V2026_03_15], ids=lambda dialect: dialect.version)
CUSTOMER = {"email": EMAIL, "phone": PHONE}


def contact_row(name=ContactRow.CONTACT_CHANGED, payload=None, **changes):
    return row(name, CUSTOMER if payload is None else payload, **({"kind": Kind.CONTACT} | changes))


def mapped(payload=None, consents=None, dialect=V2026_03_15, **changes):
    request = map_contact(contact_row(payload=payload, **changes), MERCHANT, consents or {}, dialect)
    assert isinstance(request, OmnisendRequest)
    assert (request.method, request.path, request.event_id) == ("POST", "/contacts", None)
    return parse(request.body)


def identifiers(body):
    return {found["type"]: found for found in body["identifiers"]}


def states(email=None, sms=None):
    given = {(Channel.EMAIL, EMAIL): email, (Channel.SMS, PHONE): sms}
    return {key: value for key, value in given.items() if value is not None}


# Status --------------------------------------------------------------------------------------------------------------------

SENT = {
    None: ("nonSubscribed", NEVER_SAID),
    GIVEN: ("subscribed", "2026-11-20T08:30:00.250Z"),
    WITHDRAWN: ("unsubscribed", "2026-11-20T08:30:00.251Z"),
}
STATES = pytest.mark.parametrize("state", SENT, ids=["nothing said", "given", "withdrawn"])
ROWS = pytest.mark.parametrize("name", ContactRow, ids=str)


@DIALECTS
@ROWS
@STATES
@pytest.mark.parametrize("channel", Channel, ids=str)
def test_each_channel_has_the_status_that_was_recorded_whatever_the_row_says(dialect, name, state, channel):
    """Every state after every transition: a row that waited is told with what holds when it leaves."""
    email, sms = (state, None) if channel is Channel.EMAIL else (None, state)
    payload = CUSTOMER if name is ContactRow.CONTACT_CHANGED else CUSTOMER | {"channel": str(channel)}
    found = identifiers(mapped(payload, states(email, sms), dialect, name=name))
    for type_, key, said in (("email", "email", email), ("phone", "sms", sms)):
        status, since = SENT[said]
        assert found[type_]["channels"] == {key: {"status": status, dialect.status_changed_field: since}}
        assert ("consent" in found[type_]) == (said is GIVEN)


@DIALECTS
def test_known_only_from_an_order_is_non_subscribed(dialect):
    found = identifiers(mapped(parse(ORDER), {}, dialect))
    assert [found["email"]["id"], found["phone"]["id"]] == [EMAIL, PHONE]
    for type_, channel in (("email", "email"), ("phone", "sms")):
        assert found[type_]["channels"] == {
            channel: {"status": "nonSubscribed", dialect.status_changed_field: NEVER_SAID}
        }


def test_an_unknown_status_is_older_than_anything_a_person_can_have_said():
    """Omnisend ignores what is older than what it has: an opt-out made there and not read yet outlives an order."""
    sent = mapped(occurred_at=datetime(2026, 12, 1, tzinfo=UTC))["identifiers"][0]["channels"]["email"]
    assert sent["statusChangedAt"] == "2000-01-01T00:00:00.000Z"


def test_sms_only_with_its_own_consent():
    found = identifiers(mapped(consents=states(email=GIVEN)))
    assert found["email"]["channels"]["email"]["status"] == "subscribed"
    assert found["phone"]["channels"]["sms"]["status"] == "nonSubscribed"
    assert "consent" not in found["phone"]


@pytest.mark.parametrize(
    "phone", ["123", "none", "+0821234567", "+123456789012345678", "+493012345678901", "", None]
)
def test_sms_only_with_an_e164_number(phone):
    body = mapped({"email": EMAIL, "phone": phone})
    assert list(identifiers(body)) == ["email"]


@pytest.mark.parametrize("phone", ["082 123 4567", "27821234567", "+27 82 123 4567"])
def test_a_phone_is_looked_up_and_sent_as_e164(phone):
    stored = contact_row(payload={"phone": phone})
    assert contact_identifiers(stored, MERCHANT) == [("sms", PHONE)]
    found = identifiers(mapped({"phone": phone}, states(sms=GIVEN)))
    assert found["phone"]["id"] == PHONE
    assert found["phone"]["channels"]["sms"]["status"] == "subscribed"


@pytest.mark.parametrize(
    "odd", ["+9991234567", "+493012345678901"], ids=["nobody's country", "16 characters"]
)
def test_a_phone_with_a_recorded_consent_is_kept_as_it_was_recorded(odd):
    stored = contact_row(ContactRow.CONSENT_WITHDRAWN, {"channel": "sms", "phone": odd})
    assert contact_identifiers(stored, MERCHANT) == [("sms", odd)]
    request = map_contact(stored, MERCHANT, {("sms", odd): WITHDRAWN}, V5)
    assert isinstance(request, OmnisendRequest)
    assert parse(request.body)["identifiers"][0]["id"] == odd


def test_the_consents_own_instant_is_sent_and_not_the_rows():
    late = mapped(
        name=ContactRow.CONSENT_GIVEN, occurred_at=SAID + timedelta(days=9), consents=states(email=GIVEN)
    )
    sent = late["identifiers"][0]
    assert sent["channels"]["email"]["statusChangedAt"] == sent["consent"]["createdAt"] == SENT[GIVEN][1]


@pytest.mark.parametrize("microsecond", [0, 1, 999, 250_000, 250_999, 999_999])
def test_of_the_same_instant_a_withdrawal_is_newer_at_omnisend_too(microsecond):
    since = SAID.replace(microsecond=microsecond)
    given, withdrawn = (
        mapped(consents=states(email=replace(state, since=since)))["identifiers"][0]["channels"]["email"]
        for state in (GIVEN, WITHDRAWN)
    )
    assert given["statusChangedAt"] < withdrawn["statusChangedAt"]


# Proof ---------------------------------------------------------------------------------------------------------------------


def test_consent_says_where_when_and_from_where():
    assert mapped(consents=states(email=GIVEN))["identifiers"][0]["consent"] == {
        "source": "checkout",
        "createdAt": "2026-11-20T08:30:00.250Z",
        "ip": "203.0.113.7",
        "userAgent": "Mozilla/5.0",
    }


@pytest.mark.parametrize(
    "state", [None, WITHDRAWN, ConsentState(status=Status.NON_SUBSCRIBED, since=SAID)], ids=str
)
def test_never_an_empty_consent_object(state):
    """Omnisend takes one for consent given now."""
    sent = mapped(consents=states(email=state))["identifiers"][0]
    assert "consent" not in sent
    assert sent["channels"]["email"]["status"] != "subscribed"
    bare = ConsentState(status=Status.SUBSCRIBED, since=SAID)
    assert mapped(consents=states(email=bare))["identifiers"][0]["consent"] == {"createdAt": SENT[GIVEN][1]}


def test_a_proof_is_cut_to_omnisends_lengths():
    long = replace(GIVEN, source="s" * 200, user_agent="u\x00" * 400)
    sent = mapped(consents=states(email=long))["identifiers"][0]["consent"]
    assert (len(sent["source"]), sent["userAgent"]) == (100, "u" * 200)


# Welcome -------------------------------------------------------------------------------------------------------------------

OWN_ROW = {"name": ContactRow.CONSENT_GIVEN, "dedup_key": "7"}


def welcomes(body):
    return {type_: found["sendWelcomeMessage"] for type_, found in identifiers(body).items()}


@DIALECTS
def test_who_agreed_in_the_shop_within_the_day_is_welcomed(dialect):
    body = mapped(consents=states(email=GIVEN), dialect=dialect, **OWN_ROW)
    assert welcomes(body) == {"email": True, "phone": False}
    assert body.get("sendWelcomeEmail") is (True if dialect is V5 else None)


@DIALECTS
@pytest.mark.parametrize(
    ("row_", "state"),
    [
        (OWN_ROW | {"name": ContactRow.CONTACT_CHANGED}, GIVEN),
        (OWN_ROW | {"name": ContactRow.CONSENT_WITHDRAWN}, GIVEN),
        (OWN_ROW | {"dedup_key": "6"}, GIVEN),
        (OWN_ROW, replace(GIVEN, recent=False)),
        (OWN_ROW, replace(GIVEN, origin=Origin.IMPORT)),
        (OWN_ROW, replace(GIVEN, origin=Origin.OMNISEND)),
        (OWN_ROW, replace(WITHDRAWN, consent_id=7)),
        (OWN_ROW, None),
    ],
    ids=["changed", "withdrawn", "an earlier consent", "old", "imported", "omnisend's", "gone", "nothing"],
)
def test_the_welcome_is_always_explicit_and_false_on_imports_and_all_else(dialect, row_, state):
    body = mapped(consents=states(email=state, sms=state), dialect=dialect, **row_)
    assert welcomes(body) == {"email": False, "phone": False}
    assert body.get("sendWelcomeEmail") is (False if dialect is V5 else None)


@DIALECTS
def test_consent_to_sms_is_welcomed_there_and_not_by_email(dialect):
    body = mapped(consents=states(sms=GIVEN), dialect=dialect, **OWN_ROW)
    assert welcomes(body) == {"email": False, "phone": True}
    assert body.get("sendWelcomeEmail") is (False if dialect is V5 else None)
    assert "sendWelcomeMessage" not in body


# Whom it is about ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        {"email": " Thandi@Example.co.za ", "phone": "082 123 4567"},
        {"customer_email": EMAIL, "customer_phone": PHONE},
        {"contact": {"email": EMAIL, "phone": PHONE}, "properties": {}},
        parse(ORDER),
    ],
    ids=["flat", "columns", "contact", "order"],
)
def test_a_person_is_found_in_each_shape(payload):
    assert contact_identifiers(contact_row(payload=payload), MERCHANT) == [("email", EMAIL), ("sms", PHONE)]
    request = map_contact(contact_row(payload=payload), MERCHANT, {}, V5)
    assert isinstance(request, OmnisendRequest)
    assert request.recipient == EMAIL


@pytest.mark.parametrize("payload", [{}, {"email": "nobody"}, {"id": 5}, {"contact": {"id": "abc"}}], ids=str)
def test_nobody_that_omnisend_could_find_is_skipped(payload):
    stored = contact_row(payload=payload)
    assert contact_identifiers(stored, MERCHANT) == []
    result = map_contact(stored, MERCHANT, {}, V5)
    assert isinstance(result, Skip)
    assert result.reason == "missing_identity"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"kind": Kind.EVENT}, "kind"), ({"name": "contact_moved"}, "name"), ({"payload": [1]}, "payload")],
)
def test_what_is_no_contact_is_rejected_by_field(changes, field):
    stored = contact_row(**changes)
    with pytest.raises(PayloadRejected) as rejected:
        map_contact(stored, MERCHANT, {}, V5)
    assert rejected.value.field == field


# Details -------------------------------------------------------------------------------------------------------------------


def details(payload, **changes):
    body = mapped({"email": EMAIL} | payload, **changes)
    return {key: value for key, value in body.items() if key != "identifiers"}


def test_what_is_known_of_a_contact_is_told():
    assert details(
        {
            "firstName": "Thandi",
            "lastName": "van der Merwe",
            "address": "12 Long Street",
            "city": "Cape Town",
            "state": "Western Cape",
            "postalCode": 8001,
            "country": "South Africa",
            "countryCode": "ZA",
            "gender": "Female",
            "birthdate": "1990-01-31",
            "tags": ["vip", "vip", "source: pop-up"],
            "customProperties": {
                "locale": "af",
                "points": 12,
                "score": Decimal("1.5"),
                "b2b": False,
                "likes": ["tea"],
            },
            "createdAt": "2025-01-01T02:00:00+02:00",
        }
    ) == {
        "firstName": "Thandi",
        "lastName": "van der Merwe",
        "address": "12 Long Street",
        "city": "Cape Town",
        "state": "Western Cape",
        "postalCode": "8001",
        "country": "South Africa",
        "countryCode": "ZA",
        "gender": "f",
        "birthdate": "1990-01-31",
        "tags": ["vip", "source: pop-up"],
        "customProperties": {
            "locale": "af",
            "points": 12,
            "score": Decimal("1.5"),
            "b2b": False,
            "likes": ["tea"],
        },
        "createdAt": "2025-01-01T00:00:00.000Z",
    }


def test_an_orders_row_tells_name_and_place_and_not_when_the_contact_began():
    assert details(parse(ORDER)) == {
        "firstName": "Thandi",
        "lastName": "van der Merwe",
        "address": "12 Long Street",
        "city": "Cape Town",
        "state": "Western Cape",
        "postalCode": "8001",
        "country": "South Africa",
        "countryCode": "ZA",
        "tags": ["source: soldt"],
    }


def test_what_says_nothing_is_left_out():
    odd = {
        "gender": "x",
        "birthdate": "31.1.1990",
        "createdAt": "soon",
        "customProperties": {"a": None, "b": ""},
    }
    assert details(odd | {"country": "Namibia", "firstName": "-", "tags": []}) == {
        "country": "Namibia",
        "countryCode": "NA",
        "tags": ["source: soldt"],
    }
    assert details({"birthdate": "1990-02-30", "customProperties": {}}) == {"tags": ["source: soldt"]}


def test_at_most_a_hundred_tags_and_no_field_longer_than_omnisend_takes():
    found = details(
        dict.fromkeys(
            ("firstName", "lastName", "address", "city", "state", "postalCode", "country"), "x" * 600
        )
        | {"tags": [f"{n}" * 200 for n in range(150)], "customProperties": {"k" * 128: "v" * 2_000}}
    )
    lengths = {field: len(value) for field, value in found.items() if isinstance(value, str)}
    assert lengths == {
        "firstName": 50,
        "lastName": 50,
        "address": 500,
        "city": 100,
        "state": 100,
        "postalCode": 20,
        "country": 100,
    }
    assert len(found["tags"]) == 100
    assert {len(tag) for tag in found["tags"]} == {128}
    assert found["customProperties"] == {"k" * 128: "v" * 1_000}


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"a-b": 1}, "customProperties.a-b"),
        ({"": 1}, "customProperties."),
        ({"k" * 129: 1}, "customProperties." + "k" * 50),
        ({"ä": 1}, "customProperties.\\xe4"),
        ({"a": {"b": 1}}, "customProperties.a"),
        ({"a": [1]}, "customProperties.a"),
        ({"a": Decimal("Infinity")}, "customProperties.a"),
        ({"a": 10**40}, "customProperties.a"),
        ([1], "customProperties"),
        ("words", "customProperties"),
    ],
    ids=str,
)
def test_a_custom_propertys_key_or_value_that_cannot_be_one_is_refused_by_name(properties, field):
    with pytest.raises(PayloadRejected) as rejected:
        details({"customProperties": properties})
    assert rejected.value.field == field


def test_no_odd_detail_holds_an_opt_out_up():
    body = mapped(
        CUSTOMER | {"customProperties": {"a-b": 1}, "firstName": "Thandi"},
        states(email=WITHDRAWN),
        name=ContactRow.CONSENT_WITHDRAWN,
    )
    assert list(body) == ["identifiers"]
    assert body["identifiers"][0]["channels"]["email"]["status"] == "unsubscribed"


def test_what_is_too_large_to_send_is_rejected():
    with pytest.raises(PayloadRejected, match="at most 1,000,000"):
        details({"customProperties": {f"k{n}": "v" * 1_000 for n in range(1_000)}})


# The rest ------------------------------------------------------------------------------------------------------------------


@DIALECTS
@ROWS
def test_the_same_row_and_consents_give_the_same_bytes(dialect, name):
    stored = contact_row(name, parse(ORDER) | {"tags": ["b", "a"], "customProperties": {"z": 1, "a": 2}})
    requests = [map_contact(stored, MERCHANT, states(GIVEN, WITHDRAWN), dialect) for _ in range(2)]
    assert requests[0] == requests[1]


def test_an_orders_event_carries_no_consent():
    from soldt_outbox.omnisend.mapping import map_event

    for name, payload in (("order_placed", parse(ORDER)), ("checkout_started", parse(CART))):
        payload |= {
            "optIns": [{"channel": "email"}],
            "consents": [{"channel": "email"}],
            "acceptsMarketing": True,
        }
        payload.setdefault("contact", {}).update(optIns=[{"channel": "email"}], email=EMAIL)
        request = map_event(row(name, payload), MERCHANT, {})
        assert isinstance(request, OmnisendRequest)
        assert not {"optIns", "optOuts", "consents"} & set(parse(request.body)["contact"])
        assert b"ptIns" not in request.body


def test_looked_up_rows_are_read_by_merchant_channel_and_address():
    looked_up = {
        "merchant_id": MERCHANT_ID,
        "channel": "email",
        "identifier": EMAIL,
        "status": "subscribed",
        "since": SAID,
        "source": "checkout",
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "origin": "shop",
        "recent": True,
        "consent_id": 7,
    }
    assert read_consents([looked_up]) == {MERCHANT_ID: {("email", EMAIL): GIVEN}}
