from decimal import Decimal

import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping import map_event, product_ids
from soldt_outbox.rows import MerchantProfile, OmnisendRequest
from tests.unit.omnisend.shapes import CART, CATALOGUE, MERCHANT, VIEW, parse, row, sent

TEA = {
    "productID": "17",
    "productVariantID": "42",
    "productTitle": "Rooibos tea",
    "productPrice": Decimal("89.90"),
    "productQuantity": 2,
    "productSKU": "RT-500",
    "productDescription": "Organic, loose leaf",
    "productURL": "https://tea.example.co.za/product/17",
    "productImageURL": "https://cdn.soldt.co.za/17.jpg",
    "productVariantImageURL": "https://cdn.soldt.co.za/42.jpg",
    "productCategories": [{"id": "3", "title": "Tea"}, {"id": "9", "title": "Gifts"}],
}
MUG = {
    "productID": "19",
    "productVariantID": "19",
    "productTitle": "Mug",
    "productPrice": Decimal("50.00"),
    "productQuantity": 1,
    "productURL": "https://tea.example.co.za/product/19",
    "productImageURL": "https://cdn.soldt.co.za/mug.jpg",
}
CART_PROPERTIES = {
    "abandonedCheckoutURL": "https://tea.example.co.za/checkout?c=1",
    "cartID": "cart:sess_5f2c",
    "currency": "ZAR",
    "value": Decimal("229.80"),
    "lineItems": [TEA, MUG],
}


def cart(**changes):
    payload = parse(CART)
    payload["properties"] |= changes
    payload["properties"] = {k: v for k, v in payload["properties"].items() if v is not ...}
    return payload


def test_a_started_checkout_in_full():
    body = sent("checkout_started", cart(), catalogue=CATALOGUE)
    assert (body["eventName"], body["eventVersion"], body["origin"]) == ("started checkout", "", "api")
    assert body["contact"] == {"email": "thandi@example.co.za", "firstName": "Thandi"}
    assert body["properties"] == CART_PROPERTIES


def test_an_added_product_in_full():
    body = sent("add_to_cart", cart(), catalogue=CATALOGUE)
    assert (body["eventName"], body["eventVersion"]) == ("added product to cart", "")
    assert body["properties"] == CART_PROPERTIES | {"addedItem": MUG}


def test_the_added_item_is_the_one_the_payload_names():
    named = {
        "productID": 17,
        "productTitle": "Rooibos tea",
        "productPrice": "89.90",
        "quantity": "2",
        "variantID": 42,
    }
    body = sent("product_added_to_cart", cart(addedItem=named), catalogue=CATALOGUE)
    assert body["properties"]["addedItem"] == TEA


def test_an_added_item_alone_is_the_cart():
    flat = {"cartID": "c", "productID": 19, "productTitle": "Mug", "productPrice": 50, "quantity": 2}
    for properties in (flat, {"cartID": "c", "addedItem": flat}):
        got = sent("product_added_to_cart", {"contact": {"email": "a@b.za"}, "properties": properties})[
            "properties"
        ]
        assert got["addedItem"] == got["lineItems"][0]
        assert got["value"] == 100


def test_what_a_cart_lacks_is_computed():
    got = sent(
        "checkout_started", cart(value=..., currency=..., checkoutURL=..., cartID=...), dedup_key="cart_x"
    )
    assert got["properties"]["value"] == Decimal("229.80")
    assert got["properties"]["currency"] == "ZAR"
    assert got["properties"]["abandonedCheckoutURL"] == "https://tea.example.co.za/checkout"
    assert got["properties"]["cartID"] == "cart_x"
    added = sent("added_to_cart", cart(checkoutURL=...))
    assert added["properties"]["abandonedCheckoutURL"] == "https://tea.example.co.za/cart"


def test_line_items_of_carts_have_no_properties_that_only_orders_have():
    items = [
        {
            "productID": 1,
            "productTitle": "T",
            "price": 5,
            "quantity": 1,
            "variantTitle": "x",
            "vendor": "v",
            "tags": ["t"],
            "weight": 3,
            "oldPrice": 8,
        }
    ]
    item = sent("checkout_started", cart(lineItems=items))["properties"]["lineItems"][0]
    assert not {"productVariantTitle", "productVendor", "productTags", "productWeight"} & item.keys()
    assert (item["productStrikeThroughPrice"], item["productDiscount"]) == (8, 3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lineItems": ...}, "properties.items"),
        ({"lineItems": []}, "properties.lineItems"),
        ({"lineItems": "a"}, "properties.lineItems"),
        ({"lineItems": [{"productID": 1}]}, r"properties.lineItems\[0\].title"),
        ({"addedItem": 5}, "properties.addedItem"),
    ],
)
def test_a_broken_cart_is_rejected_by_name(changes, field):
    with pytest.raises(PayloadRejected, match=rf"^{field}:"):
        sent("added_to_cart", cart(**changes))


def test_a_cart_without_any_way_back_is_rejected():
    nowhere = MerchantProfile(merchant_id=MERCHANT.merchant_id, storefront_url=None)
    with pytest.raises(PayloadRejected, match="storefront"):
        sent("checkout_started", cart(checkoutURL="/checkout"), merchant=nowhere)


def test_a_cart_without_id_under_a_hashed_key_is_rejected():
    with pytest.raises(PayloadRejected, match=r"^properties\.cartID:"):
        sent("checkout_started", cart(cartID=None), dedup_key="sha256:00ff")


