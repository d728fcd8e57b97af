"""Which of Omnisend's scopes each use of its API needs.

Omnisend's gateway answers a call without its scope with a 403 that does not name the scope, so it must be known here.
The names are of Omnisend's reference, "OAuth" (26 scopes; these are the ones that this project asks for).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never

from soldt_outbox.rows import Kind


class Scope(StrEnum):
    """A scope of Omnisend's."""

    BRANDS_READ = "brands.read"
    BRANDS_WRITE = "brands.write"
    CONTACTS_READ = "contacts.read"
    CONTACTS_WRITE = "contacts.write"
    EVENTS_READ = "events.read"
    EVENTS_WRITE = "events.write"
    PRODUCTS_READ = "products.read"
    PRODUCTS_WRITE = "products.write"


class Reading(StrEnum):
    """What is read of Omnisend, where rows (``Kind``) are what is written to it."""

    BRAND = "brand"  # connect: which brand a credential opens
    CONTACTS = "contacts"  # who unsubscribed there; how far a batch of contacts is
    EVENTS = "events"  # how far a batch of events is
    PRODUCTS = "products"  # how far a batch of products or categories is


SHOP_MINIMUM: Final = tuple(Scope)
"""What a shop's connection asks for.

The seven that Omnisend's own WordPress plugin asks for, in its order, and events.read: a batch needs the scope of what it
holds, and to follow one of events to its end is to read (OpenAPI file of batches).
"""

WHAT_FOR: Final = MappingProxyType(
    {
        Scope.BRANDS_READ: "connecting: it says which brand this is",
        Scope.CONTACTS_READ: "reading who unsubscribed at Omnisend, and following a refresh of contacts to its end",
        Scope.CONTACTS_WRITE: "contacts and their consent",
        Scope.EVENTS_READ: "following an import of orders to its end",
        Scope.EVENTS_WRITE: "carts, checkouts, orders and every other event",
        Scope.PRODUCTS_READ: "following a refresh of products or categories to its end",
        Scope.PRODUCTS_WRITE: "products and categories",
    }
)
"""What does not work where a scope is missing, for people. brands.write is not here: nothing in this project needs it."""


def needed_scope(use: Kind | Reading) -> Scope:  # noqa: PLR0911 - a table
    """The scope that a row of a kind, or a reading, needs.

    There are no scopes of orders and carts, which are events; categories go under the products'.
    Raises ``ValueError`` for a batch: what it needs, ``batch_uses`` says of what it holds.
    """
    match use:
        case Kind.EVENT:
            return Scope.EVENTS_WRITE
        case Kind.CONTACT:
            return Scope.CONTACTS_WRITE
        case Kind.PRODUCT | Kind.CATEGORY:
            return Scope.PRODUCTS_WRITE
        case Kind.BATCH:
            raise ValueError("a batch needs the scopes of what it holds: ask batch_uses")
        case Reading.BRAND:
            return Scope.BRANDS_READ
        case Reading.CONTACTS:
            return Scope.CONTACTS_READ
        case Reading.EVENTS:
            return Scope.EVENTS_READ
        case Reading.PRODUCTS:
            return Scope.PRODUCTS_READ
        case _:
            assert_never(use)


def permission_for(kind: Kind) -> str:
    """What a key or token needs for rows of a kind, for people: Omnisend's 403 does not say."""
    if kind is Kind.BATCH:
        return "to write and to read what is sent in batches (contacts, products or events: .write and .read)"
    return needed_scope(kind).value


def batch_uses(batched: Kind) -> tuple[Kind | Reading, ...]:
    """What sending a batch of a kind, and following it to its end, comes to."""
    match batched:
        case Kind.EVENT:
            return batched, Reading.EVENTS
        case Kind.CONTACT:
            return batched, Reading.CONTACTS
        case Kind.PRODUCT | Kind.CATEGORY:
            return batched, Reading.PRODUCTS
        case Kind.BATCH:
            raise ValueError("a batch holds no batches")
        case _:
            assert_never(batched)


def missing_scopes(granted: Iterable[str] | None, uses: Iterable[Kind | Reading]) -> tuple[Scope, ...]:
    """The scopes that ``uses`` need and ``granted`` lacks, each once; a batch is asked about as the kind it holds.

    ``granted`` is ``integrations_omnisend.scopes``. Of an API key it is ``None``, since Omnisend does not say what a
    key may do: then nothing is known to be missing.
    """
    return () if granted is None else lacking(granted, map(needed_scope, uses))


def lacking(granted: Iterable[str], wanted: Iterable[Scope]) -> tuple[Scope, ...]:
    """The scopes of ``wanted`` that ``granted`` lacks, in the order of ``Scope``."""
    held, asked = set(granted), set(wanted)
    return tuple(scope for scope in Scope if scope in asked and scope.value not in held)
