"""Products and categories: created, replaced, listed, deleted, and what the documentation does not allow."""

import json
from typing import Any

import pytest

from sandbox.omnisend import StandInControl

VARIANT: dict[str, Any] = {
    "id": "v_1",
    "title": "T-shirt, S",
    "price": 19.99,
    "strikeThroughPrice": 29.99,
    "status": "inStock",
    "sku": "TS-S",
    "url": "https://shop.example/p/123?variant=1",
}
PRODUCT: dict[str, Any] = {
    "id": "p_123",
    "title": "T-shirt",
    "status": "inStock",
    "currency": "ZAR",
    "url": "https://shop.example/p/123",
    "description": "A shirt",
    "type": "apparel",
    "vendor": "ACME",
    "defaultImageUrl": "https://cdn.example/1.jpg",
    "images": ["https://cdn.example/1.jpg"],
    "tags": ["summer"],
    "categoryIDs": ["cat_1"],
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-02-01T00:00:00Z",
    "variants": [VARIANT],
}


def product(**changes):
    return {name: value for name, value in (PRODUCT | changes).items() if value is not ...}


def variant(**changes):
    changed = {name: value for name, value in (VARIANT | changes).items() if value is not ...}
    return product(variants=[changed])


async def test_a_product_is_created_read_replaced_and_deleted(omnisend, shop):
    answer = await shop.new("POST", "/products", PRODUCT)
    assert (answer.status, answer.json()) == (201, {"id": "p_123"})
    assert (await shop.new("GET", "/products/p_123")).json() == PRODUCT
    other = product(title="Shirt", description=..., updatedAt="2026-03-01T00:00:00Z")
    answer = await shop.new("PUT", "/products/p_123", other)
    assert (answer.status, answer.json()) == (200, {"id": "p_123"})
    assert (await shop.new("GET", "/products/p_123")).json() == other
    answer = await shop.new("DELETE", "/products/p_123")
    assert (answer.status, answer.body) == (204, b"")
    assert (await shop.new("GET", "/products/p_123")).status == 404
    assert omnisend.summary().total.findings == {}


async def test_a_product_that_exists_is_409_in_the_new_version_and_422_in_version_5(shop):
    assert (await shop.old("POST", "/products", PRODUCT)).status == 201
    answer = await shop.new("POST", "/products", PRODUCT)
    assert (answer.status, answer.json()["status"]) == (409, 409)
    answer = await shop.old("POST", "/products", PRODUCT)
    assert (answer.status, answer.json()) == (
        422,
        {"error": "Product with 'p_123' productID already exists"},
    )


async def test_an_unknown_product_is_not_replaced(omnisend, shop):
    for call in (shop.new, shop.old):
        assert (await call("PUT", "/products/p_123", PRODUCT)).status == 404
    assert omnisend.products(shop.brand.brand_id) == []


async def test_deleting_what_is_not_there_is_done_in_the_new_version_and_404_in_version_5(shop):
    for path in ("/products/p_123", "/product-categories/c_1"):
        assert (await shop.new("DELETE", path)).status == 204
        assert (await shop.old("DELETE", path)).status == 404


async def test_the_id_in_the_path_must_be_that_in_the_body(shop):
    await shop.new("POST", "/products", PRODUCT)
    answer = await shop.new("PUT", "/products/p_124", PRODUCT)
    assert (answer.status, [one["code"] for one in answer.json()["errors"]]) == (400, ["id_mismatch"])


WRONG = [
    (product(id=...), "id"),
    (product(id="p.123"), "id"),
    (product(id="gid://shop/1"), "id"),
    (product(id="x" * 101), "id"),
    (product(id=123), "id"),
    (product(title="x" * 256), "title"),
    (product(title=""), "title"),
    (product(currency="zar"), "currency"),
    (product(currency=...), "currency"),
    (product(status="in_stock"), "status"),
    (product(url="/p/123"), "url"),
    (product(url="https://shop.example/" + "x" * 1000), "url"),
    (product(description="x" * 1001), "description"),
    (product(type="x" * 101), "type"),
    (product(vendor="x" * 101), "vendor"),
    (product(defaultImageUrl="1.jpg"), "defaultImageUrl"),
    (product(images=["https://cdn.example/1.jpg"] * 301), "images"),
    (product(images=["1.jpg"]), "images[0]"),
    (product(tags=["x"] * 101), "tags"),
    (product(tags="summer"), "tags"),
    (product(categoryIDs=["a b"]), "categoryIDs[0]"),
    (product(categoryIDs=["x"] * 101), "categoryIDs"),
    (product(createdAt="2026-01-01T00:00:00.000Z"), "createdAt"),
    (product(updatedAt="2026-01-01T00:00:00+02:00"), "updatedAt"),
    (product(variants=...), "variants"),
    (product(variants=[]), "variants"),
    (product(variants=[VARIANT] * 501), "variants"),
    (variant(id="v 1"), "variants[0].id"),
    (variant(title=...), "variants[0].title"),
    (variant(url=...), "variants[0].url"),
    (variant(price=...), "variants[0].price"),
    (variant(price="19.99"), "variants[0].price"),
    (variant(price=19.999), "variants[0].price"),
    (variant(price=-1), "variants[0].price"),
    (variant(strikeThroughPrice=29.999), "variants[0].strikeThroughPrice"),
    (variant(status=...), "variants[0].status"),
    (variant(sku="x" * 256), "variants[0].sku"),
]


