"""Texts that a shop keeps in several languages: events tell the merchant's, as the catalogue does."""

import json
from dataclasses import replace

import pytest

from soldt_outbox.omnisend.mapping import map_event
from soldt_outbox.rows import CatalogueProduct, OmnisendRequest
from tests.unit.omnisend.shapes import MERCHANT, row, sent

MUG = {"en": "Mug", "af": "Beker"}
WRITTEN = pytest.mark.parametrize("written", [MUG, json.dumps(MUG)], ids=["object", "text"])
LOCALES = pytest.mark.parametrize(
    ("locale", "said"), [("en", "Mug"), ("af-ZA", "Beker"), ("xh", "Mug")], ids=["en", "af-ZA", "xh"]
)
EVENTS = pytest.mark.parametrize(
    "name", ["product_added_to_cart", "checkout_started", "order_placed", "ordered_product", "product_viewed"]
)
TITLES = {"title": "title", "description": "description", "categories": "categories"}
OF_LINE_ITEMS = {
    "title": "productTitle",
    "description": "productDescription",
    "categories": "productCategories",
}


def payload(name, product):
    """An event about one product, under the names that carts, orders and views have in common."""
    product = {"price": 5, "quantity": 1} | product
    of_event = {
        "product_added_to_cart": {"cartID": "c", "lineItems": [product], "addedItem": product},
        "checkout_started": {"cartID": "c", "lineItems": [product]},
        "order_placed": {"orderID": "1", "total": 5, "lineItems": [product]},
        "ordered_product": {"orderID": "1", "product": product},
        "product_viewed": {"product": product},
    }
    return {"contact": {"email": "a@b.za"}, "properties": of_event[name]}


def told(name, product, locale, catalogue=None):
    """What the event says of the product: title, description, categories."""
    properties = sent(
        name, payload(name, product), merchant=replace(MERCHANT, locale=locale), catalogue=catalogue
    )["properties"]
    told = properties.get("product") or properties["lineItems"][0]
    names = TITLES if name == "product_viewed" else OF_LINE_ITEMS
    return tuple(told.get(field) for field in names.values())


@EVENTS
@LOCALES
@WRITTEN
def test_the_catalogue_s_texts_are_told_in_the_merchant_s_language(name, locale, said, written):
    known = CatalogueProduct(id="17", title=written, description=written, categories=(("3", written),))
    assert told(name, {"product_id": 17}, locale, {"17": known}) == (said, said, [{"id": "3", "title": said}])


@EVENTS
@LOCALES
@WRITTEN
def test_the_payload_s_own_texts_are_told_in_the_merchant_s_language(name, locale, said, written):
    product = {"product_id": 17, "title": written, "description": written}
    for category, its_id in (([{"id": "3", "title": written}], "3"), (written, said), ([written], said)):
        found = told(name, product | {"categories": category}, locale)
        assert found == (said, said, [{"id": its_id, "title": said}])


def test_a_variant_s_title_is_told_in_the_merchant_s_language():
    body = sent(
        "order_placed",
        payload(
            "order_placed", {"product_id": 17, "title": "T", "variant_title": {"en": "L", "af": "Groot"}}
        ),
        merchant=replace(MERCHANT, locale="af"),
    )
    assert body["properties"]["lineItems"][0]["productVariantTitle"] == "Groot"


@EVENTS
def test_a_text_without_any_language_is_the_catalogue_s(name):
    known = CatalogueProduct(id="17", title="Mug", description="Of tin")
    blank = {"product_id": 17, "title": {"en": " "}, "description": {}, "categories": [{"slug": None}]}
    assert told(name, blank, "en", {"17": known}) == ("Mug", "Of tin", None)


@EVENTS
@pytest.mark.parametrize("title", ["[New] Mug", "{Mug", "[2024]", '{"en": "Mug"', "5"])
def test_text_stays_text_whatever_it_looks_like(name, title):
    known = CatalogueProduct(id="17", title=title, description=title, categories=(("3", title),))
    assert told(name, {"product_id": 17}, "en", {"17": known}) == (
        title,
        title,
        [{"id": "3", "title": title}],
    )
    assert told(name, {"product_id": 17, "title": title}, "en")[0] == title


def test_each_text_is_cut_after_it_was_chosen():
    long = {"af": "b" * 2_000, "en": "m" * 2_000}
    known = CatalogueProduct(id="17", title=long, description=json.dumps(long), categories=(("3", long),))
    title, description, categories = told("order_placed", {"product_id": 17}, "en", {"17": known})
    assert (title, description) == ("m" * 255, "m" * 1_000)
    assert categories == [{"id": "3", "title": "m" * 100}]


@EVENTS
def test_the_order_in_which_languages_stand_changes_no_byte(name):
    merchant, bodies = replace(MERCHANT, locale="af-ZA"), set()
    for texts in ({"af_ZA": "Een", "af-za": "Twee", "zu": "Z"}, {"zu": "Z", "af-za": "Twee", "af_ZA": "Een"}):
        known = CatalogueProduct(id="17", title=texts, description=texts, categories=(("3", texts),))
        product = {"product_id": 17, "description": texts}
        request = map_event(row(name, payload(name, product)), merchant, {"17": known})
        assert isinstance(request, OmnisendRequest)
        bodies.add(request.body)
    assert len(bodies) == 1
