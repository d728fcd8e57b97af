from urllib.parse import parse_qs

import httpx
import pytest

from soldt_outbox.errors import TokenRefused, TokenUnavailable
from soldt_outbox.oauth.client import OAuthClient
from soldt_outbox.oauth.protocol import MalformedAnswer, OAuthApp

APP = OAuthApp(url="https://app.omnisend.com/", client_id="abc", client_secret="geheim")
TOKENS = {"access_token": "at", "token_type": "Bearer"}


def client(handler, app=APP):
    return OAuthClient(app, transport=httpx.MockTransport(handler))


def answering(status, **content):
    return client(lambda request: httpx.Response(status, **content))


async def test_the_requests_are_forms_with_the_secret_in_the_body():
    seen = []

    def handler(request):
        seen.append((str(request.url), parse_qs(request.content.decode())))
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert "authorization" not in request.headers
        return httpx.Response(200, json=TOKENS)

    async with client(handler) as oauth:
        await oauth.exchange("c&d", redirect_uri="https://soldt.example/x", code_verifier="v")
        await oauth.refresh("rt")
        await oauth.revoke("rt", hint="refresh_token")
    mine = {"client_id": ["abc"], "client_secret": ["geheim"]}
    assert seen == [
        (
            "https://app.omnisend.com/oauth2/token",
            {
                "grant_type": ["authorization_code"],
                "code": ["c&d"],
                "redirect_uri": ["https://soldt.example/x"],
                "code_verifier": ["v"],
                **mine,
            },
        ),
        (
            "https://app.omnisend.com/oauth2/token",
            {"grant_type": ["refresh_token"], "refresh_token": ["rt"], **mine},
        ),
        (
            "https://app.omnisend.com/oauth2/revoke",
            {"token": ["rt"], "token_type_hint": ["refresh_token"], **mine},
        ),
    ]


async def test_a_public_client_sends_no_secret():
    def handler(request):
        assert b"client_secret" not in request.content
        return httpx.Response(200, json=TOKENS)

    app = OAuthApp(url="https://app.omnisend.com", client_id="abc")
    assert (await client(handler, app).refresh("rt")).access_token == "at"


@pytest.mark.parametrize("status", [400, 401])
async def test_a_refusal_holds_the_code_and_no_words_of_the_servers(status):
    refusing = answering(status, json={"error": "invalid_grant", "error_description": "token rt is unknown"})
    with pytest.raises(TokenRefused) as refused:
        await refusing.refresh("rt")
    assert refused.value.code == "invalid_grant"
    assert "unknown" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, {"text": "<html>"}),
        (404, {"json": {"error": "because"}}),
        (429, {"json": {"error": "invalid_grant"}}),
        (500, {"json": {"error": "invalid_grant"}}),
        (503, {"text": ""}),
        (302, {"headers": {"location": "https://elsewhere.example"}}),
    ],
)
async def test_anything_else_passes_by_itself(status, content):
    with pytest.raises(TokenUnavailable, match=str(status)):
        await answering(status, **content).refresh("rt")
    with pytest.raises(TokenUnavailable, match=str(status)):
        await answering(status, **content).revoke("rt", hint="refresh_token")


async def test_an_answer_that_is_no_token_is_told_from_a_refusal():
    with pytest.raises(MalformedAnswer):
        await answering(200, text="<html>").refresh("rt")


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
async def test_a_network_failure_shows_neither_request_nor_secret(error):
    def handler(request):
        raise error(f"broken with {request.content!r}", request=request)

    with pytest.raises(TokenUnavailable) as failed:
        await client(handler).refresh("rt-geheim")
    assert error.__name__ in str(failed.value)
    assert "geheim" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    assert "geheim" not in repr(client(handler))
