"""The API is Supabase's where it matters: the real PostgREST and the real supabase-py under row level security."""

from __future__ import annotations

import time

import httpx
import pytest
from postgrest.exceptions import APIError

from sandbox.postgrest import SupabaseApi
from sandbox.shops import KAROO, PROTEA
from sandbox.tokens import mint_token
from sandbox.world import Database
from tests.support.api import SupabaseClients

ORDER = {
    "merchant_id": str(PROTEA.merchant_id),
    "customer_email": "Nomsa@Example.com",
    "customer_name": "Nomsa Dlamini",
    "shipping_address": {"city": "Kaapstad"},
    "items": [{"product_id": 102, "title": "Enamel mug", "quantity": 1, "price": 149.5}],
    "total": 149.5,
}


@pytest.mark.both_majors
@pytest.mark.both_regimes
def test_a_visitor_orders_and_only_the_admins_read_it(supabase_client: SupabaseClients) -> None:
    supabase_client().table("orders").insert(ORDER, returning="minimal").execute()

    assert _emails(supabase_client, PROTEA.owner_id) == ["nomsa@example.com"]
    assert _emails(supabase_client, PROTEA.member_ids[0]) == ["nomsa@example.com"]
    assert _emails(supabase_client, KAROO.owner_id) == []
    server = supabase_client(secret=True).table("orders").select("customer_email").execute()
    assert len(server.data) == 1


def test_an_admin_marks_an_order_paid(supabase_client: SupabaseClients) -> None:
    supabase_client().table("orders").insert(ORDER, returning="minimal").execute()
    admin = supabase_client(PROTEA.owner_id)
    changed = admin.table("orders").update({"payment_status": "paid"}).eq("total", 149.5).execute()
    assert [row["payment_status"] for row in changed.data] == ["paid"]
    other = supabase_client(KAROO.owner_id)
    assert other.table("orders").update({"status": "cancelled"}).eq("total", 149.5).execute().data == []


def test_a_refused_order_says_why(supabase_client: SupabaseClients) -> None:
    with pytest.raises(APIError, match="orders_total_check") as refused:
        supabase_client().table("orders").insert({**ORDER, "total": -1}, returning="minimal").execute()
    assert refused.value.code == "23514"


def test_a_new_function_can_be_called_at_once(database: Database, supabase_client: SupabaseClients) -> None:
    with database.connect() as conn:
        conn.execute("create function public.answer() returns int language sql as 'select 42'")
    caller = supabase_client(secret=True)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert caller.rpc("answer", {}).execute().data == 42
        except APIError as error:
            assert error.code == "PGRST202"  # noqa: PT017 - not yet reloaded
        else:
            return
    pytest.fail("PostgREST did not reload its schema")


def test_an_unknown_key_opens_nothing(postgrest: SupabaseApi) -> None:
    answer = httpx.get(f"{postgrest.url}/rest/v1/products", headers={"apikey": "sb_secret_other"})
    assert answer.status_code == 401


def test_an_expired_user_is_refused(postgrest: SupabaseApi) -> None:
    stale = mint_token(PROTEA.owner_id, lifetime=-60)
    answer = httpx.get(
        f"{postgrest.url}/rest/v1/orders",
        headers={"apikey": postgrest.publishable_key, "Authorization": f"Bearer {stale}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


def _emails(clients: SupabaseClients, user: object) -> list[str]:
    rows = clients(user).table("orders").select("customer_email").execute()  # type: ignore[arg-type]
    return [row["customer_email"] for row in rows.data]
