"""Products and categories: what a shop's tables hold becomes what Omnisend takes, in both versions of the API."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping import map_category, map_product
from soldt_outbox.omnisend.mapping.catalogue import ShopCollection, ShopProduct, ShopVariant
from soldt_outbox.rows import Kind, MerchantProfile
from tests.unit.omnisend.shapes import MERCHANT, parse
from tests.unit.omnisend.shapes import row as event_row
from tests.unit.omnisend.test_mapping_anything import json_values

SHIRT = ShopProduct(
    id="17",
    title="T-shirt",
    description="Washed linen",
    price=Decimal("199.90"),
    strike_through=Decimal("249.90"),
    category="Clothing",
    vendor="ACME",
    tags=["summer", "linen"],
    images=["https://cdn.example/1.jpg", "https://cdn.example/2.jpg"],
    created_at="2026-11-21T12:00:00.123456+02:00",
    updated_at="2026-11-22T10:00:00+00:00",
    variants=(
        ShopVariant(id="42", sku="TS-L", option_values={"Size": "L", "Colour": "Red"}),
        ShopVariant(
            id="43",
            price=250,
            option_values={"Size": "XL"},
            sold_out=True,
            image_url="https://cdn.example/xl.jpg",
        ),
        ShopVariant(id="44", active=False),
    ),
    collections=("3", "9"),
)
MUG = ShopProduct(id="18", title="Mug", price=50)


def changed(product_id="17", **payload):
    return event_row(
        "product_changed", {"product_id": product_id} | payload, f"{product_id}:9", kind=Kind.PRODUCT
    )


def renamed(collection_id="5"):
    return event_row(
        "category_changed", {"collection_id": collection_id}, f"{collection_id}:9", kind=Kind.CATEGORY
    )


def request(product, *, merchant=MERCHANT):
    return map_product(changed(product.id), merchant, {product.id: product})


def body(product, **options):
    return parse(request(product, **options).body)


def having(product=MUG, **fields):
    return ShopProduct(**{name: getattr(product, name) for name in ShopProduct.__slots__} | fields)


# -- requests ------------------------------------------------------------------------------------------------------


def test_a_product_with_variants_as_omnisend_has_it():
    page = "https://tea.example.co.za/product/17"
    assert body(SHIRT) == {
        "id": "17",
        "title": "T-shirt",
        "status": "inStock",
        "currency": "ZAR",
        "url": page,
        "description": "Washed linen",
        "type": "Clothing",
        "vendor": "ACME",
        "defaultImageUrl": "https://cdn.example/1.jpg",
        "images": ["https://cdn.example/1.jpg", "https://cdn.example/2.jpg"],
        "tags": ["summer", "linen"],
        "categoryIDs": ["3", "9"],
        "createdAt": "2026-11-21T10:00:00Z",
        "updatedAt": "2026-11-22T10:00:00Z",
        "variants": [
            {
                "id": "42",
                "title": "T-shirt - L / Red",
                "url": page,
                "status": "inStock",
                "price": Decimal("199.90"),
                "strikeThroughPrice": Decimal("249.90"),
                "sku": "TS-L",
            },
            {
                "id": "43",
                "title": "T-shirt - XL",
                "url": page,
                "status": "outOfStock",
                "price": 250,
                "defaultImageUrl": "https://cdn.example/xl.jpg",
            },
        ],
    }


def test_a_product_is_replaced_else_created_else_replaced():
    replace = request(MUG)
    create = replace.otherwise
    again = create.otherwise
    assert [(r.method, r.path) for r in (replace, create, again)] == [
        ("PUT", "/products/18"),
        ("POST", "/products"),
        ("PUT", "/products/18"),
    ]
    assert replace.body == create.body == again.body
    assert again.otherwise is None, "a product that comes and goes is tried again later"


def test_a_product_that_is_gone_is_deleted():
    gone = map_product(changed("17"), MERCHANT, {"18": MUG})
    assert (gone.method, gone.path, gone.body, gone.otherwise) == ("DELETE", "/products/17", b"", None)


def test_a_category_is_renamed_else_created_else_renamed():
    rename = map_category(renamed(), MERCHANT, {"5": ShopCollection(id="5", name="Summer")})
    create = rename.otherwise
    assert (rename.method, rename.path, parse(rename.body)) == (
        "PATCH",
        "/product-categories/5",
        {"title": "Summer"},
    )
    assert (create.method, create.path, parse(create.body)) == (
        "POST",
        "/product-categories",
        {"categoryID": "5", "title": "Summer"},
    )
    assert (create.otherwise.method, create.otherwise.path) == ("PATCH", "/product-categories/5")
    assert create.otherwise.otherwise is None
    gone = map_category(renamed(), MERCHANT, {})
    assert (gone.method, gone.path, gone.body) == ("DELETE", "/product-categories/5", b"")


@pytest.mark.parametrize(
    "payload", [None, {}, [], "x", {"product_id": "a1"}, {"product_id": -3}, {"product_id": "9" * 19}]
)
def test_a_row_that_names_no_product_deletes_none(payload):
    row = event_row("product_changed", payload, kind=Kind.PRODUCT)
    with pytest.raises(PayloadRejected, match=r"^product_id:"):
        map_product(row, MERCHANT, {})
    with pytest.raises(PayloadRejected, match=r"^collection_id:"):
        map_category(row, MERCHANT, {})


# -- what is needed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "field"),
    [
        (having(title=None), "title"),
        (having(title={"af": " ", "en": None}), "title"),
        (having(title=["Mug"]), "title"),
        (having(price=None), "price"),
        (having(price=-1), "price"),
        (having(price="R50"), "price"),
        (having(price=Decimal("NaN")), "price"),
        (having(variants=(ShopVariant(id="9", price=-1),)), r"variants\[9\]\.price"),
        (having(price=None, variants=(ShopVariant(id="8", price=5), ShopVariant(id="9"))), "price"),
        (having(problem="is nested too deeply"), "product"),
        (
            having(
                variants=tuple(
                    ShopVariant(id=str(n), sku="🫖" * 255, image_url="https://cdn.example/" + "i" * 980, option_values={"a": "🫖" * 100})
                    for n in range(500)
                )
            ),
            "variants",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_rejected_by_the_products_field(product, field):
    with pytest.raises(PayloadRejected, match=rf"^{field}:"):
        request(product)


def test_a_shop_without_an_address_sells_nothing():
    with pytest.raises(PayloadRejected, match=r"^url:"):
        request(MUG, merchant=MerchantProfile(merchant_id=MERCHANT.merchant_id, storefront_url=None))


def test_a_category_without_a_name_is_rejected():
    with pytest.raises(PayloadRejected, match=r"^name:"):
        map_category(renamed(), MERCHANT, {"5": ShopCollection(id="5", name={})})


def test_a_price_of_each_variant_stands_in_for_the_products():
    variants = (ShopVariant(id="8", price=5), ShopVariant(id="9", active=False))
    assert [v["price"] for v in body(having(price=None, variants=variants))["variants"]] == [5]


# -- prices, stock, titles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "before", "sent"),
    [
        (Decimal("19.995"), None, {"price": "20.00"}),
        (Decimal("19.994"), None, {"price": "19.99"}),
        ("0", None, {"price": "0.00"}),
        (50, 60, {"price": "50.00", "strikeThroughPrice": "60.00"}),
        (50, 50, {"price": "50.00"}),
        (50, 40, {"price": "50.00"}),
        (50, Decimal("50.004"), {"price": "50.00"}),
        (50, -60, {"price": "50.00"}),
        (50, "was 60", {"price": "50.00"}),
    ],
)
def test_prices_are_to_the_cent_and_one_that_was_higher_is_struck_through(price, before, sent):
    (variant,) = body(having(price=price, strike_through=before))["variants"]
    found = {name: f"{variant[name]:.2f}" for name in ("price", "strikeThroughPrice") if name in variant}
    assert found == sent


def test_a_variants_own_former_price_comes_before_the_products():
    variants = (ShopVariant(id="1", strike_through=70), ShopVariant(id="2"))
    found = body(having(strike_through=60, variants=variants))["variants"]
    assert [variant["strikeThroughPrice"] for variant in found] == [70, 60]


def stocked(*sold_out, active=True):
    return tuple(ShopVariant(id=str(n), sold_out=gone, active=active) for n, gone in enumerate(sold_out))


@pytest.mark.parametrize(
    ("product", "status", "of_variants"),
    [
        (having(), "inStock", ["inStock"]),
        (having(sold_out=True), "outOfStock", ["outOfStock"]),
        (having(sold_out=True, visible=False), "notAvailable", ["notAvailable"]),
        (having(variants=stocked(True, False)), "inStock", ["outOfStock", "inStock"]),
        (having(variants=stocked(True, True)), "outOfStock", ["outOfStock", "outOfStock"]),
        (having(sold_out=True, variants=stocked(False)), "inStock", ["inStock"]),
        (having(visible=False, variants=stocked(False)), "notAvailable", ["notAvailable"]),
        (having(variants=stocked(False, active=False)), "outOfStock", ["outOfStock"]),
    ],
)
def test_status_comes_from_visibility_and_then_from_stock(product, status, of_variants):
    sent = body(product)
    assert sent["status"] == status
    assert [variant["status"] for variant in sent["variants"]] == of_variants


def test_a_product_without_variants_has_one_with_its_own_id():
    (variant,) = body(MUG)["variants"]
    assert variant == {
        "id": "18",
        "title": "Mug",
        "url": "https://tea.example.co.za/product/18",
        "status": "inStock",
        "price": 50,
    }


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"Size": "L", "Colour": "Red"}, "Mug - L / Red"),
        ('{"Size": "L"}', "Mug - L"),
        ({"Size": 8.5}, "Mug - 8.5"),
        ({"Size": "", "Colour": None, "Cut": []}, "Mug"),
        ({}, "Mug"),
        (["L"], "Mug"),
        ("L", "Mug"),
        (None, "Mug"),
    ],
)
def test_a_variants_title_has_its_options(options, title):
    (variant,) = body(having(variants=(ShopVariant(id="1", option_values=options),)))["variants"]
    assert variant["title"] == title


def test_of_a_long_title_the_options_stay():
    (variant,) = body(having(title="x" * 300, variants=(ShopVariant(id="1", option_values={"Size": "L"}),)))[
        "variants"
    ]
    assert variant["title"] == "x" * 251 + " - L"


# -- languages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "locale", "sent"),
    [
        ({"en": "Mug", "af": "Beker"}, "af", "Beker"),
        ({"en": "Mug", "af": "Beker"}, "af-ZA", "Beker"),
        ({"en": "Mug", "af": "Beker", "af_ZA": "Bekertjie"}, "af-ZA", "Bekertjie"),
        ({"en": "Mug", "af": "Beker"}, "xh", "Mug"),
        ({"zu": "Inkomishi", "af": "Beker", "aa": " "}, "xh", "Beker"),
        ({"en": "", "af": "Beker"}, "en", "Beker"),
        ('{"en": "Mug", "af": "Beker"}', "af", "Beker"),
        ("Beker", "en", "Beker"),
        ("[New] Mug", "en", "[New] Mug"),
        ("{Mug", "en", "{Mug"),
    ],
)
def test_the_merchants_language_is_sent_else_english_else_the_first(title, locale, sent):
    product = having(title=title, description=title, category=title)
    found = body(product, merchant=replace(MERCHANT, locale=locale))
    assert (found["title"], found["description"], found["type"]) == (sent, sent, sent)
    merchant = replace(MERCHANT, locale=locale)
    category = map_category(renamed(), merchant, {"5": ShopCollection(id="5", name=title)})
    assert parse(category.body) == {"title": sent}


# -- bounds --------------------------------------------------------------------------------------------------------


def test_what_is_longer_than_omnisend_takes_is_cut_or_left_out():
    long = having(
        title="t" * 300,
        description="d" * 1_100,
        category="c" * 200,
        vendor="v" * 200,
        tags=["g" * 200] * 150,
        images=["https://cdn.example/" + "i" * 1_000] + [f"https://cdn.example/{n}.jpg" for n in range(400)],
        collections=tuple(map(str, range(150))),
        variants=tuple(ShopVariant(id=str(n), sku="s" * 300) for n in range(600)),
    )
    sent = body(long)
    lengths = {name: len(sent[name]) for name in ("title", "description", "type", "vendor")}
    assert lengths == {"title": 255, "description": 1_000, "type": 100, "vendor": 100}
    counts = {name: len(sent[name]) for name in ("tags", "images", "categoryIDs", "variants")}
    assert counts == {"tags": 100, "images": 300, "categoryIDs": 100, "variants": 500}
    assert sent["images"][0] == sent["defaultImageUrl"] == "https://cdn.example/0.jpg"
    assert [variant["id"] for variant in sent["variants"]] == [str(n) for n in range(500)]
    assert {len(variant["sku"]) for variant in sent["variants"]} == {255}


@pytest.mark.parametrize(
    ("images", "sent"),
    [
        (["https://a.example/1.jpg"], ["https://a.example/1.jpg"]),
        ('["https://a.example/1.jpg"]', ["https://a.example/1.jpg"]),
        ("https://a.example/1.jpg", ["https://a.example/1.jpg"]),
        (["/1.jpg", None, 5, "data:image/png;base64,AA", "https://a.example/2.jpg"], ["https://a.example/2.jpg"]),
        ([], None),
        ({"0": "https://a.example/1.jpg"}, None),
        (None, None),
    ],
)  # fmt: skip
def test_images_are_web_addresses_whatever_holds_them(images, sent):
    assert body(having(images=images)).get("images") == sent


@pytest.mark.parametrize(
    ("instant", "sent"),
    [
        ("2026-11-21T10:00:00.999+02:00", "2026-11-21T08:00:00Z"),
        ("2026-11-21", "2026-11-21T00:00:00Z"),
        ("infinity", None),
        (5, None),
    ],
)
def test_instants_have_no_fraction_and_no_offset(instant, sent):
    assert body(having(created_at=instant)).get("createdAt") == sent


PRODUCT_FIELDS = (
    "title",
    "description",
    "price",
    "strike_through",
    "category",
    "vendor",
    "tags",
    "images",
    "created_at",
    "updated_at",
)
VARIANT_FIELDS = ("price", "strike_through", "sku", "image_url", "option_values")


@given(
    fields=st.fixed_dictionaries({}, optional=dict.fromkeys(PRODUCT_FIELDS, json_values)),
    variant=st.fixed_dictionaries({}, optional=dict.fromkeys(VARIANT_FIELDS, json_values)),
)
@settings(max_examples=300, deadline=None)
def test_whatever_json_a_shop_holds_is_sent_or_rejected_by_name(fields, variant):
    product = having(**fields, variants=(ShopVariant(id="1", **variant),))
    try:
        sent = body(product)
    except PayloadRejected as error:
        rejected = error
    else:
        assert 1 <= len(sent["title"]) <= 255
        assert sent["variants"][0]["price"] >= 0
        return
    assert rejected.field
    assert str(rejected).encode()
