"""Connecting by OAuth, against what Omnisend's documentation and the RFCs it names say."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sandbox.omnisend import OAuthClient as Registration
from soldt_outbox.oauth.client import OAuthClient
from soldt_outbox.oauth.protocol import Challenge, Grant, OAuthApp, authorize_url
from soldt_outbox.oauth.scopes import SHOP_MINIMUM
from soldt_outbox.omnisend.dialects import BEARER
from tests.contract.conftest import Wire
from tests.contract.examples import EXAMPLES
from tests.contract.expectations import expectation

BACK = "http://127.0.0.1:8931/callback"
SECRET = "opens-nothing"
CHALLENGE = Challenge(  # RFC 7636, appendix B
    state="of-this-session", code_verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)


class Application:
    """This project's registration at the stand-in, with or without a secret."""

    def __init__(self, wire: Wire, client_id: str, secret: str | None) -> None:
        wire.standin.add_oauth_client(
            Registration(client_id=client_id, client_secret=secret, redirect_uris=[BACK])
        )
        self.app = OAuthApp(url=wire.url, client_id=client_id, client_secret=secret)

    async def approved(self) -> str:
        """The code with which the browser of a merchant's admin comes back."""
        url = authorize_url(self.app, CHALLENGE, redirect_uri=BACK, scopes=SHOP_MINIMUM)
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(url)
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))["code"]

    async def granted(self, code: str) -> Grant:
        async with OAuthClient(self.app) as oauth:
            return await oauth.exchange(code, redirect_uri=BACK, code_verifier=CHALLENGE.code_verifier)


@pytest.fixture
def soldt(wire: Wire) -> Application:
    return Application(wire, "soldt", SECRET)


async def test_the_page_where_an_admin_says_yes(wire: Wire, soldt: Application):
    await soldt.approved()
    wire.check(expectation("oauth/authorize"))


async def test_a_code_is_exchanged_for_tokens(wire: Wire, soldt: Application):
    code = await soldt.approved()
    await soldt.granted(code)
    wire.check(expectation("oauth/code_exchanged", code=code, client_secret=SECRET))


async def test_a_public_client_sends_no_secret(wire: Wire):
    public = Application(wire, "soldt-public", None)
    code = await public.approved()
    await public.granted(code)
    wire.check(expectation("oauth/code_exchanged_by_public_client", code=code))


@pytest.mark.parametrize("request_made", ["token_refreshed", "token_revoked"])
async def test_tokens_are_refreshed_and_revoked(wire: Wire, soldt: Application, request_made: str):
    token = (await soldt.granted(await soldt.approved())).refresh_token
    assert token is not None
    async with OAuthClient(soldt.app) as oauth:
        if request_made == "token_refreshed":
            await oauth.refresh(token)
        else:
            await oauth.revoke(token, hint="refresh_token")
    wire.check(expectation(f"oauth/{request_made}", refresh_token=token, client_secret=SECRET))


async def test_a_token_is_sent_as_documented(wire: Wire, soldt: Application):
    token = (await soldt.granted(await soldt.approved())).access_token
    await wire.send(EXAMPLES["order_placed"].request(BEARER), BEARER, token)
    wire.check(expectation("bearer/order_placed", credential=token))
    brand = await (await wire.client(BEARER)).current_brand(token)
    assert brand.brand_id == wire.brand.brand_id
    wire.check(expectation("bearer/current_brand", credential=token))
