"""The OAuth flow: approval, tokens, their ends, and what they open at the API."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import httpx
import pytest

from sandbox.omnisend import AsyncStandInControl, Fault, OAuthClient, StandInError

BACK = "https://app.example/omnisend/callback"
SECRET = "a-secret-of-the-application"
CONFIDENTIAL = OAuthClient(client_id="soldt", client_secret=SECRET, redirect_uris=[BACK])
PUBLIC = OAuthClient(client_id="soldt-public", redirect_uris=[BACK])
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
SCOPES = "brands.read brands.write events.write"


class Application:
    """A client of the flow, with a browser."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def authorize(self, **changes):
        """The parameters with which the browser comes back."""
        asked = {
            "response_type": "code",
            "client_id": "soldt",
            "redirect_uri": BACK,
            "scope": SCOPES,
            "state": "of the session",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | changes
        given = {name: value for name, value in asked.items() if value is not None}
        answer = await self.client.get("/oauth2/authorize", params=given)
        assert answer.status_code == 302, answer.text
        back, _, query = answer.headers["Location"].partition("?")
        assert back == BACK
        return dict(parse_qsl(query))

    async def token(self, **form):
        given = {"client_id": "soldt", "client_secret": SECRET} | form
        return await self.client.post(
            "/oauth2/token", data={name: value for name, value in given.items() if value is not None}
        )

    async def exchange(self, code, **changes):
        given = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": VERIFIER}
        return await self.token(code=code, **(given | changes))

    async def connect(self, **changes):
        return (await self.exchange((await self.authorize(**changes))["code"])).json()

    async def refresh(self, token, **changes):
        return await self.token(grant_type="refresh_token", refresh_token=token, **changes)

    async def call(self, token, path="/api/brands/current", method="GET", content=None):
        headers = {"Authorization": f"Bearer {token}", "Omnisend-Version": "2026-03-15"}
        return await self.client.request(method, path, headers=headers, json=content)


@pytest.fixture
async def app(omnisend, shop) -> AsyncIterator[Application]:
    omnisend.add_oauth_client(CONFIDENTIAL)
    omnisend.add_oauth_client(PUBLIC)
    async with httpx.AsyncClient(base_url=omnisend.url) as client:
        yield Application(client)


def refused(answer, status=400):
    assert answer.status_code == status
    return answer.json()["error"]


async def test_a_merchant_approves_and_the_token_opens_what_was_granted(omnisend, shop, app):
    back = await app.authorize()
    assert set(back) == {"code", "state"}
    assert back["state"] == "of the session"
    answer = await app.exchange(back["code"])
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 9223372036, SCOPES)
    shown = await app.call(tokens["access_token"])
    assert shown.json()["brandID"] == shop.brand.brand_id
    assert (await app.call(tokens["access_token"], "/api/contacts")).status_code == 403
    received = omnisend.received()
    assert [one.path for one in received[:2]] == ["/oauth2/authorize", "/oauth2/token"]
    assert [(one.key, one.brand) for one in received[2:]] == [("Bearer ****", shop.brand.brand_id)] * 2


async def test_a_token_opens_nothing_in_version_5(shop, app):
    token = (await app.connect())["access_token"]
    answer = await shop.old("GET", "/brands/current", X_API_KEY="", Authorization=f"Bearer {token}")
    assert answer.status == 401


async def test_a_merchant_may_refuse(omnisend, app):
    omnisend.change_settings(oauth_refuses=True)
    back = await app.authorize()
    assert (back["error"], back["state"]) == ("access_denied", "of the session")
    assert "code" not in back


