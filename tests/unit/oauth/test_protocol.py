import base64
import hashlib
import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from soldt_outbox.errors import ConfigurationError
from soldt_outbox.oauth.protocol import (
    Challenge,
    ErrorCode,
    MalformedAnswer,
    OAuthApp,
    authorize_url,
    checked_redirect_uri,
    code_challenge,
    parse_error,
    parse_grant,
    same_secret,
    state_hash,
)

APP = OAuthApp(url="https://app.omnisend.com", client_id="abc", client_secret="geheim")
HOME = "https://soldt.example/omnisend/callback"


def answer(**changes) -> bytes:
    return json.dumps({"access_token": "at", "token_type": "bearer"} | changes).encode()


def test_the_challenge_is_the_one_of_rfc_7636():
    """Its appendix B."""
    assert (
        code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_state_and_verifier_have_256_bits_and_are_never_the_same():
    made = [Challenge() for _ in range(50)]
    secrets = {one.state for one in made} | {one.code_verifier for one in made}
    assert len(secrets) == 100
    assert {len(base64.urlsafe_b64decode(secret + "=")) for secret in secrets} == {32}
    assert all(43 <= len(secret) <= 128 for secret in secrets)  # RFC 7636 section 4.1


def test_the_authorize_url_asks_for_a_code_with_the_challenge_and_not_the_verifier():
    challenge = Challenge()
    url = authorize_url(APP, challenge, redirect_uri=HOME, scopes=("brands.read", "events.write"))
    assert url.startswith("https://app.omnisend.com/oauth2/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["abc"],
        "redirect_uri": [HOME],
        "scope": ["brands.read events.write"],
        "state": [challenge.state],
        "code_challenge": [code_challenge(challenge.code_verifier)],
        "code_challenge_method": ["S256"],
    }
    assert challenge.code_verifier not in url
    assert "geheim" not in url


def test_a_state_is_stored_as_its_hash():
    assert state_hash("x") == hashlib.sha256(b"x").digest()
    assert same_secret("a-state", "a-state")
    assert not same_secret("a-state", "a-stat")
    assert not same_secret("a-state", "ä-state")


@pytest.mark.parametrize(
    "uri", [HOME, "http://127.0.0.1:8931/callback", "http://localhost/x", "http://[::1]/x"]
)
def test_a_redirect_goes_over_https_or_stays_on_the_machine(uri):
    assert checked_redirect_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "http://soldt.example/callback",
        "https://soldt.example/callback?shop=1",
        "https://soldt.example/callback?",
        "https://soldt.example/callback#there",
        "https://user@soldt.example/callback",
        "javascript:alert(1)",
        "/callback",
        "https://[broken/callback",
    ],
)
def test_any_other_redirect_is_refused(uri):
    with pytest.raises(ConfigurationError, match="redirect URI"):
        checked_redirect_uri(uri)


@pytest.mark.parametrize(
    "url",
    ["http://app.omnisend.com", "https://app.omnisend.com/x", "https://u:p@omnisend.com", "omnisend.com"],
)
def test_secrets_are_sent_to_no_other_kind_of_address(url):
    with pytest.raises(ConfigurationError, match="OMNISEND_OAUTH_URL"):
        OAuthApp(url=url, client_id="abc")


def test_without_a_client_id_it_says_what_to_do():
    with pytest.raises(ConfigurationError, match="OMNISEND_OAUTH_CLIENT_ID is not set"):
        OAuthApp(url="https://app.omnisend.com", client_id="")


def test_a_grant_is_read():
    grant = parse_grant(
        answer(refresh_token="rt", expires_in=3600, scope="brands.read  events.write", more=1)
    )
    assert (grant.access_token, grant.refresh_token) == ("at", "rt")
    assert grant.lifetime == timedelta(hours=1)
    assert grant.scopes == ("brands.read", "events.write")


def test_what_a_grant_does_not_say_is_unknown():
    grant = parse_grant(answer())
    assert (grant.refresh_token, grant.lifetime, grant.scopes) == (None, None, None)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (None, None),
        (9_223_372_036, None),  # Omnisend's own example: 292 years
        (1e300, None),
        (7_200, timedelta(hours=2)),
        ("7200", timedelta(hours=2)),
        (0.5, timedelta(milliseconds=500)),
    ],
)
def test_a_token_that_ends_in_centuries_has_no_end(expires_in, lifetime):
    assert parse_grant(answer(expires_in=expires_in)).lifetime == lifetime


@pytest.mark.parametrize("expires_in", [0, -5, True, "soon", [], {}, "nan"])
def test_an_end_that_is_none_is_refused(expires_in):
    with pytest.raises(MalformedAnswer, match="expires_in"):
        parse_grant(answer(expires_in=expires_in))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        answer(access_token=""),
        answer(access_token=7),
        answer(access_token="a b"),
        answer(access_token="a\r\nX: y"),
        answer(refresh_token="ü"),
        answer(token_type="mac"),
    ],
    ids=lambda body: str(body[:20]),
)
def test_an_answer_without_a_usable_token_is_refused_and_not_repeated(body):
    with pytest.raises(MalformedAnswer) as refused:
        parse_grant(body)
    assert "X: y" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_error_is_one_of_rfc_6749s_codes_or_none():
    assert parse_error(b'{"error": "invalid_grant", "error_description": "x"}') is ErrorCode.INVALID_GRANT
    assert parse_error(b'{"error": "because"}') is None
    assert parse_error(b'{"error": {"code": 1}}') is None
    assert parse_error(b"<html>") is None


def test_no_secret_is_shown():
    shown = repr((APP, Challenge(), parse_grant(answer(access_token="geheim", refresh_token="geheim"))))
    assert "geheim" not in shown
    assert "state=" not in shown
