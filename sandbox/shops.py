"""The people and shops of ``sandbox/soldt/shops.sql``, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A merchant, the ``auth.users`` ids of its admins, and ids of things it sells."""

    merchant_id: UUID
    owner_id: UUID
    member_ids: tuple[UUID, ...] = ()
    slug: str
    product_ids: tuple[int, ...]


PROTEA: Final = Shop(
    merchant_id=UUID("b0000000-0000-4000-8000-000000000001"),
    owner_id=UUID("a0000000-0000-4000-8000-000000000001"),
    member_ids=(UUID("a0000000-0000-4000-8000-000000000011"),),
    slug="protea",
    product_ids=(101, 102, 103),
)
KAROO: Final = Shop(
    merchant_id=UUID("b0000000-0000-4000-8000-000000000002"),
    owner_id=UUID("a0000000-0000-4000-8000-000000000002"),
    slug="karoo-leather",
    product_ids=(201, 202),
)
BO_KAAP: Final = Shop(
    merchant_id=UUID("b0000000-0000-4000-8000-000000000003"),
    owner_id=UUID("a0000000-0000-4000-8000-000000000003"),
    slug="bo-kaap-spices",
    product_ids=(301,),
)
SHOPS: Final = (PROTEA, KAROO, BO_KAAP)

STRANGER_ID: Final = UUID("a0000000-0000-4000-8000-000000000099")
"""A user who has an account and no shop."""
