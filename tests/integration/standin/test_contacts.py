"""Contacts: upserted, changed, read and listed, and what Omnisend ignores without a word."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.omnisend import AsyncStandInControl, StandInError

EARLIER = "2025-01-01T10:00:00Z"
LATER = "2025-06-01T10:00:00Z"
ANN = "ann@example.com"


def email(status="subscribed", at=EARLIER, address=ANN, welcome=False, **more):
    """An identifier of version 2026-03-15."""
    channel = {"status": status} | ({} if at is None else {"statusChangedAt": at})
    asked = {} if welcome is None else {"sendWelcomeMessage": welcome}
    return {"type": "email", "id": address, "channels": {"email": channel}, **asked, **more}


def phone(number="+27821234567", status="nonSubscribed", at=EARLIER):
    channel = {"status": status, "statusChangedAt": at}
    return {"type": "phone", "id": number, "sendWelcomeMessage": False, "channels": {"sms": channel}}


def body(*identifiers, **more):
    return {"identifiers": list(identifiers), **more}


def codes(omnisend):
    return [finding.code for received in omnisend.received() for finding in received.findings]


@pytest.fixture
def add(shop):
    async def post(*identifiers, **more):
        return await shop.new("POST", "/contacts", body(*identifiers, **more))

    return post


async def test_a_contact_is_created_once_and_then_changed(omnisend, shop, add):
    first = await add(
        email(), phone(), firstName="Ann", tags=["source: soldt"], customProperties={"locale": "af"}
    )
    again = await add(email(), lastName="Lee", tags=["vip"])
    assert (first.status, again.status) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    read = (await shop.new("GET", f"/contacts/{first.json()['id']}")).json()
    assert read == again.json()
    assert {name: read[name] for name in ("firstName", "lastName", "email", "phone", "status", "tags")} == {
        "firstName": "Ann",
        "lastName": "Lee",
        "email": ANN,
        "phone": ["+27821234567"],
        "status": "subscribed",
        "tags": ["source: soldt", "vip"],
    }
    assert read["customProperties"] == {"locale": "af"}
    assert read["identifiers"][0]["channels"]["email"] == {
        "status": "subscribed",
        "statusChangedAt": "2025-01-01T10:00:00.000000Z",
    }
    assert codes(omnisend) == []


async def test_version_5_says_the_same_in_its_own_names(omnisend, shop):
    identifier = {
        "type": "email",
        "id": ANN,
        "channels": {"email": {"status": "subscribed", "statusDate": EARLIER}},
    }
    answer = await shop.old("POST", "/contacts", {"identifiers": [identifier], "sendWelcomeEmail": False})
    assert answer.status == 201
    read = (await shop.old("GET", f"/contacts/{answer.json()['contactID']}")).json()
    assert read["identifiers"][0]["channels"]["email"]["statusDate"].startswith("2025-01-01T10:00:00")
    assert "id" not in read
    assert codes(omnisend) == []


async def test_the_other_versions_names_have_no_effect_and_are_found(omnisend, shop):
    old = {"type": "email", "id": ANN, "channels": {"email": {"status": "subscribed", "statusDate": EARLIER}}}
    await shop.new("POST", "/contacts", {"identifiers": [old], "sendWelcomeEmail": False})
    await shop.old("POST", "/contacts", body(email(welcome=None)) | {"sendWelcomeEmail": False})
    paths = [[(one.code, one.path) for one in received.findings] for received in omnisend.received()]
    channel = "identifiers[0].channels.email"
    assert paths[0] == [
        ("contact_unknown", "sendWelcomeEmail"),
        ("welcome_not_explicit", "identifiers[0].sendWelcomeMessage"),
        ("contact_unknown", f"{channel}.statusDate"),
        ("status_date_missing", f"{channel}.statusChangedAt"),
    ]
    assert ("contact_unknown", f"{channel}.statusChangedAt") in paths[1]


async def test_an_older_status_is_ignored_and_recorded(omnisend, add):
    await add(email("unsubscribed", at=LATER))
    answer = await add(email("subscribed", at=EARLIER))
    assert answer.json()["status"] == "unsubscribed"
    assert omnisend.contacts().ignored_statuses == 1
    assert codes(omnisend) == ["status_older"]
    assert (await add(email("subscribed", at=LATER))).json()["status"] == "subscribed"


@pytest.mark.parametrize(("welcome", "welcomed"), [(True, 1), (False, 0), (None, 1)])
async def test_who_becomes_subscribed_is_welcomed_unless_the_request_says_no(
    omnisend, add, welcome, welcomed
):
    await add(email("nonSubscribed", welcome=welcome))
    assert omnisend.contacts().welcome_messages == []
    await add(email("subscribed", at=LATER, welcome=welcome))
    await add(email("subscribed", at=LATER, welcome=welcome))
    sent = omnisend.contacts().welcome_messages
    assert [(one.channel, one.identifier) for one in sent] == [("email", ANN)] * welcomed
    assert codes(omnisend) == (["welcome_not_explicit"] * 3 if welcome is None else [])


@pytest.mark.parametrize(("field", "welcomed"), [({"sendWelcomeEmail": True}, 1), ({}, 0)])
async def test_version_5_welcomes_nobody_unless_asked(omnisend, shop, field, welcomed):
    identifier = {
        "type": "email",
        "id": ANN,
        "channels": {"email": {"status": "subscribed", "statusDate": EARLIER}},
    }
    await shop.old("POST", "/contacts", {"identifiers": [identifier], **field})
    assert len(omnisend.contacts().welcome_messages) == welcomed
    assert codes(omnisend) == ([] if field else ["welcome_not_explicit"])


async def test_an_identifier_of_another_contact_is_ignored(omnisend, shop, add):
    await add(email(), phone())
    answer = await add(email(address="bob@example.com"), phone())
    assert (answer.status, answer.json()["phone"]) == (201, [])
    assert codes(omnisend) == ["identifier_taken"]
    assert omnisend.contacts().ignored_identifiers == 1
    assert (await add(phone())).json()["email"] == ANN


async def test_another_case_is_another_contact_and_found(omnisend, add):
    answers = [await add(email()), await add(email(address="Ann@example.com"))]
    assert [one.status for one in answers] == [201, 201]
    assert len(omnisend.contacts().contacts) == 2
    assert codes(omnisend) == ["email_not_normalised"]


async def test_a_patch_changes_what_it_names(shop, add):
    created = (await add(email(), firstName="Ann", lastName="Lee")).json()
    answer = await shop.new("PATCH", f"/contacts/{created['id']}", {"firstName": "Anna"})
    assert (answer.status, answer.json()["firstName"], answer.json()["lastName"]) == (200, "Anna", "Lee")
    answer = await shop.new("PATCH", f"/contacts?email={ANN}", {"city": "Paarl"})
    assert (answer.status, answer.json()["city"]) == (200, "Paarl")


async def test_a_patch_of_nobody_is_404_and_one_with_anothers_identifier_409(shop, add):
    created = (await add(email())).json()
    await add(email(address="bob@example.com"), phone())
    assert (await shop.new("PATCH", "/contacts/000000000000000000000000", {"city": "Paarl"})).status == 404
    assert (await shop.new("PATCH", "/contacts?email=eve@example.com", {"city": "Paarl"})).status == 404
    for path in (f"/contacts/{created['id']}", f"/contacts?email={ANN}"):
        assert (await shop.new("PATCH", path, body(phone()))).status == 409
    assert (await shop.new("PATCH", "/contacts", {"city": "Paarl"})).status == 400
    assert (await shop.new("GET", "/contacts/000000000000000000000000")).status == 404


async def test_a_plus_sign_that_is_not_encoded_is_a_space(omnisend, shop, add):
    await add(email(address="ann+shop@example.com"))
    assert (await shop.new("PATCH", "/contacts?email=ann+shop@example.com", {"city": "Paarl"})).status == 404
    assert (
        await shop.new("PATCH", "/contacts?email=ann%2Bshop@example.com", {"city": "Paarl"})
    ).status == 200
    assert codes(omnisend) == ["query_plus_unencoded"]


WRONG = [
    ({}, "identifiers"),
    (body(), "identifiers"),
    (body({"type": "email"}), "identifiers[0].id"),
    (body({"type": "fax", "id": "1"}), "identifiers[0].type"),
    (body(email(address="ann")), "identifiers[0].id"),
    (body(email("Subscribed")), "identifiers[0].channels.email.status"),
    (body(email(at="yesterday")), "identifiers[0].channels.email.statusChangedAt"),
    (body(email() | {"channels": {"sms": {"status": "subscribed"}}}), "identifiers[0].channels.sms"),
    (body(email(welcome="yes")), "identifiers[0].sendWelcomeMessage"),
    (body(email(consent={"source": "x" * 101})), "identifiers[0].consent.source"),
    (body(email(consent={"ip": ""})), "identifiers[0].consent.ip"),
    (body(email(consent={"createdAt": "now"})), "identifiers[0].consent.createdAt"),
    (body(email(), firstName="x" * 51), "firstName"),
    (body(email(), gender="x"), "gender"),
    (body(email(), tags=["x"] * 101), "tags"),
    (body(email(), customProperties={"a b": 1}), "customProperties.a b"),
    (body(email(), createdAt="2025"), "createdAt"),
]


@pytest.mark.parametrize(("content", "path"), WRONG)
async def test_what_the_documentation_does_not_allow_is_400_and_changes_nothing(
    omnisend, shop, content, path
):
    answer = await shop.new("POST", "/contacts", content)
    assert answer.status == 400
    assert path in [one["field"] for one in answer.json()["errors"]]
    assert omnisend.contacts().contacts == []


SILENT = [
    (body(email(consent={})), "consent_empty"),
    (body(email(at=None)), "status_date_missing"),
    (body(email(at="2999-01-01T00:00:00Z")), "status_date_in_future"),
    (body(phone(number="0821234567")), "phone_not_e164"),
    (body(email(), tags=[]), "tags_empty"),
    (body(email(), lastName=None), "null"),
    (body(email(), name="Ann Lee"), "contact_unknown"),
]


@pytest.mark.parametrize(("content", "code"), SILENT)
async def test_what_omnisend_takes_without_a_word_is_found(omnisend, shop, content, code):
    assert (await shop.new("POST", "/contacts", content)).status == 201
    assert codes(omnisend) == [code]


async def test_an_empty_consent_is_consent_given_now(omnisend, add):
    before = datetime.now(UTC)
    await add(email(consent={}))
    (consent,) = omnisend.contacts().contacts[0].consents
    assert consent.created_at >= before
    assert consent.channel == "email"


async def test_an_event_makes_a_contact_known_and_changes_no_status(omnisend, shop, add, new_event):
    await shop.post(new_event(contact={"email": ANN, "firstName": "Ann", "phone": "+27821234567"}))
    (contact,) = omnisend.contacts(shop.brand.brand_id).contacts
    assert [(one.channel, one.status, one.changed_at) for one in contact.channels] == [
        ("email", "nonSubscribed", None),
        ("sms", "nonSubscribed", None),
    ]
    await add(email("unsubscribed"))
    await shop.post(new_event(contact={"email": ANN, "firstName": "Anna", "city": "Paarl"}))
    (contact,) = omnisend.contacts().contacts
    assert contact.status("email") == "unsubscribed"
    assert contact.fields == {"firstName": "Anna", "city": "Paarl"}
    assert codes(omnisend) == []


async def test_consent_with_an_event_is_found_and_has_its_effect(omnisend, shop, new_event):
    opted = {"channel": "email", "createdAt": EARLIER}
    await shop.post(new_event(contact={"email": ANN, "optIns": [opted], "consents": [opted]}))
    (contact,) = omnisend.contacts().contacts
    assert (contact.status("email"), len(contact.consents)) == ("subscribed", 1)
    assert codes(omnisend) == ["consent_with_event"] * 2


async def test_an_event_may_name_a_contact_by_id(omnisend, shop, add, new_event):
    created = (await add(email())).json()
    await shop.post(new_event(contact={"id": created["id"], "city": "Paarl"}))
    await shop.post(new_event(contact={"id": "000000000000000000000000"}))
    assert [one.fields for one in omnisend.contacts().contacts] == [{"city": "Paarl"}]
    assert codes(omnisend) == ["contact_id_unknown"]


async def test_who_unsubscribes_is_found_by_polling(omnisend, shop, add):
    await add(email())
    await add(email(address="bob@example.com"))
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    omnisend.unsubscribe(shop.brand.brand_id, email=ANN)
    answer = (await shop.new("GET", f"/contacts?updatedAtFrom={since}&sort=updatedAt&direction=asc")).json()
    assert [(one["email"], one["status"]) for one in answer["contacts"]] == [(ANN, "unsubscribed")]
    assert answer["paging"] == {"limit": 100, "hasMore": False, "cursors": {"after": None, "before": None}}
    late = await add(email("subscribed", at=EARLIER))
    assert late.json()["status"] == "unsubscribed"


@pytest.mark.parametrize("name", ["email", "phone", "status", "tag", "segmentID"])
async def test_a_list_can_be_narrowed(shop, add, name):
    await add(email(), phone(status="subscribed"), tags=["vip"])
    await add(email("nonSubscribed", address="bob@example.com"), phone(number="+27820000000"))
    value = {"email": ANN, "phone": "%2B27821234567", "status": "subscribed", "tag": "vip", "segmentID": "1"}[
        name
    ]
    found = (await shop.new("GET", f"/contacts?{name}={value}")).json()["contacts"]
    assert [one["email"] for one in found] == ([] if name == "segmentID" else [ANN])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=251",
        "limit=many",
        "sort=name",
        "direction=up",
        "status=gone",
        "after=rubbish",
        "tag=vip&status=subscribed",
        f"updatedAtFrom={EARLIER}&email={ANN}",
        "updatedAtFrom=yesterday",
        "colour=red",
    ],
)
async def test_a_list_that_cannot_be_is_400(shop, query):
    assert (await shop.new("GET", f"/contacts?{query}")).status == 400


async def test_pages_go_forth_and_back_and_hold_each_contact_once(shop, add):
    for number in range(5):
        await add(email(address=f"{number}@example.com"))
    pages, query = [], "limit=2&direction=asc"
    while True:
        answer = (await shop.new("GET", f"/contacts?{query}")).json()
        pages.append([one["email"][0] for one in answer["contacts"]])
        if not answer["paging"]["hasMore"]:
            break
        query = f"limit=2&direction=asc&after={answer['paging']['cursors']['after']}"
    assert pages == [["0", "1"], ["2", "3"], ["4"]]
    back = await shop.new(
        "GET", f"/contacts?limit=2&direction=asc&before={answer['paging']['cursors']['before']}"
    )
    assert [one["email"][0] for one in back.json()["contacts"]] == ["2", "3"]
    newest = (await shop.new("GET", "/contacts?limit=1")).json()
    assert newest["contacts"][0]["email"] == "4@example.com"


async def test_version_5_names_the_next_page_by_its_url(omnisend, shop, add):
    for number in range(3):
        await add(email(address=f"{number}@example.com"))
    paging = (await shop.old("GET", "/contacts?limit=2&status=subscribed")).json()["paging"]
    assert paging["previous"] is None
    answer = await shop.call("GET", paging["next"].partition("http://omnisend")[2])
    assert [one["email"] for one in answer.json()["contacts"]] == ["0@example.com"]
    assert answer.json()["paging"]["next"] is None


async def test_contacts_are_a_brands_own(omnisend, shop, add):
    await add(email())
    other = omnisend.add_brand()
    answer = await shop.old("GET", "/contacts", X_API_KEY=other.key)
    assert answer.json()["contacts"] == []
    assert omnisend.contacts(other.brand_id).contacts == []


async def test_contacts_are_seen_and_unsubscribed_over_http(omnisend, shop, add):
    await add(email(welcome=True, consent={"source": "checkout", "createdAt": EARLIER}))
    async with AsyncStandInControl(omnisend.url) as control:
        assert await control.contacts(shop.brand.brand_id) == omnisend.contacts()
        view = await control.unsubscribe(shop.brand.brand_id, email=ANN)
        assert view.status("email") == "unsubscribed"
        with pytest.raises(StandInError, match="no contact"):
            await control.unsubscribe(shop.brand.brand_id, phone="+27820000000")
        await control.reset()
        assert (await control.contacts()).contacts == []


async def test_upserts_at_once_make_one_contact(omnisend, add):
    answers = await asyncio.gather(*(add(email(), firstName=str(number)) for number in range(10)))
    assert sorted(one.status for one in answers) == [200] * 9 + [201]
    assert len(omnisend.contacts().contacts) == 1


async def test_a_repeated_event_of_long_ago_changes_no_contact(omnisend, shop, new_event):
    long_ago = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    event = new_event(eventTime=long_ago, contact={"email": ANN, "firstName": "Ann"})
    await shop.post(event)
    await shop.post(event | {"contact": {"email": ANN, "firstName": "Eve"}})
    assert omnisend.contacts().contacts[0].fields == {"firstName": "Ann"}