async def test_the_merchant_who_is_signed_in_approves(omnisend, app):
    other = omnisend.add_brand()
    assert (await app.authorize())["error"] == "access_denied", "nobody is signed in, and there are two"
    omnisend.sign_in(other.brand_id)
    token = (await app.connect())["access_token"]
    assert (await app.call(token)).json()["brandID"] == other.brand_id


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": None}, "invalid_request"),
        ({"scope": "orders.read"}, "invalid_scope"),
        ({"scope": "brands.read,events.write"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"client_id": "soldt-public", "code_challenge": None}, "invalid_request"),
    ],
)
async def test_a_wrong_request_comes_back_with_an_error(app, changes, error):
    assert (await app.authorize(**changes))["error"] == error


@pytest.mark.parametrize(
    "changes", [{"client_id": "unknown"}, {"redirect_uri": "https://evil.example/"}, {"redirect_uri": ""}]
)
async def test_to_an_unknown_address_nobody_is_sent(app, changes):
    given = {"response_type": "code", "client_id": "soldt", "redirect_uri": BACK, "scope": SCOPES} | changes
    answer = await app.client.get("/oauth2/authorize", params=given)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


async def test_of_a_redirect_uri_with_a_query_all_but_the_first_parameter_is_lost(omnisend, app):
    asked = f"{BACK}?shop=7&lang=af"
    omnisend.add_oauth_client(OAuthClient(client_id="soldt", client_secret=SECRET, redirect_uris=[asked]))
    back = await app.authorize(redirect_uri=asked)
    assert (back["shop"], "lang" in back) == ("7", False)
    assert (await app.exchange(back["code"], redirect_uri=asked)).status_code == 200
    assert [one.code for one in omnisend.received()[0].findings] == ["redirect_uri_truncated"]


async def test_what_is_odd_about_an_authorization_is_found(omnisend, app):
    assert "code" in await app.authorize(state=None, scopes="brands.read")
    codes = [one.code for one in omnisend.received()[0].findings]
    assert codes == ["state_missing", "query_unknown"]


async def test_a_code_holds_once_and_its_second_use_revokes_what_it_brought(app):
    code = (await app.authorize())["code"]
    tokens = (await app.exchange(code)).json()
    assert refused(await app.exchange(code)) == "invalid_grant"
    assert (await app.call(tokens["access_token"])).status_code == 401
    assert refused(await app.refresh(tokens["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": "unknown"}, "invalid_grant"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_grant"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"client_id": "soldt-public", "client_secret": None}, "invalid_grant"),
    ],
)
async def test_a_code_is_exchanged_as_it_was_asked_for(app, changes, error):
    code = (await app.authorize())["code"]
    assert refused(await app.exchange(**({"code": code} | changes))) == error
    assert (await app.exchange(code)).status_code == 200, "a failed attempt does not spend it"


async def test_a_client_shows_its_secret_in_the_body_or_as_basic_or_has_none(app):
    posted = (await app.authorize())["code"]
    assert (await app.exchange(posted)).status_code == 200
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": VERIFIER}
    basic = {"data": form | {"code": (await app.authorize())["code"]}, "auth": ("soldt", SECRET)}
    assert (await app.client.post("/oauth2/token", **basic)).status_code == 200
    code = (await app.authorize(client_id="soldt-public"))["code"]
    answer = await app.exchange(code, client_id="soldt-public", client_secret=None)
    assert answer.status_code == 200


async def test_a_client_that_is_not_let_in_is_401(app):
    code = (await app.authorize())["code"]
    assert refused(await app.exchange(code, client_secret="wrong"), 401) == "invalid_client"
    assert refused(await app.exchange(code, client_secret=None), 401) == "invalid_client"
    assert refused(await app.exchange(code, client_id="unknown"), 401) == "invalid_client"
    answer = await app.client.post("/oauth2/token", data={"code": code}, auth=("soldt", "wrong"))
    assert refused(answer, 401) == "invalid_client"
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    whole = {
        "grant_type": "authorization_code",
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        "code": code,
    }
    both = whole | {"client_secret": SECRET}
    assert (
        refused(await app.client.post("/oauth2/token", data=both, auth=("soldt", SECRET)))
        == "invalid_request"
    )


