"""Syncs of a shop: catalogues and orders in bulk, a sync started and waited for, and Omnisend's side compared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sandbox.shops import PROTEA, Shop
from soldt_outbox.database import open_database
from soldt_outbox.omnisend.batches import Resource
from soldt_outbox.syncs import Sync, SyncMode, Syncs
from tests.support.worker import Scene, until


@asynccontextmanager
async def syncs(scene: Scene) -> AsyncIterator[Syncs]:
    """As a command holds them."""
    async with open_database(scene.database.url("omnisend_worker"), application_name="test") as database:
        yield Syncs(database)


async def start(
    scene: Scene,
    resource: Resource,
    mode: SyncMode = SyncMode.DELTA,
    *,
    shop: Shop = PROTEA,
    chunk_size: int = 100,
    since: datetime | None = None,
) -> int:
    """Start a sync and write all its rows; its id."""
    async with syncs(scene) as held:
        sync, fresh = await held.start(shop.merchant_id, resource, mode, chunk_size=chunk_size, since=since)
        assert fresh, "another is not finished"
        while await held.write(sync.id):
            pass
    return sync.id


async def finished(scene: Scene, sync: int) -> Sync:
    """Wait until nothing waits of a sync; how it ended."""
    async with syncs(scene) as held:

        def nothing_waits() -> bool:
            return not scene.query(
                """
                select id from integrations_omnisend_outbox
                where kind = 'batch' and state = 'pending' and payload ->> 'sync' = %s::text limit 1
                """,
                [sync],
            )

        await until(nothing_waits, "nothing of the sync waits")
        await held.finish()
        ended = await held.get(sync)
    assert ended is not None
    return ended


def fill_products(scene: Scene, count: int, *, shop: Shop = PROTEA, variants: int = 2) -> None:
    """Products with variants, in one statement, ids from 10,000 on."""
    scene.query("delete from products where merchant_id = %s", [shop.merchant_id])
    scene.query(
        """
        with made as (
          insert into products (id, merchant_id, title, description, price, inventory)
          select 10000 + n, %s, 'Product ' || n, repeat('Words of description. ', 20), 10 + n %% 90, 5
          from generate_series(1, %s) n
          returning id
        )
        insert into product_variants (product_id, price, stock_quantity, sku, option_values)
        select m.id, 20 + v, 3, 'SKU-' || m.id || '-' || v, jsonb_build_object('size', v)
        from made m cross join generate_series(1, %s) v
        """,
        [shop.merchant_id, count, variants],
    )


def fill_orders(scene: Scene, count: int, *, shop: Shop = PROTEA) -> None:
    """Orders of as many customers, a third of them paid, from before the shop was connected: without a row in the outbox."""
    scene.query(
        """
        insert into orders (merchant_id, customer_email, customer_name, shipping_address, items, subtotal, tax, total, payment_status, payment_method,
          created_at, updated_at)
        select %s, 'customer-' || n || '@example.com', 'Customer ' || n, '{"city": "Cape Town"}',
          '[{"product_id": 102, "title": "Enamel mug", "quantity": 1, "price": 149.5}]', 149.5, 0, 149.5,
          case when n %% 3 = 0 then 'paid' else 'pending' end, 'card',
          timestamptz '2026-01-01 08:00:00Z' + n * interval '1 minute', timestamptz '2026-01-01 09:00:00Z' + n * interval '1 minute'
        from generate_series(1, %s) n
        """,
        [shop.merchant_id, count],
    )
    scene.query("delete from integrations_omnisend_outbox where merchant_id = %s", [shop.merchant_id])


def catalogue_in_shop(scene: Scene, shop: Shop = PROTEA) -> dict[str, Any]:
    """Title and prices of each product, as the shop has them."""
    rows = scene.query(
        """
        select p.id, p.title, array_agg(coalesce(v.price, p.price)::float8 order by v.id) as prices
        from products p join product_variants v on v.product_id = p.id and v.is_active
        where p.merchant_id = %s group by p.id
        """,
        [shop.merchant_id],
    )
    return {str(row["id"]): (row["title"], row["prices"]) for row in rows}


def catalogue_at_omnisend(scene: Scene, brand: str) -> dict[str, Any]:
    """The same, as Omnisend has them."""
    found = {}
    for product in scene.omnisend.products(brand):
        content = product.content
        prices = [float(variant["price"]) for variant in content["variants"]]
        found[product.product_id] = (content["title"], prices)
    return found
