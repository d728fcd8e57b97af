"""Each request as it leaves, against what Omnisend's documentation says, in both versions of its API."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soldt_outbox.omnisend.dialects import BEARER, DIALECTS, V2026_03_15, Dialect
from tests.contract.conftest import Wire
from tests.contract.examples import EXAMPLES
from tests.contract.expectations import differences, expectation

VERSIONS = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


async def told(wire: Wire, name: str, dialect: Dialect, credential: str) -> None:
    """Send an example, and before it what it takes for Omnisend to have what is changed."""
    example = EXAMPLES[name]
    if example.after is not None:
        await told(wire, example.after, dialect, credential)
    await wire.send(example.request(dialect), dialect, credential)


@VERSIONS
@pytest.mark.parametrize("name", EXAMPLES)
async def test_a_request_is_as_documented(wire: Wire, name: str, dialect: Dialect):
    await told(wire, name, dialect, wire.brand.key)
    wire.check(expectation(f"{dialect.version}/{name}", credential=wire.brand.key))


@VERSIONS
async def test_asking_for_the_brand_is_as_documented(wire: Wire, dialect: Dialect):
    brand = await (await wire.client(dialect)).current_brand(wire.brand.key)
    assert brand.brand_id == wire.brand.brand_id
    wire.check(expectation(f"{dialect.version}/current_brand", credential=wire.brand.key))


@pytest.mark.parametrize("name", EXAMPLES)
async def test_with_a_token_only_the_authorization_differs(wire: Wire, name: str):
    """The stand-in knows no such token; what is sent is the same as with a key."""
    sent = await wire.send(EXAMPLES[name].request(BEARER), BEARER, "a-token")
    recorded = expectation(f"{V2026_03_15.version}/{name}", credential="a-key")
    bearer = {**recorded.headers, "authorization": "Bearer a-token"}
    assert not differences(sent, replace(recorded, headers=bearer))
