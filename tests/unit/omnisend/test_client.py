import httpx
import pytest

from soldt_outbox.errors import CredentialError, MayHaveBeenSeen, NeverSeen
from soldt_outbox.omnisend.answers import Blocked
from soldt_outbox.omnisend.client import BrandRefused, OmnisendClient
from soldt_outbox.omnisend.dialects import BEARER, DIALECTS, V5, V2026_03_15, Dialect
from soldt_outbox.rows import OmnisendRequest

KEY = "0123456789abcdef01234567-secretsecret"
REQUEST = OmnisendRequest(method="POST", path="/events", body=b"{}")


SPOKEN: list[Dialect] = []


@pytest.fixture(autouse=True, params=DIALECTS.values(), ids=DIALECTS.keys())
def spoken(request):
    """Every test here runs in each dialect."""
    SPOKEN.append(request.param)
    yield request.param
    SPOKEN.clear()


def client(handler, dialect=None):
    return OmnisendClient(
        "https://api.omnisend.com", dialect or SPOKEN[0], transport=httpx.MockTransport(handler)
    )


async def test_a_request_in_each_dialect():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(202)

    for dialect in (V5, V2026_03_15):
        await client(handler, dialect).send(REQUEST, KEY)
    assert str(seen[0].url) == "https://api.omnisend.com/v5/events"
    assert seen[0].headers["x-api-key"] == KEY
    assert "authorization" not in seen[0].headers
    assert str(seen[1].url) == "https://api.omnisend.com/api/events"
    assert seen[1].headers["authorization"] == f"Omnisend-API-Key {KEY}"
    assert seen[1].headers["omnisend-version"] == "2026-03-15"
    assert {request.content for request in seen} == {b"{}"}


async def test_a_client_of_another_dialect_is_built_once(spoken, monkeypatch):
    paths = []

    def handler(request):
        paths.append(request.url.path)
        return httpx.Response(202)

    own = client(handler)
    other = own.speaking(BEARER)

    def build_again(*_, **__):
        raise AssertionError("a client was built for one more request")

    monkeypatch.setattr(OmnisendClient, "__init__", build_again)
    assert own.speaking(BEARER) is other
    assert own.speaking(spoken) is own
    await own.speaking(BEARER).send(REQUEST, KEY)
    assert paths == ["/api/events"], "over the same transport"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError, NeverSeen),
        (httpx.ConnectTimeout, NeverSeen),
        (httpx.PoolTimeout, NeverSeen),
        (httpx.ReadTimeout, MayHaveBeenSeen),
        (httpx.WriteTimeout, MayHaveBeenSeen),
        (httpx.ReadError, MayHaveBeenSeen),
        (httpx.WriteError, MayHaveBeenSeen),
        (httpx.RemoteProtocolError, MayHaveBeenSeen),
    ],
)
async def test_which_failures_may_have_been_seen(error, expected):
    def handler(request):
        raise error("broken", request=request)

    with pytest.raises(expected, match=error.__name__):
        await client(handler).send(REQUEST, KEY)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "schlüssel"])
async def test_a_key_that_cannot_stand_in_a_header_is_refused_unsent(key):
    with pytest.raises(CredentialError) as caught:
        await client(lambda request: 1 / 0).send(REQUEST, key)
    assert not key or key not in str(caught.value)


async def test_a_throttled_answer_has_the_clock_its_dates_are_told_by():
    answer = await client(
        lambda _: httpx.Response(429, headers={"Retry-After": "5", "Set-Cookie": "a=b"})
    ).send(REQUEST, KEY)
    assert answer.headers.keys() == {"retry-after", "date"}


async def test_the_brand_of_a_key():
    brand = await client(
        lambda r: httpx.Response(200, json={"brandID": "b1", "currency": "ZAR", "new": 1})
    ).current_brand(KEY)
    assert (brand.brand_id, brand.currency, brand.connected) == ("b1", "ZAR", None)


@pytest.mark.parametrize("body", [{}, {"brandID": ""}, {"brandID": None}, [], {"brandID": 5}])
async def test_an_answer_without_a_brand_is_refused(body):
    with pytest.raises(BrandRefused, match="brandID"):
        await client(lambda r: httpx.Response(200, json=body)).current_brand(KEY)


async def test_a_wrong_key_is_refused_with_its_meaning():
    with pytest.raises(BrandRefused) as caught:
        await client(lambda r: httpx.Response(401, json={"title": "Unauthorized"})).current_brand(KEY)
    assert isinstance(caught.value.meaning, Blocked)
    assert KEY not in str(caught.value)