async def test_only_a_form_is_read_and_each_parameter_once(app):
    assert (
        refused(await app.client.post("/oauth2/token", json={"grant_type": "refresh_token"}))
        == "invalid_request"
    )
    form = "application/x-www-form-urlencoded"
    answer = await app.client.post(
        "/oauth2/token",
        content="client_id=soldt&client_id=soldt&grant_type=refresh_token",
        headers={"Content-Type": form},
    )
    assert refused(answer) == "invalid_request"
    assert (await app.client.get("/oauth2/token")).status_code == 405
    assert (await app.client.get("/oauth2/nothing")).status_code == 404


async def test_an_expired_token_is_refreshed_and_refreshes_are_counted(omnisend, shop, app):
    tokens = await app.connect()
    omnisend.expire_tokens(shop.brand.brand_id)
    assert (await app.call(tokens["access_token"])).status_code == 401
    answer = await app.refresh(tokens["refresh_token"])
    assert "refresh_token" not in answer.json(), "the old one is kept"
    assert (await app.call(answer.json()["access_token"])).status_code == 200
    await app.refresh(tokens["refresh_token"])
    assert omnisend.oauth().refreshes == {shop.brand.brand_id: 2}


async def test_a_token_holds_as_long_as_the_settings_say(omnisend, app):
    omnisend.change_settings(token_expires_in=0)
    tokens = await app.connect()
    assert tokens["expires_in"] == 0
    assert (await app.call(tokens["access_token"])).status_code == 401


async def test_a_refreshed_token_may_have_less_and_never_more(app):
    tokens = await app.connect()
    less = (await app.refresh(tokens["refresh_token"], scope="events.write")).json()
    assert (await app.call(less["access_token"])).status_code == 403
    assert refused(await app.refresh(tokens["refresh_token"], scope="contacts.read")) == "invalid_scope"


