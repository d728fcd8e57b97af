"""Ids of products, variants and categories fit Omnisend, in the catalogue and in events, and no two are made one."""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from soldt_outbox.omnisend.mapping.ids import clean_id
from tests.unit.omnisend.shapes import CART, parse, sent

FITS = re.compile(r"[A-Za-z0-9_-]{1,100}")

ids = st.one_of(
    st.text(max_size=120),
    st.text("aZ09_-#/", max_size=110),
    st.text("ab#", min_size=90, max_size=110),
    st.text(max_size=120).map(clean_id),  # ids that look as if they had been cleaned
)


@given(ids)
def test_every_id_fits(original):
    assert FITS.fullmatch(clean_id(original))


@given(ids, ids)
@example("a#b", "a/b")
@example("a#b", "a_b")
@example("x" * 101, "x" * 102)
def test_two_ids_never_become_one(first, second):
    assume(first != second)
    assert clean_id(first) != clean_id(second)


@given(st.text(max_size=120))
def test_an_id_that_is_what_another_was_cleaned_to_does_not_meet_it(original):
    cleaned = clean_id(original)
    assume(cleaned != original)
    assert clean_id(cleaned) != cleaned


@pytest.mark.parametrize("original", ["17", "0", "p_123", "gid-1", "A" * 100, "-id"])
def test_what_fits_is_itself(original):
    assert clean_id(original) == original


@pytest.mark.parametrize(
    ("original", "begins"), [("a#b", "a_b-id"), ("a/b", "a_b-id"), ("", "-id"), ("é", "_-id")]
)
def test_of_what_does_not_fit_it_can_be_seen_what_it_was(original, begins):
    assert clean_id(original).startswith(begins)


def test_events_name_products_as_the_catalogue_does():
    cart = parse(CART)
    cart["properties"]["lineItems"] = [
        {"productID": "slug#1", "variantID": "v/2", "title": "T", "price": 1, "quantity": 1, "category": "Under R200"}
    ]  # fmt: skip
    (item,) = sent("checkout_started", cart)["properties"]["lineItems"]
    assert item["productID"] == clean_id("slug#1")
    assert item["productVariantID"] == clean_id("v/2")
    assert item["productCategories"] == [{"id": clean_id("Under R200"), "title": "Under R200"}]
    viewed = {"contact": {"email": "a@b.za"}, "properties": {"productID": "slug#1", "title": "T"}}
    assert sent("product_viewed", viewed)["properties"]["product"]["id"] == clean_id("slug#1")
