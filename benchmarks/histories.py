"""What a shop has before it is told: a catalogue, and orders of last year without their events."""

from __future__ import annotations

from uuid import UUID

from sandbox.world import Database

_CATALOGUE = """
with made as (
  insert into public.products (merchant_id, title, description, price, inventory, images)
  select %(merchant)s, 'Product ' || n, repeat('A sentence of its description. ', 15), 10 + n %% 900, 5,
    array['https://cdn.soldt.example/' || n || '.jpg']
  from generate_series(1, %(products)s) n
  returning id
)
insert into public.product_variants (product_id, price, stock_quantity, sku, option_values)
select m.id, 20 + v, v %% 4, 'SKU-' || m.id || '-' || v, jsonb_build_object('size', v, 'colour', 'Blue')
from made m cross join generate_series(1, %(variants)s) v
"""
_AS_LAST_YEARS = """
update public.orders set created_at = timestamptz '2025-06-01 08:00:00Z' + id * interval '1 minute',
  updated_at = timestamptz '2025-06-01 09:00:00Z' + id * interval '1 minute'
"""


def write_catalogue(database: Database, merchant: UUID, *, products: int, variants: int) -> None:
    """Fill a shop that has no products."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute(_CATALOGUE, {"merchant": merchant, "products": products, "variants": variants})
        conn.execute("vacuum analyze public.products, public.product_variants")


def make_history(database: Database) -> None:
    """Make the orders there are last year's, placed before anybody was connected: with nothing in the outbox."""
    with database.connect(database.superuser, autocommit=True) as conn:
        conn.execute("set session_replication_role = replica")  # no triggers
        conn.execute(_AS_LAST_YEARS)
        conn.execute("truncate public.integrations_omnisend_outbox, public.integrations_omnisend_logs")
        conn.execute("vacuum analyze public.orders")


def catalogue_of(database: Database, merchant: UUID) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Title and variants' prices of each product, by id."""
    with database.connect(database.superuser) as conn:
        rows = conn.execute(
            """
            select p.id::text, p.title, array_agg(v.price::float8 order by v.id)
            from public.products p join public.product_variants v on v.product_id = p.id
            where p.merchant_id = %s group by p.id
            """,
            [merchant],
        ).fetchall()
    return {product: (title, tuple(prices)) for product, title, prices in rows}