@pytest.mark.parametrize(("content", "path"), WRONG)
async def test_what_the_documentation_does_not_allow_is_400_in_both_versions(omnisend, shop, content, path):
    answer = await shop.new("POST", "/products", content)
    assert (answer.status, [one["field"] for one in answer.json()["errors"]]) == (400, [path])
    answer = await shop.old("POST", "/products", content)
    assert (answer.status, list(answer.json()["fields"])) == (400, [path])
    assert omnisend.products(shop.brand.brand_id) == []


SILENT = [
    (product(productUrl="https://shop.example/p/123"), "field_unknown", "productUrl"),
    (product(description=None), "null", "description"),
    (variant(oldPrice=2999), "field_unknown", "variants[0].oldPrice"),
    (product(variants=[VARIANT, VARIANT]), "variant_id_repeated", "variants[1].id"),
]


@pytest.mark.parametrize(("content", "code", "path"), SILENT)
async def test_what_omnisend_takes_without_a_word_is_found(omnisend, shop, content, code, path):
    assert (await shop.new("POST", "/products", content)).status == 201
    assert [(one.code, one.path) for one in omnisend.received()[0].findings] == [(code, path)]


async def test_products_are_listed_in_pages(shop):
    for number in range(3):
        await shop.new("POST", "/products", product(id=f"p{number}"))
    first = (await shop.new("GET", "/products?limit=2&sort=createdAt")).json()
    assert [one["id"] for one in first["products"]] == ["p0", "p1"]
    paging = first["paging"]
    assert (paging["limit"], paging["offset"], paging["previous"]) == (2, 0, None)
    path = paging["next"].partition("/api")[2]
    second = (await shop.new("GET", path)).json()
    assert [one["id"] for one in second["products"]] == ["p2"]
    assert second["paging"]["next"] is None
    for query in ("limit=0", "offset=-1", "sort=price", "after=1"):
        assert (await shop.new("GET", f"/products?{query}")).status == 400


@pytest.mark.parametrize("version", ["old", "new"])
async def test_a_category_is_created_renamed_listed_and_deleted(omnisend, shop, version):
    call = getattr(shop, version)
    answer = await call("POST", "/product-categories", {"categoryID": "c_1", "title": "Shirts"})
    assert (answer.status, answer.json()) == (201, {"categoryID": "c_1"})
    again = await call("POST", "/product-categories", {"categoryID": "c_1", "title": "Shirts"})
    assert again.status == (422 if version == "old" else 409)
    answer = await call("PATCH", "/product-categories/c_1", {"title": "Tops"})
    assert (answer.status, answer.json()) == (200, {"categoryID": "c_1"})
    assert (await call("GET", "/product-categories/c_1")).json()["title"] == "Tops"
    listed = (await call("GET", "/product-categories?sort=title")).json()
    assert [one["categoryID"] for one in listed["categories"]] == ["c_1"]
    assert [one.title for one in omnisend.categories(shop.brand.brand_id)] == ["Tops"]
    assert (await call("DELETE", "/product-categories/c_1")).status == 204
    for method, content in (("GET", None), ("PATCH", {"title": "Tops"})):
        assert (await call(method, "/product-categories/c_1", content)).status == 404


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"categoryId": "c_1", "title": "Shirts"}, "categoryID"),
        ({"categoryID": "", "title": "Shirts"}, "categoryID"),
        ({"categoryID": "x" * 101, "title": "Shirts"}, "categoryID"),
        ({"categoryID": "c_1"}, "title"),
        ({"categoryID": "c_1", "title": "x" * 256}, "title"),
    ],
)
async def test_a_category_that_cannot_be_is_400(omnisend, shop, content, path):
    answer = await shop.new("POST", "/product-categories", content)
    assert (answer.status, [one["field"] for one in answer.json()["errors"]]) == (400, [path])
    assert omnisend.categories(shop.brand.brand_id) == []


async def test_the_catalogue_needs_its_own_permission(omnisend, shop):
    reader = omnisend.add_brand(permissions=["products.read"])
    assert (await shop.old("POST", "/products", PRODUCT, X_API_KEY=reader.key)).status == 403
    assert (await shop.old("GET", "/products", X_API_KEY=reader.key)).status == 200
    sender = omnisend.add_brand(permissions=["events.write"])
    assert (await shop.old("GET", "/product-categories", X_API_KEY=sender.key)).status == 403


async def test_the_catalogue_is_read_over_http(omnisend, shop, in_thread):
    for number in range(3):
        await shop.new("POST", "/products", product(id=f"p{number}"))
    await shop.new("PUT", "/products/p1", product(id="p1", title="Other"))
    await shop.new("POST", "/product-categories", {"categoryID": "c_1", "title": "Shirts"})
    brand = shop.brand.brand_id

    def read():
        with StandInControl(omnisend.url) as control:
            return control.products(brand), control.categories(brand)

    products, categories = await in_thread(read)
    assert [(one.product_id, one.replaced) for one in products] == [("p0", 0), ("p1", 1), ("p2", 0)]
    assert products[1].content["title"] == "Other"
    assert json.loads(bytes(products[0].body)) == product(id="p0")
    assert [(one.category_id, one.title) for one in categories] == [("c_1", "Shirts")]
