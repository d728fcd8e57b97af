"""The order that benchmarks write, as SOLDT's storefront does: one shape, told once."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID

ADDRESS: Final = {
    "address": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postal_code": "8001",
    "country": "South Africa",
}  # fmt: skip
ITEMS: Final = [
    {
        "product_id": 101, "variant_id": 1012, "title": "Linen shirt", "variant_title": "M", "price": 899.00,
        "quantity": 2, "image": "https://cdn.soldt.example/protea/shirt-m.jpg", "subtotal": 1798.00,
    },
    {
        "product_id": 102, "variant_id": None, "title": "Enamel mug", "variant_title": None, "price": 149.50,
        "quantity": 1, "image": "https://cdn.soldt.example/protea/mug.jpg", "subtotal": 149.50,
    },
]  # fmt: skip
CUSTOMERS: Final = 1_000_000

TEXTS: Final = {
    "address": json.dumps(ADDRESS),
    "items": json.dumps(ITEMS),
    "name": "Naledi van der Merwe",
    "phone": "082 123 4567",
    "note": "Please ring at the gate",
}
"""The values of ``INSERT`` that are the same in each order."""

INSERT: Final = """insert into public.orders (merchant_id, customer_email, customer_name, customer_phone,
  shipping_address, items, subtotal, shipping, tax, total, status, payment_status, payment_method, notes)
values ({merchant}, {email}, {name}, {phone}, {address}, {items},
  1947.50, 99.00, 254.02, 2046.50, 'pending', 'pending', 'payfast', {note})
returning id"""
"""To be formatted with a driver's placeholders for ``merchant``, ``email`` and ``TEXTS``."""

PSYCOPG_INSERT: Final = INSERT.format(**{name: f"%({name})s" for name in ("merchant", "email", *TEXTS)})


def as_json(merchant_id: UUID, email: str) -> dict[str, Any]:
    """The same as an object, for whoever inserts through the API."""
    return {
        "merchant_id": str(merchant_id),
        "customer_email": email,
        "customer_name": TEXTS["name"],
        "customer_phone": TEXTS["phone"],
        "shipping_address": ADDRESS,
        "items": ITEMS,
        "subtotal": 1947.50,
        "shipping": 99.00,
        "tax": 254.02,
        "total": 2046.50,
        "status": "pending",
        "payment_status": "pending",
        "payment_method": "payfast",
        "notes": TEXTS["note"],
    }
