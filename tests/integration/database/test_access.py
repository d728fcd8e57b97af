"""Who can read and write what: through the real PostgREST with the real supabase-py, as SOLDT's people reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from tests.support.shop import ORDER, connect_shop, names, outbox

pytestmark = pytest.mark.both_regimes

PEOPLE = ("visitor", "owner", "member", "another shop's owner", "stranger", "server")
READERS = {
    "owner": {PROTEA.merchant_id},
    "member": {PROTEA.merchant_id},
    "another shop's owner": {KAROO.merchant_id},
    "stranger": set[UUID](),
    "server": {PROTEA.merchant_id, KAROO.merchant_id},
}
"""Whose rows each of them sees; a visitor may not even ask."""

CREDENTIALS = ("api_key_enc", "access_token_enc", "refresh_token_enc")
HIDDEN = {
    "integrations_omnisend": CREDENTIALS,
    "integrations_omnisend_outbox": (
        "payload",
        "dedup_key",
        "ordering_key",
        "lease_token",
        "lease_until",
        "leased_by",
    ),
}
SHOWN = {
    "integrations_omnisend": "merchant_id,status,auth_type,token_expires_at,scopes,created_at,updated_at,last_event_at,"
    "last_error,last_error_at,last_error_detail,brand_id,currency,country_code",
    "integrations_omnisend_status": "*",
    "integrations_omnisend_logs": "*",
    "integrations_omnisend_outbox": "id,merchant_id,kind,name,occurred_at,expires_at,state,attempts,rescues,"
    "available_at,last_error,last_status_code,created_at,settled_at",
    "integrations_omnisend_lanes": "*",
}
WRITABLE_BY_NOBODY = {
    "integrations_omnisend": {"status": "disabled", "api_key_enc": "v1:mine:AAAA"},
    "integrations_omnisend_logs": {"name": "forged"},
    "integrations_omnisend_outbox": {"name": "order_placed", "dedup_key": "1", "payload": {}},
    "integrations_omnisend_lanes": {"paused_until": None},
    "integrations_omnisend_status": {"status": "disabled"},
}


@dataclass(frozen=True)
class People:
    """A client for each of `PEOPLE`."""

    clients: SupabaseClients

    def __getitem__(self, person: str) -> Client:
        makers: dict[str, Callable[[], Client]] = {
            "visitor": self.clients,
            "owner": lambda: self.clients(PROTEA.owner_id),
            "member": lambda: self.clients(PROTEA.member_ids[0]),
            "another shop's owner": lambda: self.clients(KAROO.owner_id),
            "stranger": lambda: self.clients(STRANGER_ID),
            "server": lambda: self.clients(secret=True),
        }
        return makers[person]()


@pytest.fixture
def people(database: Database, supabase_client: SupabaseClients) -> Iterator[People]:
    """Two connected shops, each with a row in every table."""
    for shop in (PROTEA, KAROO):
        connect_shop(database, shop, api_key_enc="v1:k1:AAAA")
    with database.connect() as conn:
        for shop in (PROTEA, KAROO):
            conn.execute(
                'select public.omnisend_enqueue(%s, \'order_placed\', \'{"id": 1, "customer_email": "nomsa@example.com"}\')',
                [shop.merchant_id],
            )
        conn.execute(
            "insert into public.integrations_omnisend_logs (merchant_id) select merchant_id from public.integrations_omnisend"
        )
        conn.execute(
            "insert into public.integrations_omnisend_lanes (merchant_id) select merchant_id from public.integrations_omnisend"
        )
        conn.execute(
            "insert into public.integrations_omnisend_workers (worker_id, version) values ('w', '1')"
        )
    return People(supabase_client)


def denied(request: Any) -> str:
    """The SQLSTATE with which PostgREST refuses ``request``."""
    with pytest.raises(APIError) as refused:
        request.execute()
    return str(refused.value.code)


@pytest.mark.both_majors
@pytest.mark.parametrize("person", PEOPLE)
def test_each_sees_the_rows_and_columns_that_are_theirs(people: People, person: str) -> None:
    client = people[person]
    for table, columns in SHOWN.items():
        request = client.table(table).select(columns)
        if person == "visitor":
            assert denied(request) == "42501", table
        else:
            found = {UUID(row["merchant_id"]) for row in request.execute().data}
            assert found == READERS[person], table
    workers = client.table("integrations_omnisend_workers").select("*")
    if person == "server":
        assert len(workers.execute().data) == 1
    else:
        assert denied(workers) == "42501"


@pytest.mark.parametrize("person", PEOPLE)
def test_nobody_reads_or_probes_a_hidden_column(people: People, person: str, auto_expose: bool) -> None:
    """Not by name, by ``*``, in a filter, as an order, or through another table that leads there."""
    client = people[person]
    for table, columns in HIDDEN.items():
        assert denied(client.table(table).select("*")) == "42501"
        for column in columns:
            for request in (
                client.table(table).select(column),
                client.table(table).select("merchant_id").not_.is_(column, "null"),
                client.table(table).select("merchant_id").order(column),
            ):
                assert denied(request) == "42501", (table, column)
    for column in CREDENTIALS:
        assert denied(client.table("integrations_omnisend_status").select(column)) in ("42703", "42501")
        through_merchants = client.table("merchants").select(f"id,integrations_omnisend({column})")
        if (
            person == "visitor" and auto_expose
        ):  # sees no merchant, so PostgreSQL does not come to the other table
            assert through_merchants.execute().data == []
        else:
            assert denied(through_merchants) == "42501"


@pytest.mark.parametrize("person", PEOPLE)
def test_nobody_writes_a_table(database: Database, people: People, person: str) -> None:
    before = outbox(database, None)
    for table, values in WRITABLE_BY_NOBODY.items():
        rows = people[person].table(table)
        new = {"merchant_id": str(PROTEA.merchant_id), **values}
        for request in (
            rows.insert(new, returning="minimal"),  # type: ignore[arg-type]
            rows.upsert(new, returning="minimal"),  # type: ignore[arg-type]
            rows.update(values, returning="minimal").eq("merchant_id", str(PROTEA.merchant_id)),  # type: ignore[arg-type]
            rows.delete(returning="minimal").eq("merchant_id", str(PROTEA.merchant_id)),  # type: ignore[arg-type]
        ):
            assert denied(request) == "42501", table
    assert outbox(database, None) == before


@pytest.mark.both_majors
@pytest.mark.parametrize("person", PEOPLE)
def test_only_the_server_enqueues(database: Database, people: People, person: str) -> None:
    event = {
        "p_merchant_id": str(PROTEA.merchant_id),
        "p_name": "added_to_cart",
        "p_payload": {
            "contact": {"email": "nomsa@example.com"},
            "properties": {"cartID": "cart:sess_1", "lineItems": [{"productID": 102, "quantity": 1}]},
        },
    }
    if person != "server":
        assert denied(people[person].rpc("omnisend_enqueue", event)) == "42501"
        assert len(names(database)) == 1
        return
    written = [people[person].rpc("omnisend_enqueue", event).execute().data for _ in range(3)]
    assert isinstance(written[0], int)
    assert written[1:] == [None, None]
    row = outbox(database)[-1]
    assert (row.id, row.name, row.dedup_key) == (written[0], "product_added_to_cart", "cart_sess_1:102:1")


@pytest.mark.parametrize("person", PEOPLE)
def test_an_admin_puts_dead_rows_of_their_own_shop_back(
    database: Database, people: People, person: str
) -> None:
    with database.connect("omnisend_worker") as worker:
        worker.execute(
            "update public.integrations_omnisend_outbox "
            "set state = 'dead', available_at = 'infinity', settled_at = now(), attempts = 9"
        )
    ids = [row.id for row in outbox(database, None)]
    call = people[person].rpc("omnisend_retry", {"p_outbox_ids": ids})
    if person in ("visitor", "server"):
        assert denied(call) == "42501"
        revived = set()
    else:
        assert call.execute().data == len(READERS[person])
        revived = READERS[person]
    assert {row.merchant_id for row in outbox(database, None) if row.state == "pending"} == revived


def test_the_private_schema_is_not_there_for_the_api(people: People, postgrest: SupabaseApi) -> None:
    for function in ("enqueue", "retry", "administered_merchants", "merchant_profiles", "ordering_key"):
        assert denied(people["server"].rpc(function, {})) == "PGRST202"
    answer = httpx.post(
        f"{postgrest.url}/rest/v1/rpc/administered_merchants",
        headers={"apikey": postgrest.secret_key, "Content-Profile": "omnisend_private"},
        json={},
    )
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST106")


# An order through the browser's door -----------------------------------------------------------------------------------


@pytest.mark.both_majors
def test_an_order_placed_in_the_browser_writes_one_row_and_a_refused_one_none(
    database: Database, supabase_client: SupabaseClients
) -> None:
    connect_shop(database)
    orders = supabase_client().table("orders")
    order = ORDER | {"merchant_id": str(PROTEA.merchant_id)}
    for bad in ({"total": -1}, {"customer_email": "no address"}, {"customer_name": None}):
        with pytest.raises(APIError):
            orders.insert(order | bad, returning="minimal").execute()  # type: ignore[arg-type]
    with pytest.raises(APIError):  # one bad order in a list refuses the list
        orders.insert([order, order | {"total": -1}], returning="minimal").execute()  # type: ignore[arg-type]
    assert names(database, None) == []

    orders.insert(order, returning="minimal").execute()  # type: ignore[arg-type]
    (row,) = outbox(database, None)
    assert (row.name, row.payload["customer_email"], row.payload["items"]) == (
        "order_placed",
        "nomsa@example.com",
        ORDER["items"],
    )

    admin = supabase_client(PROTEA.owner_id).table("orders")
    admin.update({"status": "shipped", "tracking_number": "TRK-1"}).eq("id", row.payload["id"]).execute()
    supabase_client(KAROO.owner_id).table("orders").update({"status": "cancelled"}).eq(
        "id", row.payload["id"]
    ).execute()
    assert names(database, None) == ["order_placed", "order_fulfilled"]