def test_a_viewed_product_in_full():
    body = sent("product_viewed", parse(VIEW), catalogue=CATALOGUE)
    assert (body["eventName"], body["eventVersion"]) == ("viewed product", "v4")
    assert body["contact"] == {"phone": "+27821234567"}
    assert body["properties"] == {
        "product": {
            "id": "17",
            "title": "Rooibos tea",
            "price": Decimal("89.90"),
            "currency": "ZAR",
            "imageUrl": "https://cdn.soldt.co.za/17.jpg",
            "url": "https://tea.example.co.za/product/17",
            "description": "Organic, loose leaf",
            "categories": [{"id": "3", "title": "Tea"}, {"id": "9", "title": "Gifts"}],
        }
    }


COLLECTIONS = [{"id": "3", "title": "Tea"}, {"id": "9", "title": "Gifts"}]


@pytest.mark.parametrize(
    ("told", "known", "sent_as"),
    [
        ("Tea", CATALOGUE, COLLECTIONS),
        (["Tea", "Sale"], CATALOGUE, COLLECTIONS),
        ([{"title": "Tea"}], CATALOGUE, COLLECTIONS),
        ([{"id": "7", "title": "Sale"}, "Tea"], CATALOGUE, COLLECTIONS),
        (None, CATALOGUE, COLLECTIONS),
        ([{"id": "7", "title": "Sale"}], CATALOGUE, [{"id": "7", "title": "Sale"}]),
        ("Tea", {}, [{"id": "Tea", "title": "Tea"}]),
        (
            [{"id": "7", "title": "Sale"}, "Tea"],
            {},
            [{"id": "7", "title": "Sale"}, {"id": "Tea", "title": "Tea"}],
        ),
    ],
    ids=["name", "names", "title", "mixed", "none", "ids", "unknown product", "unknown product, mixed"],
)
def test_a_category_has_the_same_id_in_every_event_as_in_the_catalogue(told, known, sent_as):
    """A name alone, as SOLDT's storefront tells it of a view, would be a category of its own beside the collection."""
    product = {
        "productID": 17,
        "productTitle": "Rooibos tea",
        "productPrice": 5,
        "quantity": 1,
        "category": told,
    }
    view = {"contact": {"email": "a@b.za"}, "properties": product}
    assert sent("product_viewed", view, catalogue=known)["properties"]["product"]["categories"] == sent_as
    (item,) = sent("checkout_started", cart(lineItems=[product]), catalogue=known)["properties"]["lineItems"]
    assert item["productCategories"] == sent_as


def test_omnisend_s_viewed_product_passes_unchanged():
    product = {
        "id": "1",
        "title": "T",
        "price": 5,
        "oldPrice": 6,
        "currency": "EUR",
        "imageUrl": "https://x.example/1.jpg",
        "url": "https://x.example/1",
        "status": "inStock",
        "description": "D",
        "vendor": "V",
        "categories": [{"id": "1", "title": "C"}],
    }
    assert sent("viewed_product", {"contact": {"email": "a@b.za"}, "properties": {"product": product}})[
        "properties"
    ] == {"product": product}


def test_the_event_s_own_name_is_never_a_title_or_a_person():
    payload = {"name": "product_viewed", "contact": {"email": "a@b.za"}, "productID": 3}
    with pytest.raises(PayloadRejected, match="title"):
        sent("product_viewed", payload)
    body = sent("product_viewed", payload | {"productTitle": "T"})
    assert body["contact"] == {"email": "a@b.za"}


def test_a_viewed_product_without_title_takes_the_catalogue_s():
    view = {"contact": {"email": "a@b.za"}, "properties": {"productID": 17, "productPrice": "?"}}
    product = sent("product_viewed", view, catalogue=CATALOGUE)["properties"]["product"]
    assert product["title"] == "Rooibos tea"
    assert "price" not in product


def test_the_products_to_look_up():
    assert product_ids(row("product_viewed", parse(VIEW))) == {"17"}
    assert product_ids(row("added_to_cart", parse(CART))) == {"17", "19"}


@pytest.mark.parametrize(
    "properties",
    [
        {"productID": 17},
        {"id": 17},
        {"product": {"id": 17}},
        {"product": '{"id": 17}'},
        {"productID": 19, "product": {"id": 17}},
    ],
    ids=["flat", "flat id", "object", "text", "object and flat"],
)
def test_the_product_that_is_looked_up_for_a_view_is_the_one_it_tells_of(properties):
    view = {"contact": {"email": "a@b.za"}, "properties": properties}
    assert product_ids(row("product_viewed", view)) == {"17"}
    product = sent("product_viewed", view, catalogue=CATALOGUE)["properties"]["product"]
    assert (product["id"], product["title"]) == ("17", "Rooibos tea")


def test_the_recipient_is_whom_the_request_is_sent_about():
    for contact, recipient in (
        ({"email": "A@B.za", "phone": "0821234567"}, "a@b.za"),
        ({"phone": "082 123 4567"}, "+27821234567"),
        ({"id": "0123456789abcdef01234567"}, None),
    ):
        request = map_event(row("checkout_started", cart() | {"contact": contact}), MERCHANT, {})
        assert isinstance(request, OmnisendRequest)
        assert request.recipient == recipient
