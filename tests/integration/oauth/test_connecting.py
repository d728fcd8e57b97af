import asyncio
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qsl

import httpx
import pytest

from sandbox.shops import KAROO
from soldt_outbox.administration.merchants import Merchant, find_merchant
from soldt_outbox.administration.retention import prune
from soldt_outbox.administration.rotation import rotate
from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import AuthorizationRefused, ConfigurationError
from soldt_outbox.oauth.connecting import Authorization, begin_authorization, complete_authorization
from soldt_outbox.oauth.revoking import disconnect
from soldt_outbox.oauth.scopes import Scope
from soldt_outbox.settings import Settings
from soldt_outbox.sql import queries
from tests.integration.oauth.conftest import Shop
from tests.support.oauth_server import BRAND_ID, CLIENT_ID, CLIENT_SECRET
from tests.support.shop import remember

HOME = "https://soldt.example/omnisend/callback"


async def began(shop: Shop, **options) -> Authorization:
    return await begin_authorization(
        await shop.outbox(), shop.keys, shop.app, shop.merchant_id, redirect_uri=HOME, **options
    )


async def browse(authorization: Authorization) -> dict[str, str]:
    """What a browser brings back from the authorize page."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(authorization.url)
    home, _, query = answer.headers["location"].partition("?")
    assert home == HOME
    return dict(parse_qsl(query))


async def complete(shop: Shop, query: Mapping[str, str], **options):
    return await complete_authorization(
        await shop.outbox(), shop.keys, await shop.oauth(), await shop.omnisend(), query, **options
    )


def pending(shop: Shop) -> int:
    return int(shop.one("select count(*) as n from omnisend_private.oauth_authorizations")["n"])


def connections(shop: Shop) -> int:
    return int(shop.one("select count(*) as n from integrations_omnisend")["n"])


async def test_a_shop_is_connected_and_nothing_is_stored_in_the_clear(shop: Shop):
    authorization = await began(shop)
    connected = await complete(shop, await browse(authorization), currency="NAD", country_code="NA")

    assert (connected.brand_id, connected.brand_name, connected.created) == (BRAND_ID, "Protea & Co", True)
    assert connected.scopes == tuple(Scope)
    assert connected.missing_scopes == ()
    stored = shop.connection()
    assert (stored["status"], stored["auth_type"], stored["brand_id"]) == ("connected", "oauth", BRAND_ID)
    assert (stored["currency"], stored["country_code"]) == ("NAD", "NA")
    assert stored["scopes"] == list(Scope)
    assert stored["token_expires_at"] == connected.token_expires_at
    assert shop.opened("access_token_enc") in shop.server.access
    assert shop.opened("refresh_token_enc") in shop.server.refresh
    assert pending(shop) == 0


@pytest.mark.parametrize("brand", [BRAND_ID, "5f0000000000000000000def"], ids=["same brand", "another brand"])
async def test_of_another_brand_nothing_counts_as_told(shop: Shop, brand: str):
    shop.store()
    shop.one("update integrations_omnisend set brand_id = %s returning 1", [brand])
    with shop.database.connect() as conn:
        remember(conn, shop.merchant_id)
    await complete(shop, await browse(await began(shop)))
    told = shop.one(
        """select (select count(*) from omnisend_private.told_items) as items,
          (select count(*) from omnisend_private.contact_watermarks) as watermarks"""
    )
    kept = int(brand == BRAND_ID)
    assert told == {"items": kept, "watermarks": kept}
    assert (shop.connection()["brand_since"] is None) == (brand == BRAND_ID)


async def test_what_is_stored_of_an_authorization_does_not_complete_it(shop: Shop):
    authorization = await began(shop)
    row = shop.one("select * from omnisend_private.oauth_authorizations")
    query = await browse(authorization)
    await complete(shop, query)
    verifier = shop.server.forms[0]["code_verifier"]
    told = " ".join(map(str, row.values())) + row["state_hash"].hex()
    assert authorization.state not in told
    assert verifier not in told
    assert row["redirect_uri"] == HOME
    assert 890 < shop.one("select %s - now() as left", [row["expires_at"]])["left"].total_seconds() <= 900


async def test_an_authorization_is_completed_once_also_by_two_redirects_at_once(shop: Shop):
    query = await browse(await began(shop))
    ended = await asyncio.gather(*(complete(shop, query) for _ in range(8)), return_exceptions=True)
    refused = [one for one in ended if isinstance(one, AuthorizationRefused)]
    assert len(refused) == 7
    assert all("completed before" in str(one) for one in refused)
    assert len(shop.server.forms) == 1
    assert connections(shop) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"state": ""}, "names no authorization"),
        ({"state": "x" * 5_000}, "names no authorization"),
        ({"state": "n" * 43}, "never begun here"),
        ({"code": ""}, "holds no code"),
        ({"code": "x" * 5_000}, "holds no code"),
        ({"code": "code-of-another"}, "used before or has run out"),
        ({"error": "access_denied"}, "declined at Omnisend"),
        ({"error": "invalid_scope"}, "does not give this app the scopes"),
        ({"error": "server_error"}, "server_error"),
        ({"error": "<script>"}, "did not say why"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_redirect_that_connects_nobody_stores_nothing_and_says_why(shop: Shop, change, sentence):
    query = await browse(await began(shop)) | change
    with pytest.raises(AuthorizationRefused, match=sentence) as refused:
        await complete(shop, query)
    assert connections(shop) == 0
    assert not any(value in str(refused.value) for value in query.values() if len(value) > 20)
    assert "<script>" not in str(refused.value)


async def test_a_state_that_was_declined_is_used_up(shop: Shop):
    query = await browse(await began(shop))
    with pytest.raises(AuthorizationRefused, match="declined"):
        await complete(shop, query | {"error": "access_denied"})
    with pytest.raises(AuthorizationRefused, match="completed before"):
        await complete(shop, query)


async def test_after_a_quarter_of_an_hour_it_is_too_late(shop: Shop):
    query = await browse(await began(shop))
    shop.one("update omnisend_private.oauth_authorizations set expires_at = now() returning 1")
    with pytest.raises(AuthorizationRefused, match="more than 15 minutes ago"):
        await complete(shop, query)
    assert shop.server.forms == []


async def test_what_has_run_out_is_forgotten_when_the_next_one_begins(shop: Shop):
    await began(shop)
    shop.one("update omnisend_private.oauth_authorizations set expires_at = now() returning 1")
    await began(shop)
    assert pending(shop) == 1


async def test_pruning_forgets_what_has_run_out_and_nothing_else(shop: Shop):
    await began(shop)
    shop.one("update omnisend_private.oauth_authorizations set expires_at = now() returning 1")
    month = timedelta(days=30)
    await prune(await shop.outbox(), retention=month, log_retention=month)
    assert pending(shop) == 0
    await began(shop)
    await prune(await shop.outbox(), retention=month, log_retention=month)
    assert pending(shop) == 1


async def test_an_authorization_of_another_shop_is_refused_at_this_shops_door(shop: Shop):
    """Or an admin who is sent a link would give their brand to the shop of whoever made it."""
    query = await browse(await began(shop))
    with pytest.raises(AuthorizationRefused, match="for another shop"):
        await complete(shop, query, merchant_id=KAROO.merchant_id)
    assert shop.server.forms == []


@pytest.mark.parametrize(
    "tampering",
    [
        f"merchant_id = '{KAROO.merchant_id}'",
        "redirect_uri = 'https://elsewhere.example/callback'",
    ],
)
async def test_the_verifier_is_bound_to_the_shop_and_to_the_redirect(shop: Shop, tampering):
    query = await browse(await began(shop))
    shop.one(f"update omnisend_private.oauth_authorizations set {tampering} returning 1")
    with pytest.raises(AuthorizationRefused, match="OUTBOX_ENCRYPTION_KEYS changed"):
        await complete(shop, query)
    assert shop.server.forms == []


async def test_a_shop_that_was_deleted_meanwhile_is_not_connected(shop: Shop):
    query = await browse(await began(shop))
    with shop.database.connect() as conn:
        conn.execute("delete from merchants where id = %s", [shop.merchant_id])
    with pytest.raises(AuthorizationRefused, match="deleted"):
        await complete(shop, query)


async def test_a_redirect_with_a_query_is_not_begun(shop: Shop):
    with pytest.raises(ConfigurationError, match="no query"):
        await begin_authorization(
            await shop.outbox(), shop.keys, shop.app, shop.merchant_id, redirect_uri=f"{HOME}?shop=1"
        )
    assert pending(shop) == 0


# Scopes -------------------------------------------------------------------------------------------------------------------


async def test_scopes_that_were_not_granted_are_recorded_and_named(shop: Shop):
    shop.server.rules.scope = "brands.read events.write forms.read"
    connected = await complete(shop, await browse(await began(shop)))
    assert connected.scopes == ("brands.read", "events.write", "forms.read")
    assert connected.missing_scopes == tuple(
        scope for scope in Scope if scope not in (Scope.BRANDS_READ, Scope.EVENTS_WRITE)
    )
    assert shop.connection()["scopes"] == ["brands.read", "events.write", "forms.read"]


async def test_scopes_that_are_not_spoken_of_are_those_that_were_asked_for(shop: Shop):
    shop.server.rules.says_scope = False
    asked = [Scope.BRANDS_READ, Scope.EVENTS_WRITE]
    connected = await complete(shop, await browse(await began(shop, scopes=asked)))
    assert (connected.scopes, connected.missing_scopes) == (tuple(asked), ())


async def test_without_the_scope_that_names_the_brand_it_says_so_and_gives_the_tokens_back(shop: Shop):
    shop.server.rules.scope = "events.write"
    with pytest.raises(AuthorizationRefused, match=r"brands\.read was not granted"):
        await complete(shop, await browse(await began(shop)))
    assert connections(shop) == 0
    assert (shop.server.access, shop.server.refresh) == (set(), set())


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "does not take the token"),
        (402, "plan or payment"),
        (403, "grant brands.read"),
        (404, "did not say which brand"),
        (410, "retired version 2026-03-15"),
        (429, "having trouble"),
        (503, "having trouble"),
    ],
)
async def test_tokens_whose_brand_nobody_names_are_given_back(shop: Shop, status, sentence):
    shop.server.rules.brand_status = status
    with pytest.raises(AuthorizationRefused, match=sentence):
        await complete(shop, await browse(await began(shop)))
    assert connections(shop) == 0
    assert len(shop.server.revoked) == 2


async def test_a_token_endpoint_in_trouble_stores_nothing(shop: Shop):
    query = await browse(await began(shop))
    shop.server.rules.status = 503
    with pytest.raises(AuthorizationRefused, match="answered 503"):
        await complete(shop, query)
    assert connections(shop) == 0


# Beside keys, and the end -------------------------------------------------------------------------------------------------


async def test_connecting_lets_a_paused_lane_go_and_replaces_a_key(shop: Shop):
    with shop.database.connect() as conn:
        conn.execute(
            "insert into integrations_omnisend (merchant_id, status, last_error, api_key_enc) values (%s, 'error', 'AUTH', 'v1:k1:AAAA')",
            [shop.merchant_id],
        )
        conn.execute(
            "insert into integrations_omnisend_lanes (merchant_id, paused_until, pause_reason, failures_in_row) values (%s, now() + interval '1 hour', 'AUTH', 3)",
            [shop.merchant_id],
        )
    connected = await complete(shop, await browse(await began(shop)))
    assert not connected.created
    stored = shop.connection()
    assert (stored["status"], stored["last_error"], stored["api_key_enc"]) == ("connected", None, None)
    lane = shop.one("select paused_until, pause_reason, failures_in_row from integrations_omnisend_lanes")
    assert tuple(lane.values()) == (None, None, 0)
    told = shop.one("select kind, name, outcome from integrations_omnisend_logs")
    assert tuple(told.values()) == ("lane", "AUTH", "resumed")


async def test_tokens_that_were_rotated_to_another_key_are_refreshed_as_before(shop: Shop):
    sealed = shop.store()
    shop.key_text = f"{KeyRing.generate('k2')},{shop.key_text}"
    shop.keys = KeyRing.parse(shop.key_text)
    assert (await rotate(await shop.outbox(), shop.keys)).replaced == 1
    assert not shop.keys.needs_rotation(shop.connection()["refresh_token_enc"])
    token = await (await shop.tokens()).fresh(shop.merchant_id, sealed=sealed)
    assert token.token == shop.opened("access_token_enc")
    assert shop.server.refreshes == 1


def settings(shop: Shop, **changes) -> Settings:
    given = {
        "database_url": shop.database.url(),
        "outbox_encryption_keys": shop.key_text,
        "omnisend_base_url": shop.server.url,
        "omnisend_oauth_url": shop.server.url,
        "omnisend_oauth_client_id": CLIENT_ID,
        "omnisend_oauth_client_secret": CLIENT_SECRET,
        **changes,
    }
    return Settings(_env_file=None, **given)


async def protea(shop: Shop) -> Merchant:
    return await find_merchant(await shop.outbox(), "protea")


async def test_disconnecting_wipes_the_tokens_and_ends_them_at_omnisend(shop: Shop):
    shop.store(lifetime=None)
    done = await disconnect(await shop.outbox(), settings(shop), await protea(shop))
    assert (done.revoked, done.problem) == (True, None)
    assert shop.server.revoked == ["refresh-1", "access-1"]
    stored = shop.connection()
    assert (stored["status"], stored["access_token_enc"], stored["refresh_token_enc"], stored["scopes"]) == (
        "disabled",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "answered 503"),
        ({"omnisend_oauth_client_id": ""}, "OMNISEND_OAUTH_CLIENT_ID is not set"),
        ({"outbox_encryption_keys": KeyRing.generate("k9")}, "needs key 'k1'"),
        ({"outbox_encryption_keys": ""}, "OUTBOX_ENCRYPTION_KEYS is not set"),
    ],
    ids=["Omnisend is away", "no client id", "another key", "no key"],
)
async def test_tokens_that_omnisend_cannot_be_told_of_are_wiped_all_the_same(shop: Shop, changes, problem):
    shop.store(lifetime=None)
    shop.server.rules.revoke_status = 503
    done = await disconnect(await shop.outbox(), settings(shop, **changes), await protea(shop))
    assert done.revoked is False
    assert problem in (done.problem or "")
    assert shop.connection()["access_token_enc"] is None


async def test_a_shop_with_a_key_is_disconnected_without_a_word_to_omnisend(shop: Shop):
    parameters = {
        "merchant_id": shop.merchant_id,
        "api_key_enc": "v1:k1:AAAA",
        "brand_id": BRAND_ID,
        "currency": None,
        "country_code": None,
    }
    with shop.database.connect() as conn:
        conn.execute(queries["connect"], parameters)
    without = settings(shop, omnisend_oauth_client_id="", outbox_encryption_keys="")
    done = await disconnect(await shop.outbox(), without, await protea(shop))
    assert (done.revoked, done.problem) == (None, None)
