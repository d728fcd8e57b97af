"""From a change of the catalogue to the request that tells of it: the row is taken, the state is read, and mapped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from sandbox.shops import KAROO, PROTEA
from sandbox.world import Database
from soldt_outbox.catalogue import ShopCatalogue
from soldt_outbox.database import open_database
from soldt_outbox.errors import PayloadRejected
from soldt_outbox.json_objects import decode
from soldt_outbox.omnisend.mapping import changed_collection, changed_product, map_category, map_product
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest
from tests.support.selling import MUG, SHIRT, SUMMER, reprice, sync_shop, take, told, update
from tests.support.shop import admin

pytestmark = pytest.mark.both_majors

PROFILE = MerchantProfile(merchant_id=PROTEA.merchant_id, storefront_url="https://shop.protea.example")


@pytest.fixture
def shop(database: Database) -> Database:
    sync_shop(database)
    return database


@asynccontextmanager
async def catalogue_of(database: Database) -> AsyncIterator[ShopCatalogue]:
    """As the worker has it, in its own role."""
    async with open_database(database.url("omnisend_worker"), application_name="test") as opened:
        yield ShopCatalogue(opened)


async def requests(database: Database) -> list[OmnisendRequest]:
    """What a worker would send for the rows of the first shop that are due."""
    with database.connect("omnisend_worker", autocommit=True) as worker:
        products, categories = take(worker), take(worker, Kind.CATEGORY)
    async with catalogue_of(database) as catalogue:
        known = await catalogue.products((row.merchant_id, changed_product(row)) for row in products)
        named = await catalogue.collections((row.merchant_id, changed_collection(row)) for row in categories)
    return [map_product(row, PROFILE, known[row.merchant_id]) for row in products] + [
        map_category(row, PROFILE, named[row.merchant_id]) for row in categories
    ]


def change(database: Database, statement: str) -> None:
    with database.connect() as conn:
        conn.execute(statement)  # type: ignore[call-overload]


async def sent_of(database: Database, product_id: int) -> dict[str, Any]:
    """A product as it would be sent at this moment."""
    with database.connect() as conn:
        conn.execute("delete from public.integrations_omnisend_outbox")
        update(conn, "products", product_id, title=f"Product {product_id}")
    (request,) = await requests(database)
    return decode(request.body)


async def test_a_thousand_price_changes_while_paused_are_one_request_with_the_last_price(
    shop: Database,
) -> None:
    with admin(shop) as owner, shop.connect("omnisend_worker", autocommit=True) as worker:
        worker.execute(
            "insert into public.integrations_omnisend_lanes (merchant_id, paused_until) values (%s, now() + interval '1 hour')",
            [PROTEA.merchant_id],
        )
        for price in range(1, 1_001):
            reprice(owner, price + 0.5)
        assert await requests(shop) == []
        worker.execute("update public.integrations_omnisend_lanes set paused_until = null")
    (request,) = await requests(shop)
    assert (request.method, request.path) == ("PUT", "/products/102")
    assert [variant["price"] for variant in decode(request.body)["variants"]] == [Decimal("1000.5")]


async def test_a_shirt_as_the_sandbox_has_it(shop: Database) -> None:
    sent = await sent_of(shop, SHIRT)
    variants = [
        (variant["id"], variant["title"], variant["price"], variant["status"]) for variant in sent["variants"]
    ]
    assert variants == [
        ("1011", "Product 101 - S", 899, "inStock"),
        ("1012", "Product 101 - M", 899, "inStock"),
        ("1013", "Product 101 - XL", 949, "inStock"),
    ]
    assert (sent["status"], sent["categoryIDs"], len(sent["images"])) == ("inStock", ["11"], 2)


async def test_deletion_beats_what_happened_before_it(shop: Database) -> None:
    with admin(shop) as owner:
        reprice(owner, 5)
    change(shop, "delete from public.products where id = 102; delete from public.collections where id = 12")
    assert told(shop) == ["product 102", "category 12"]
    assert [(request.method, request.path) for request in await requests(shop)] == [
        ("DELETE", "/products/102"),
        ("DELETE", "/product-categories/12"),
    ]


async def test_a_product_that_is_back_is_sent_again(shop: Database) -> None:
    change(shop, "delete from public.products where id = 102")
    change(
        shop,
        f"insert into public.products (id, merchant_id, title, price, inventory) values (102, '{PROTEA.merchant_id}', 'Mug', 5, 1)",
    )
    assert [(request.method, request.path) for request in await requests(shop)] == [("PUT", "/products/102")]


async def test_another_merchants_product_is_deleted_at_the_one_and_sent_to_the_other(shop: Database) -> None:
    change(shop, f"update public.products set merchant_id = '{KAROO.merchant_id}' where id = 102")
    assert [request.method for request in await requests(shop)] == ["DELETE"]
    async with catalogue_of(shop) as catalogue:
        assert MUG in map(int, (await catalogue.products([(KAROO.merchant_id, MUG)]))[KAROO.merchant_id])


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("update public.products set inventory = 1 where id = 102", "inStock"),
        ("update public.products set inventory = 0 where id = 102", "outOfStock"),
        ("update public.products set inventory = -3 where id = 102", "outOfStock"),
        ("update public.products set inventory = null where id = 102", "inStock"),
        ("update public.products set status = 'draft' where id = 102", "notAvailable"),
        ("update public.products set status = 'Active ' where id = 102", "inStock"),
        ("alter table public.products add is_visible boolean default false", "notAvailable"),
        ("alter table public.products add visibility text default 'Hidden'", "notAvailable"),
        ("alter table public.products add visibility text default 'public'", "inStock"),
        ("alter table public.products drop status cascade", "inStock"),
        ("alter table public.products drop inventory", "inStock"),
        ("insert into public.product_variants (product_id, stock_quantity) values (102, 0), (102, -1)", "outOfStock"),
        ("insert into public.product_variants (product_id, stock_quantity) values (102, 0), (102, 1)", "inStock"),
        ("insert into public.product_variants (product_id, stock_quantity, is_active) values (102, 5, false)", "outOfStock"),
    ],
)  # fmt: skip
async def test_status_by_what_the_tables_hold(shop: Database, statement: str, status: str) -> None:
    change(shop, "alter table public.products alter inventory drop not null")
    change(shop, statement)
    assert (await sent_of(shop, MUG))["status"] == status


@pytest.mark.parametrize("column", ["compare_at_price", "compareAtPrice", "old_price"])
async def test_a_former_price_by_any_of_its_names(shop: Database, column: str) -> None:
    change(shop, f'alter table public.products add "{column}" numeric default 199.999')
    (variant,) = (await sent_of(shop, MUG))["variants"]
    assert (variant["price"], variant["strikeThroughPrice"]) == (Decimal("149.5"), 200)


async def test_names_in_several_languages_are_read_from_columns_of_json(shop: Database) -> None:
    change(
        shop,
        "alter table public.products alter title type jsonb using jsonb_build_object('en', title, 'af', 'Beker')",
    )
    change(
        shop, "alter table public.collections alter name type jsonb using jsonb_build_object('af', 'Somer')"
    )
    change(shop, "delete from public.integrations_omnisend_outbox")
    change(shop, "update public.products set price = 5 where id = 102")
    change(shop, """update public.collections set name = '{"af": "Somertyd"}' where id = 11""")
    product, category = await requests(shop)
    assert decode(product.body)["title"] == "Enamel mug"
    assert decode(category.body) == {"title": "Somertyd"}


async def test_a_row_that_cannot_be_read_is_rejected_and_not_deleted(shop: Database) -> None:
    change(shop, "alter table public.products alter description type jsonb using to_jsonb(description)")
    change(
        shop,
        """update public.products set description = (repeat('[', 3000) || repeat(']', 3000))::jsonb where id = 102""",
    )
    with pytest.raises(PayloadRejected, match=r"^product: is nested too deeply"):
        await requests(shop)


@pytest.mark.parametrize("table", ["product_variants", "collection_products", "collections"])
async def test_a_shop_without_variants_or_collections_still_sells(shop: Database, table: str) -> None:
    change(shop, f"drop table public.{table} cascade")
    assert len((await sent_of(shop, SHIRT))["variants"]) == (1 if table == "product_variants" else 3)


@pytest.mark.parametrize(
    "broken",
    [
        """
        revoke execute on function omnisend_private.shop_products(uuid[], bigint[]),
          omnisend_private.shop_collections(uuid[], bigint[]) from omnisend_worker
        """,
        "drop table public.products, public.collections cascade",
    ],
    ids=["revoked", "no tables"],
)
async def test_a_look_up_that_fails_says_of_nothing_that_it_is_gone(shop: Database, broken: str) -> None:
    change(shop, broken)
    async with catalogue_of(shop) as catalogue:
        with pytest.raises(psycopg.Error):
            await catalogue.products([(PROTEA.merchant_id, MUG)])
        with pytest.raises(psycopg.Error):
            await catalogue.collections([(PROTEA.merchant_id, SUMMER)])


async def test_who_was_asked_for_has_an_entry(shop: Database) -> None:
    async with catalogue_of(shop) as catalogue:
        wanted = [
            (PROTEA.merchant_id, MUG),
            (PROTEA.merchant_id, MUG),
            (PROTEA.merchant_id, 999),
            (KAROO.merchant_id, MUG),
        ]
        found = await catalogue.products(wanted)
        assert {merchant: set(products) for merchant, products in found.items()} == {
            PROTEA.merchant_id: {"102"},
            KAROO.merchant_id: set(),
        }
        assert await catalogue.products([]) == {}
        assert (await catalogue.collections([(PROTEA.merchant_id, SUMMER)]))[PROTEA.merchant_id][
            "11"
        ].name == "Summer"
