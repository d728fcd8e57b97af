"""Batches, and contacts read back, against what Omnisend's documentation says, in both versions of its API."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soldt_outbox.omnisend.batches import (
    Method,
    Resource,
    creation,
    item,
    looking_at,
    read_created,
    read_progress,
)
from soldt_outbox.omnisend.contact_pages import page_request
from soldt_outbox.omnisend.dialects import DIALECTS, Dialect
from soldt_outbox.rows import OmnisendRequest
from tests.contract.conftest import Wire
from tests.contract.examples import ANN, EXAMPLES, GIVEN, WHEN, Example
from tests.contract.expectations import expectation

VERSIONS = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)

# Of a full refresh: the consent was given long ago, and nobody is welcomed for it.
REFRESHED = replace(
    EXAMPLES["consent_given_email"], known={"consents": {("email", ANN): replace(GIVEN, recent=False)}}
)
BATCHES: dict[str, tuple[Resource, Method, Example]] = {
    "batch_of_products": (Resource.PRODUCTS, "POST", EXAMPLES["product_created"]),
    "batch_of_products_replaced": (Resource.PRODUCTS, "PUT", EXAMPLES["product_replaced"]),
    "batch_of_categories": (Resource.CATEGORIES, "POST", EXAMPLES["category_created"]),
    "batch_of_contacts": (Resource.CONTACTS, "POST", REFRESHED),
    "batch_of_orders": (Resource.ORDERS, "POST", EXAMPLES["order_placed"]),
}


def batch(name: str, dialect: Dialect) -> OmnisendRequest:
    """A batch of one item, which has the bytes of the single request."""
    resource, method, example = BATCHES[name]
    return creation(resource, method, [item(resource, "its id here", example.request(dialect).body)])


@VERSIONS
@pytest.mark.parametrize("name", BATCHES)
async def test_a_batch_is_created_as_documented(wire: Wire, name: str, dialect: Dialect):
    await wire.send(batch(name, dialect), dialect, wire.brand.key)
    wire.check(expectation(f"{dialect.version}/{name}", credential=wire.brand.key))


@VERSIONS
async def test_a_batch_is_looked_at_as_documented(wire: Wire, dialect: Dialect):
    client = await wire.client(dialect)
    created = read_created(await client.send(batch("batch_of_products", dialect), wire.brand.key))
    assert created is not None
    assert read_progress(await client.send(looking_at(created), wire.brand.key)) is not None
    wire.check(expectation(f"{dialect.version}/batch_progress", credential=wire.brand.key, batch=created))
    await client.send(looking_at(created, items=True), wire.brand.key)
    wire.check(expectation(f"{dialect.version}/batch_items", credential=wire.brand.key, batch=created))


@VERSIONS
async def test_contacts_are_read_back_as_documented(wire: Wire, dialect: Dialect):
    await wire.send(page_request(WHEN, None), dialect, wire.brand.key)
    wire.check(expectation(f"{dialect.version}/contacts_changed", credential=wire.brand.key))
