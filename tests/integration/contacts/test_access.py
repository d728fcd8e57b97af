"""Who may say what of a consent: through the real PostgREST with the real supabase-py, as a storefront calls it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from postgrest.exceptions import APIError
from supabase import Client

from sandbox.postgrest import SupabaseApi
from sandbox.shops import KAROO, PROTEA, STRANGER_ID
from sandbox.world import Database
from tests.support.api import SupabaseClients
from tests.support.consents import NOMSA, PHONE, consents, record, state, synchronise
from tests.support.shop import outbox

pytestmark = pytest.mark.both_regimes

PEOPLE = ("visitor", "owner", "member", "another shop's owner", "stranger", "server")
ADMINS = ("owner", "member")
CONSENT = {"p_merchant_id": str(PROTEA.merchant_id), "p_channel": "email", "p_identifier": NOMSA}


@pytest.fixture
def shop(database: Database) -> Database:
    synchronise(database)
    return database


@pytest.fixture
def people(shop: Database, supabase_client: SupabaseClients) -> Callable[[str], Client]:
    """A client for each of `PEOPLE`."""
    users: dict[str, UUID] = {
        "owner": PROTEA.owner_id,
        "member": PROTEA.member_ids[0],
        "another shop's owner": KAROO.owner_id,
        "stranger": STRANGER_ID,
    }

    def client(person: str) -> Client:
        return supabase_client(users.get(person), secret=person == "server")

    return client


def refusal(request: Any) -> tuple[str, str]:
    """The SQLSTATE and the sentence with which PostgREST refuses ``request``."""
    with pytest.raises(APIError) as refused:
        request.execute()
    return str(refused.value.code), str(refused.value.message)


@pytest.mark.both_majors
@pytest.mark.parametrize("person", PEOPLE)
def test_anybody_gives_consent_once(shop: Database, people: Callable[[str], Client], person: str) -> None:
    client = people(person)
    ids = {client.rpc("omnisend_record_consent", CONSENT).execute().data for _ in range(2)}
    (consent,) = consents(shop)
    assert ids == {consent["id"]}
    assert (consent["given"], consent["source"], consent["origin"]) == (True, "checkout", "shop")
    assert [row.name for row in outbox(shop)] == ["consent_given"]


@pytest.mark.parametrize("person", PEOPLE)
def test_admins_and_the_server_withdraw_and_nobody_else(
    shop: Database, people: Callable[[str], Client], person: str
) -> None:
    withdrawal = people(person).rpc("omnisend_record_consent", CONSENT | {"p_given": False})
    if person in (*ADMINS, "server"):
        assert isinstance(withdrawal.execute().data, int)
        found = state(shop)
        assert found is not None
        assert found.status == "unsubscribed"
    else:
        assert refusal(withdrawal) == (
            "42501",
            "Only an admin of the merchant or the server records that a consent was withdrawn",
        )
        assert consents(shop) == outbox(shop) == []


@pytest.mark.parametrize("person", ["visitor", "stranger", "owner"])
def test_a_browser_says_neither_when_nor_from_where_nor_for_whom_it_speaks(
    shop: Database, postgrest: SupabaseApi, person: str
) -> None:
    """Instant, address, user agent and origin are what the request shows, whatever its arguments say."""
    users = {"stranger": STRANGER_ID, "owner": PROTEA.owner_id}
    bearer = postgrest.user_token(users[person]) if person in users else postgrest.publishable_key
    answer = httpx.post(
        f"{postgrest.url}/rest/v1/rpc/omnisend_record_consent",
        headers={
            "apikey": postgrest.publishable_key,
            "Authorization": f"Bearer {bearer}",
            "X-Forwarded-For": "203.0.113.7, 10.0.0.1",
            "User-Agent": "Mozilla/5.0 (a browser)",
        },
        json=CONSENT
        | {
            "p_occurred_at": "2020-01-01T00:00:00Z",
            "p_ip": "198.51.100.1",
            "p_user_agent": "forged",
            "p_origin": "import",
        },
    )
    assert answer.status_code == 200, answer.text
    (consent,) = consents(shop)
    assert consent["occurred_at"] == consent["created_at"]
    assert (str(consent["ip"]), consent["user_agent"], consent["origin"]) == (
        "203.0.113.7",
        "Mozilla/5.0 (a browser)",
        "shop",
    )


@pytest.mark.parametrize(
    "forwarded", ["unknown", "", "203.0.113.7:4711", "'; drop table x; --", "10.0.0.0/8"]
)
def test_an_address_that_is_none_stops_no_checkout(
    shop: Database, postgrest: SupabaseApi, forwarded: str
) -> None:
    answer = httpx.post(
        f"{postgrest.url}/rest/v1/rpc/omnisend_record_consent",
        headers={
            "apikey": postgrest.publishable_key,
            "X-Forwarded-For": forwarded,
            "User-Agent": "x" * 5_000,
        },
        json=CONSENT,
    )
    assert answer.status_code == 200, answer.text
    (consent,) = consents(shop)
    assert (consent["ip"], consent["user_agent"]) == (None, "x" * 200)


def test_the_server_says_when_and_from_where(shop: Database, people: Callable[[str], Client]) -> None:
    told = CONSENT | {
        "p_occurred_at": "2026-01-02T03:04:05Z",
        "p_ip": "2001:db8::1",
        "p_user_agent": "a customer's",
        "p_origin": "import",
    }
    people("server").rpc("omnisend_record_consent", told).execute()
    (consent,) = consents(shop)
    assert consent["occurred_at"].isoformat() == "2026-01-02T03:04:05+00:00"
    assert (str(consent["ip"]), consent["user_agent"], consent["origin"]) == (
        "2001:db8::1",
        "a customer's",
        "import",
    )
    assert consent["created_at"] - consent["occurred_at"] > timedelta(days=1)
    people("server").rpc("omnisend_record_consent", CONSENT | {"p_source": "till"}).execute()
    assert consents(shop)[1]["ip"] is None, "the server's own address proves nothing"


@pytest.mark.parametrize("person", ["visitor", "owner", "server"])
def test_a_browser_tells_of_a_contact_what_an_order_would_and_no_tags(
    shop: Database, people: Callable[[str], Client], person: str
) -> None:
    """Segments and automations are built on the rest: whoever knows an address could put its owner into any of them."""
    client = people(person)
    known = {"phone": PHONE, "firstName": "Nomsa", "birthdate": "1990-01-31", "countryCode": "ZA"}
    client.rpc("omnisend_record_consent", CONSENT | {"p_contact": known}).execute()
    assert outbox(shop)[0].payload == known | {"channel": "email", "email": NOMSA}
    for more in ({"tags": ["vip"]}, {"customProperties": {"discount": 100}}, {"createdAt": "2020-01-01"}):
        request = client.rpc(
            "omnisend_record_consent", CONSENT | {"p_source": next(iter(more)), "p_contact": more}
        )
        if person == "server":
            assert isinstance(request.execute().data, int)
        else:
            assert refusal(request)[0] == "22023"


@pytest.mark.parametrize("name", ["Win at https://x.example", "x.example", "Nomsa <b>", "mail me@x"])
def test_a_browsers_name_that_reads_as_a_link_welcomes_nobody_with_it(
    shop: Database, people: Callable[[str], Client], name: str
) -> None:
    for source, first_name in (("form", name), ("popup", "J.R. Nomsa-Anne O'Neil")):
        told = {"p_source": source, "p_contact": {"firstName": first_name, "lastName": name}}
        people("visitor").rpc("omnisend_record_consent", CONSENT | told).execute()
    assert [row.payload for row in outbox(shop)] == [
        {"channel": "email", "email": NOMSA},
        {"channel": "email", "email": NOMSA, "firstName": "J.R. Nomsa-Anne O'Neil"},
    ]


@pytest.mark.parametrize("person", PEOPLE)
def test_admins_read_their_own_shops_consents_and_nobody_else_any(
    shop: Database, people: Callable[[str], Client], person: str
) -> None:
    synchronise(shop, KAROO)
    with shop.connect() as conn:
        for merchant in (PROTEA, KAROO):
            record(conn, p_merchant_id=merchant.merchant_id)
    request = people(person).table("integrations_omnisend_consents").select("*")
    if person in ("visitor", "server"):
        assert refusal(request)[0] == "42501"
        return
    theirs = {"another shop's owner": {str(KAROO.merchant_id)}, "stranger": set()}
    found = {row["merchant_id"] for row in request.execute().data}
    assert found == theirs.get(person, {str(PROTEA.merchant_id)})


@pytest.mark.parametrize("person", PEOPLE)
def test_nobody_writes_the_table_itself(shop: Database, people: Callable[[str], Client], person: str) -> None:
    with shop.connect() as conn:
        record(conn)
    before = consents(shop)
    rows = people(person).table("integrations_omnisend_consents")
    new = {
        "merchant_id": str(PROTEA.merchant_id),
        "channel": "email",
        "identifier": "thandi@example.com",
        "given": True,
        "occurred_at": "2026-01-01T00:00:00Z",
        "source": "forged",
    }
    for request in (
        rows.insert(new, returning="minimal"),  # type: ignore[arg-type]
        rows.update({"given": False}, returning="minimal").eq("identifier", NOMSA),  # type: ignore[arg-type]
        rows.delete(returning="minimal").eq("identifier", NOMSA),  # type: ignore[arg-type]
    ):
        assert refusal(request)[0] == "42501"
    assert consents(shop) == before


@pytest.mark.parametrize("person", PEOPLE)
def test_only_the_server_tells_of_changed_contacts(
    shop: Database, people: Callable[[str], Client], person: str
) -> None:
    call = people(person).rpc(
        "omnisend_contact_changed",
        {"p_merchant_id": str(PROTEA.merchant_id), "p_contact": {"email": NOMSA, "city": "Paarl"}},
    )
    if person == "server":
        assert isinstance(call.execute().data, int)
    else:
        assert refusal(call)[0] == "42501"
        assert outbox(shop) == []
