"""Nothing that this project asks Omnisend for is without an expectation, and no expectation is without a request."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import soldt_outbox
from soldt_outbox.events import CustomName, EventName, WorkerEventName, stored_name
from soldt_outbox.omnisend.dialects import DIALECTS, Dialect
from soldt_outbox.omnisend.mapping.contacts import ContactRow
from soldt_outbox.omnisend.mapping.events import OMNISEND_EVENTS
from soldt_outbox.rows import Kind
from tests.contract.examples import EXAMPLES
from tests.contract.expectations import expectation, files
from tests.contract.test_batches import BATCHES

BEARER_FILES = {"bearer/order_placed", "bearer/current_brand"}
OAUTH_FILES = {
    f"oauth/{name}"
    for name in (
        "authorize",
        "code_exchanged",
        "code_exchanged_by_public_client",
        "token_refreshed",
        "token_revoked",
    )
}
OF_BATCHES = (*BATCHES, "batch_progress", "batch_items", "contacts_changed")
VERSIONS = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


BUILT = {
    ("soldt_outbox.omnisend.client", "GET"): {"current_brand"},
    ("soldt_outbox.omnisend.mapping.events", "POST"): {"order_placed"},
    ("soldt_outbox.omnisend.mapping.contacts", "POST"): {"contact_changed"},
    ("soldt_outbox.omnisend.mapping.catalogue", "POST"): {"product_created", "category_created"},
    ("soldt_outbox.omnisend.mapping.catalogue", "PUT"): {"product_replaced"},
    ("soldt_outbox.omnisend.mapping.catalogue", "PATCH"): {"category_renamed"},
    ("soldt_outbox.omnisend.mapping.catalogue", "DELETE"): {"product_deleted", "category_deleted"},
    ("soldt_outbox.omnisend.batches", "POST"): set(BATCHES),
    ("soldt_outbox.omnisend.batches", "GET"): {"batch_progress", "batch_items"},
    ("soldt_outbox.omnisend.contact_pages", "GET"): {"contacts_changed"},
}
"""Which module of the library builds requests of which method, and where an expectation has one of them."""


def modules() -> list[str]:
    """Every module of the library."""
    walked = pkgutil.walk_packages(soldt_outbox.__path__, f"{soldt_outbox.__name__}.")
    return [module.name for module in walked]


def constants() -> set[str]:
    """The value of every constant of the library whose name ends in ``_PATH``: that is what paths are called there."""
    return {
        value
        for module in map(importlib.import_module, modules())
        for name, value in vars(module).items()
        if name.endswith("_PATH") and isinstance(value, str) and value.startswith("/")
    }


def methods(module: str) -> Iterator[str]:
    """Of each request that a module's code builds; a method that is no literal is no answer."""
    source = importlib.import_module(module).__file__
    assert source is not None
    for node in ast.walk(ast.parse(Path(source).read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "OmnisendRequest":
            yield from (ast.literal_eval(given.value) for given in node.keywords if given.arg == "method")


def recorded(folder: str) -> set[str]:
    return {expectation(name).path for name in files() if name.startswith(f"{folder}/")}


def test_every_file_is_compared_with_a_request_and_every_request_with_a_file():
    names = (*EXAMPLES, *OF_BATCHES, "current_brand")
    of_dialects = {f"{version}/{name}" for version in DIALECTS for name in names}
    assert set(files()) == of_dialects | BEARER_FILES | OAUTH_FILES


@VERSIONS
def test_every_path_that_the_code_knows_has_an_expectation(dialect: Dialect):
    asked = recorded(dialect.version)
    beneath = {path.removeprefix(dialect.base_path) for path in asked} | recorded("oauth")
    missing = {path for path in constants() if not any(f"{one}/".startswith(f"{path}/") for one in beneath)}
    assert not missing


@VERSIONS
def test_every_request_that_the_code_builds_has_an_expectation_of_its_method(dialect: Dialect):
    assert {(module, method) for module in modules() for method in methods(module)} == BUILT.keys()
    for (_, method), names in BUILT.items():
        assert {expectation(f"{dialect.version}/{name}").method for name in names} == {method}


def test_the_constants_are_found():
    assert {
        "/contacts",
        "/events",
        "/products",
        "/product-categories",
        "/brands/current",
        "/oauth2/token",
    } <= constants()


def test_every_event_and_every_kind_of_row_has_an_example():
    rows = [example.row for example in EXAMPLES.values()]
    events = {stored_name(row.name) for row in rows if row.kind is Kind.EVENT}
    assert events >= set(EventName) | set(WorkerEventName)
    assert events >= OMNISEND_EVENTS.keys()
    assert any(isinstance(name, CustomName) for name in events)
    assert {row.name for row in rows if row.kind is Kind.CONTACT} == set(ContactRow)
    assert {row.kind for row in rows} == set(Kind) - {Kind.BATCH}


def test_every_expectation_names_its_source():
    for name in files():
        for source in expectation(name).source:
            assert urlsplit(source).scheme == "https", name
