"""Products of line items, as the worker looks them up and events tell of them: one text or several languages, text or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.catalogue import ShopCatalogue
from soldt_outbox.database import open_database
from soldt_outbox.migrations import migrations
from soldt_outbox.omnisend.mapping.urls import images
from soldt_outbox.rows import CatalogueProduct
from soldt_outbox.store import Budget, Store
from tests.support.selling import MUG
from tests.unit.omnisend.shapes import MERCHANT, sent

pytestmark = pytest.mark.both_majors

TEXTS = {"en": "Mug", "af": "Beker"}
TO_JSON = """
    alter table public.products alter title type jsonb using to_jsonb(title), alter description type jsonb using to_jsonb(description);
    alter table public.collections alter name type jsonb using to_jsonb(name);
"""
COLUMNS = pytest.mark.parametrize("columns", ["", TO_JSON], ids=["text", "jsonb"])


def write(database: Database, columns: str, title: Any, description: Any, name: Any) -> None:
    """Texts of the mug and of its collections; in columns of JSON an object is one, in columns of text its JSON text."""
    as_json = bool(columns)
    values = [
        json.dumps(value) if as_json or not isinstance(value, str) else value
        for value in (title, description, name)
    ]
    with database.connect() as conn:
        conn.execute(columns)  # type: ignore[call-overload]
        conn.execute("update public.products set title = %s, description = %s where id = 102", values[:2])
        conn.execute("update public.collections set name = %s", values[2:])


async def looked_up(database: Database) -> CatalogueProduct:
    """The mug, by the worker's own look-up in its own role."""
    async with open_database(database.url("omnisend_worker"), application_name="test") as opened:
        store = Store(opened, budget=Budget.below(400))
        return (await store.catalogue([(PROTEA.merchant_id, MUG)]))[PROTEA.merchant_id][str(MUG)]


async def told(database: Database, locale: str = "en") -> dict[str, Any]:
    """The line item of an order of the mug, without what only the payload can say."""
    items = [{"product_id": MUG, "price": 5, "quantity": 1}]
    order = {"contact": {"email": "a@b.za"}, "properties": {"orderID": "1", "total": 5, "lineItems": items}}
    body = sent(
        "order_placed",
        order,
        merchant=replace(MERCHANT, locale=locale),
        catalogue={str(MUG): await looked_up(database)},
    )
    item: dict[str, Any] = body["properties"]["lineItems"][0]
    return item


@COLUMNS
@pytest.mark.parametrize(("locale", "said"), [("en", "Mug"), ("af-ZA", "Beker")], ids=["en", "af-ZA"])
async def test_texts_in_several_languages_are_told_in_the_merchants(
    database: Database, columns: str, locale: str, said: str
) -> None:
    write(database, columns, TEXTS, TEXTS, TEXTS)
    item = await told(database, locale)
    assert (item["productTitle"], item["productDescription"]) == (said, said)
    assert item["productCategories"] == [{"id": "11", "title": said}, {"id": "12", "title": said}]


@COLUMNS
@pytest.mark.parametrize("said", ["Enamel mug", "[New] mug", '{"mug"', '"Mug"', "5"])
async def test_text_stays_text(database: Database, columns: str, said: str) -> None:
    write(database, columns, said, said, said)
    item = await told(database)
    assert (item["productTitle"], item["productDescription"]) == (said, said)
    assert item["productCategories"] == [{"id": "11", "title": said}, {"id": "12", "title": said}]


@COLUMNS
@pytest.mark.parametrize("written", [[1, 2], {}, {"en": {"html": "Mug"}}, {"en": None}], ids=json.dumps)
async def test_json_that_holds_no_text_is_none(database: Database, columns: str, written: Any) -> None:
    write(database, columns, "Mug", written, "Mugs")
    description = (await told(database)).get("productDescription")
    assert description == ("[1, 2]" if written == [1, 2] and not columns else None)


@COLUMNS
@pytest.mark.parametrize(
    "description",
    ["m" * 500_000, {"en": "m" * 500_000, "af": "b" * 500_000}, "{" + "m" * 500_000],
    ids=["text", "languages", "no JSON"],
)
async def test_a_huge_description_is_cut_where_it_is_sound_and_does_not_travel(
    database: Database, columns: str, description: Any
) -> None:
    write(database, columns, "Mug", description, "Mugs")
    whole = description["en"] if isinstance(description, dict) else description
    assert len((await looked_up(database)).description) < 2_100
    assert (await told(database))["productDescription"] == whole[:1_000]


@pytest.mark.world(migrations=False)
async def test_a_look_up_that_was_revoked_stays_revoked(make_database: Callable[..., Database]) -> None:
    database = make_database(migrations=False)
    with database.connect(autocommit=True) as conn:
        for migration in migrations():
            if migration.name == "omnisend_catalogue_texts":
                conn.execute("revoke execute on function omnisend_private.catalogue from omnisend_worker")
            with conn.transaction():
                conn.execute(migration.sql)  # type: ignore[call-overload]
    async with open_database(database.url("omnisend_worker"), application_name="test") as opened:
        assert not await Store(opened, budget=Budget.below(400)).catalogue_granted()


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("text[]", ["/mug.jpg", "https://cdn.example/1.jpg", "https://cdn.example/2.jpg"]),
        ("jsonb", '[null, "/mug.jpg", "https://cdn.example/1.jpg"]'),
        ("text", '["https://cdn.example/1.jpg"]'),
        ("text", "https://cdn.example/1.jpg"),
    ],
    ids=["array", "jsonb", "JSON text", "text"],
)
async def test_the_image_is_the_first_that_the_catalogue_has_too(
    database: Database, column: str, written: Any
) -> None:
    with database.connect() as conn:
        conn.execute("alter table public.products drop images")
        conn.execute(f"alter table public.products add images {column}")  # type: ignore[arg-type]
        conn.execute("update public.products set images = %s where id = 102", [written])
    assert (await told(database))["productImageURL"] == "https://cdn.example/1.jpg"
    async with open_database(database.url("omnisend_worker"), application_name="test") as opened:
        products = await ShopCatalogue(opened).products([(PROTEA.merchant_id, MUG)])
    assert next(images(products[PROTEA.merchant_id][str(MUG)].images)) == "https://cdn.example/1.jpg"


async def test_variants_that_cannot_be_read_are_left_out_and_the_product_is_told(database: Database) -> None:
    with database.connect() as conn:
        conn.execute(
            """insert into public.product_variants (product_id, option_values)
            values (102, (repeat('[', 3000) || repeat(']', 3000))::jsonb)"""
        )
    assert (await looked_up(database)).variants == {}
    assert (await told(database))["productTitle"] == "Enamel mug"
