import pytest

from soldt_outbox.oauth.scopes import (
    SHOP_MINIMUM,
    WHAT_FOR,
    Reading,
    Scope,
    batch_uses,
    lacking,
    missing_scopes,
    needed_scope,
    permission_for,
)
from soldt_outbox.rows import Kind


@pytest.mark.parametrize(
    ("use", "scope"),
    [
        (Kind.EVENT, "events.write"),
        (Kind.CONTACT, "contacts.write"),
        (Kind.PRODUCT, "products.write"),
        (Kind.CATEGORY, "products.write"),
        (Reading.BRAND, "brands.read"),
        (Reading.CONTACTS, "contacts.read"),
        (Reading.PRODUCTS, "products.read"),
        (Reading.EVENTS, "events.read"),
    ],
)
def test_what_each_use_needs(use, scope):
    assert needed_scope(use) == scope


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.BATCH])
def test_a_batch_needs_what_it_holds_and_to_read_it(kind):
    needed = missing_scopes([], batch_uses(kind))
    assert set(needed) == {needed_scope(kind), Scope(needed_scope(kind).replace(".write", ".read"))}


def test_a_batch_of_nobody_knows_what_is_refused():
    with pytest.raises(ValueError, match="batch_uses"):
        needed_scope(Kind.BATCH)
    with pytest.raises(ValueError, match="holds no batches"):
        batch_uses(Kind.BATCH)


def test_what_is_missing_is_named_once_and_in_order():
    wanted = [Kind.PRODUCT, Kind.CATEGORY, Kind.EVENT, Kind.CONTACT]
    assert missing_scopes(["contacts.write", "segments.read"], wanted) == (
        Scope.EVENTS_WRITE,
        Scope.PRODUCTS_WRITE,
    )
    assert missing_scopes(SHOP_MINIMUM, [*wanted, *Reading]) == ()


def test_of_an_api_key_nothing_is_known_to_be_missing():
    assert missing_scopes(None, [Kind.EVENT]) == ()
    assert missing_scopes([], [Kind.EVENT]) == (Scope.EVENTS_WRITE,)


def test_a_shop_asks_for_what_omnisends_own_plugin_asks_for_and_for_following_an_import():
    asked = "brands.read brands.write contacts.read contacts.write events.read events.write products.read products.write"
    assert " ".join(SHOP_MINIMUM) == asked
    assert lacking([], SHOP_MINIMUM) == SHOP_MINIMUM


def test_what_is_warned_of_is_what_something_needs():
    uses = [kind for kind in Kind if kind is not Kind.BATCH] + [*Reading]
    assert set(WHAT_FOR) == set(map(needed_scope, uses))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.CONTACT, "contacts.write"),
        (Kind.CATEGORY, "products.write"),
        (Kind.BATCH, "to write and to read"),
    ],
)
def test_a_permission_is_named_for_people(kind, words):
    assert permission_for(kind).startswith(words)
