"""The products and product categories of a brand."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Product(msgspec.Struct, gc=False):
    """A product as it was last sent, undecoded: tens of thousands of them are kept."""

    product_id: str
    body: bytes
    created_at: datetime
    updated_at: datetime
    replaced: int = 0
    """How often it was replaced."""


class Category(msgspec.Struct, gc=False):
    category_id: str
    title: str
    created_at: datetime
    updated_at: datetime


class Catalogue:
    """What a brand sells."""

    def __init__(self) -> None:
        self.products: dict[str, Product] = {}
        self.categories: dict[str, Category] = {}
