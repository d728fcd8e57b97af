from decimal import Decimal

import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping import map_event, product_ids
from soldt_outbox.rows import Skip
from tests.unit.omnisend.shapes import CATALOGUE, LINE, MERCHANT, parse, row, sent


def line(**changes):
    return {name: value for name, value in (parse(LINE) | changes).items() if value is not ...}


def test_an_ordered_product_in_full():
    body = sent("ordered_product", line(), catalogue=CATALOGUE, dedup_key="4711:1")
    assert (body["eventName"], body["eventVersion"], body["origin"]) == ("ordered product", "v2", "api")
    assert body["contact"] == {
        "email": "thandi@example.co.za",
        "phone": "+27821234567",
        "firstName": "Thandi",
        "lastName": "van der Merwe",
    }
    assert body["properties"] == {
        "orderID": "4711",
        "product": {
            "productID": "17",
            "productVariantID": "42",
            "productTitle": "Rooibos tea",
            "productVariantTitle": "500 g",
            "productPrice": Decimal("89.90"),
            "productQuantity": 2,
            "productSKU": "RT-500",
            "productDescription": "Organic, loose leaf",
            "productURL": "https://tea.example.co.za/product/17",
            "productImageURL": "https://cdn.soldt.co.za/17.jpg",
            "productVariantImageURL": "https://cdn.soldt.co.za/42.jpg",
            "productCategories": [{"id": "3", "title": "Tea"}, {"id": "9", "title": "Gifts"}],
        },
    }


def test_it_is_told_in_omnisend_s_shape_as_well():
    product = {"productID": "1", "productTitle": "T", "productPrice": 5, "productQuantity": 1}
    payload = {"contact": {"email": "a@b.za"}, "properties": {"orderID": "A-1", "product": product}}
    told = sent("ordered_product", payload)["properties"]
    assert told["orderID"] == "A-1"
    assert told["product"].items() >= product.items()
    assert product_ids(row("ordered_product", payload)) == {"1"}


def test_two_lines_of_an_order_are_two_events():
    first, second = (sent("ordered_product", line(), dedup_key=f"4711:{n}")["eventID"] for n in (1, 2))
    assert first != second


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"order_id": ...}, "order_id"),
        ({"order_id": []}, "order_id"),
        ({"item": ...}, "item"),
        ({"item": [1]}, "item"),
        ({"item": {"title": "T", "price": 1, "quantity": 1}}, r"item\.product_id"),
        ({"item": {"product_id": 17, "price": -1, "quantity": 1}}, r"item\.price"),
        ({"item": {"product_id": 17, "price": 1, "quantity": "some"}}, r"item\.quantity"),
    ],
)
def test_a_broken_line_is_rejected_by_name(changes, field):
    with pytest.raises(PayloadRejected, match=rf"^{field}:"):
        sent("ordered_product", line(**changes), catalogue=CATALOGUE)


def test_a_line_of_nobody_is_skipped():
    payload = line(customer_email="nobody", customer_phone=...)
    assert isinstance(map_event(row("ordered_product", payload), MERCHANT, {}), Skip)


def test_the_product_to_look_up_is_the_line_s():
    assert product_ids(row("ordered_product", line())) == {"17"}
    assert product_ids(row("ordered_product", line(item='{"id": 19}'))) == {"19"}