async def test_a_refresh_token_that_was_replaced_ends_the_grant(omnisend, shop, app):
    omnisend.change_settings(rotate_refresh_tokens=True)
    tokens = await app.connect()
    newer = (await app.refresh(tokens["refresh_token"])).json()
    assert newer["refresh_token"] != tokens["refresh_token"]
    assert refused(await app.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert (await app.call(newer["access_token"])).status_code == 401
    assert refused(await app.refresh(newer["refresh_token"])) == "invalid_grant"
    view = omnisend.oauth()
    assert view.refused_refreshes == {shop.brand.brand_id: 2}
    assert [(one.revoked, one.refreshes, one.reuses) for one in view.grants] == [(True, 1, 1)]


async def test_of_refreshes_at_once_with_one_token_one_succeeds(omnisend, app):
    omnisend.change_settings(rotate_refresh_tokens=True)
    tokens = await app.connect()
    answers = await asyncio.gather(*(app.refresh(tokens["refresh_token"]) for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [200, 400, 400, 400, 400]


@pytest.mark.parametrize(("which", "still"), [("access_token", 200), ("refresh_token", 400)])
async def test_a_revoked_token_opens_nothing(app, which, still):
    tokens = await app.connect()
    form = {"client_id": "soldt", "client_secret": SECRET, "token": tokens[which]}
    assert (await app.client.post("/oauth2/revoke", data=form)).status_code == 200
    assert (await app.call(tokens["access_token"])).status_code == 401
    assert (await app.refresh(tokens["refresh_token"])).status_code == still
    assert (await app.client.post("/oauth2/revoke", data=form)).status_code == 200
    assert refused(await app.client.post("/oauth2/revoke", data=form | {"client_secret": "x"}), 401)
    assert refused(await app.client.post("/oauth2/revoke", data=form | {"token": ""})) == "invalid_request"


async def test_a_merchant_can_take_back_what_was_granted(omnisend, shop, app):
    tokens = await app.connect()
    omnisend.disconnect(shop.brand.brand_id)
    assert (await app.call(tokens["access_token"])).status_code == 401
    assert refused(await app.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_the_token_endpoint_can_fail_for_one_brand(omnisend, shop, app):
    tokens = await app.connect()
    fault = Fault(kind="status", status=503, path="/oauth2/token", brand=shop.brand.brand_id, count=1)
    omnisend.add_fault(fault)
    assert (await app.refresh(tokens["refresh_token"])).status_code == 503
    assert (await app.refresh(tokens["refresh_token"])).status_code == 200
    assert omnisend.oauth().refreshes == {shop.brand.brand_id: 1}


async def test_an_answer_may_be_lost_after_the_token_was_spent(omnisend, app):
    omnisend.change_settings(rotate_refresh_tokens=True)
    tokens = await app.connect()
    omnisend.add_fault(Fault(kind="reset_after_reading", path="/oauth2/token", count=1))
    with pytest.raises(httpx.ReadError):
        await app.refresh(tokens["refresh_token"])
    assert refused(await app.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_no_secret_of_the_flow_is_shown(omnisend, shop, app):
    code = (await app.authorize())["code"]
    tokens = (await app.exchange(code)).json()
    await shop.new("POST", "/events", {"eventName": tokens["access_token"]})
    shown = ""
    for path in ("", "/received", "/summary", "/oauth", "/settings", "/brands"):
        shown += (await app.client.get(f"/_sandbox{path}")).text
    for secret in (code, tokens["access_token"], tokens["refresh_token"], SECRET, VERIFIER):
        assert secret not in shown
    assert SECRET not in repr(CONFIDENTIAL)
    assert "refresh" not in str(omnisend.received()[1].body)


async def test_the_flow_is_steered_over_http(omnisend, shop, app):
    brand = shop.brand.brand_id
    async with AsyncStandInControl(omnisend.url) as control:
        await control.add_oauth_client(OAuthClient(client_id="other", redirect_uris=[BACK]))
        omnisend.add_brand()
        await control.sign_in(brand)
        token = (await app.connect())["access_token"]
        await control.expire_tokens(brand)
        assert (await app.call(token)).status_code == 401
        await control.disconnect(brand)
        assert await control.oauth() == omnisend.oauth()
        assert [one.revoked for one in omnisend.oauth().grants] == [True]
        with pytest.raises(StandInError, match="no brand"):
            await control.sign_in("000000000000000000000000")
        await control.reset(brands=True)
        assert (await control.oauth()).grants == []


STORE = {"website": "https://shop.example", "platform": "soldt", "version": "1.0", "currency": "ZAR"}


async def test_a_store_is_connected_with_a_token(shop, app):
    token = (await app.connect())["access_token"]
    answer = await app.call(token, method="POST", content=STORE)
    assert (answer.status_code, answer.json()) == (200, {"brandID": shop.brand.brand_id})
    brand = (await app.call(token)).json()
    assert (brand["connected"], brand["platform"], brand["version"]) == (True, "soldt", "1.0")


async def test_a_store_is_not_connected_with_a_key_or_in_version_5(shop):
    assert (await shop.new("POST", "/brands/current", STORE)).status == 403
    assert (await shop.old("POST", "/brands/current", STORE)).status == 405
    assert (await shop.old("GET", "/brands/current")).json()["connected"] is False


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": "1.0.0-alpha"}, "version"),
        ({"website": "shop"}, "website"),
        ({"platform": None}, "platform"),
        ({"platform": "shopify"}, "platform"),
        ({"currency": "rand"}, "currency"),
    ],
)
async def test_a_store_that_cannot_be_is_400(omnisend, shop, app, changes, field):
    omnisend.change_settings(platforms=["soldt"])
    token = (await app.connect())["access_token"]
    answer = await app.call(token, method="POST", content=STORE | changes)
    assert answer.status_code == 400
    assert field in [one["field"] for one in answer.json()["errors"]]
    assert (await shop.old("GET", "/brands/current")).json()["connected"] is False
