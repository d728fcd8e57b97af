from decimal import Decimal

import pytest

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.mapping import map_event, product_ids
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, Skip
from tests.unit.omnisend.shapes import CATALOGUE, MERCHANT, ORDER, order, parse, row, sent

ADDRESS = {
    "address1": "12 Long Street",
    "city": "Cape Town",
    "zip": "8001",
    "state": "Western Cape",
    "stateCode": "WC",
    "country": "South Africa",
    "countryCode": "ZA",
    "firstName": "Thandi",
    "lastName": "van der Merwe",
    "phone": "+27821234567",
}
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
    "productVariantTitle": "500 g",
}
MUG = {
    "productID": "19",
    "productVariantID": "19",
    "productTitle": "Mug",
    "productPrice": Decimal("50.00"),
    "productQuantity": 3,
    "productURL": "https://tea.example.co.za/product/19",
    "productImageURL": "https://cdn.soldt.co.za/mug.jpg",
}
PROPERTIES = {
    "orderID": "4711",
    "orderNumber": "4711",
    "currency": "ZAR",
    "totalPrice": Decimal("389.80"),
    "subTotalPrice": Decimal("329.80"),
    "subTotalTaxIncluded": True,
    "shippingPrice": Decimal("60.00"),
    "totalTax": Decimal("0.00"),
    "totalDiscount": Decimal("0.00"),
    "lineItems": [TEA, MUG],
    "createdAt": "2026-11-21T10:00:00.123Z",
    "paymentStatus": "awaitingPayment",
    "fulfillmentStatus": "unfulfilled",
    "orderStatusURL": "https://tea.example.co.za/order-confirmation/4711",
    "shippingAddress": ADDRESS,
    "billingAddress": ADDRESS,
    "paymentMethod": "eft",
    "note": "Leave it at the gate",
}
TRACKED = {
    "tracking_number": "TCG123",
    "tracking_carrier": "The Courier Guy",
    "tracking_url": "https://track.example/TCG123",
}
TRACKING = {
    "code": "TCG123",
    "courierTitle": "The Courier Guy",
    "courierURL": "https://track.example/TCG123",
}


def test_a_placed_order_in_full():
    assert sent("order_placed", parse(ORDER), catalogue=CATALOGUE) == {
        "eventName": "placed order",
        "origin": "api",
        "eventVersion": "v2",
        "eventID": "2b4378fa-be4c-54a3-9d7e-758aee82d124",
        "eventTime": "2026-11-21T10:00:00.123Z",
        "contact": {
            "email": "thandi@example.co.za",
            "phone": "+27821234567",
            "firstName": "Thandi",
            "lastName": "van der Merwe",
        },
        "properties": PROPERTIES,
    }


@pytest.mark.parametrize(
    ("name", "omnisend", "changes", "expected"),
    [
        (
            "order_paid",
            "paid for order",
            {"payment_status": "paid", "status": "processing"},
            {"paymentStatus": "paid", "fulfillmentStatus": "inProgress"},
        ),
        (
            "order_fulfilled",
            "order fulfilled",
            {"payment_status": "paid", "status": "shipped", **TRACKED},
            {"paymentStatus": "paid", "fulfillmentStatus": "fulfilled", "tracking": TRACKING},
        ),
        (
            "order_canceled",
            "order canceled",
            {"status": "cancelled", "cancel_reason": "Out of stock"},
            {"fulfillmentStatus": "unfulfilled", "cancelReason": "Out of stock"},
        ),
        (
            "order_refunded",
            "order refunded",
            {"payment_status": "refunded", "status": "refunded"},
            {
                "paymentStatus": "refunded",
                "fulfillmentStatus": "unfulfilled",
                "refundedLineItems": [TEA, MUG],
                "totalRefundedAmount": Decimal("389.80"),
                "totalRefundedTaxAmount": Decimal("0.00"),
            },
        ),
    ],
)
def test_what_happens_to_an_order_later_in_full(name, omnisend, changes, expected):
    body = sent(name, order(**changes), catalogue=CATALOGUE)
    assert (body["eventName"], body["eventVersion"]) == (omnisend, "v2")
    assert body["properties"] == PROPERTIES | expected


def test_the_same_row_gives_the_same_bytes_at_each_attempt():
    one = map_event(row("order_placed", parse(ORDER)), MERCHANT, CATALOGUE)
    two = map_event(row("placed_order", parse(ORDER), attempts=7), MERCHANT, CATALOGUE)
    assert isinstance(one, OmnisendRequest)
    assert one == two


def test_an_event_forces_the_status_it_means():
    late = order(status="pending", payment_status="pending")
    assert sent("order_paid", late)["properties"]["paymentStatus"] == "paid"
    assert sent("order_fulfilled", late)["properties"]["fulfillmentStatus"] == "fulfilled"
    assert (
        sent("order_fulfilled", order(status="delivered"))["properties"]["fulfillmentStatus"] == "delivered"
    )
    assert sent("order_refunded", late)["properties"]["paymentStatus"] == "refunded"


def test_a_cancelled_order_that_had_left_stays_fulfilled():
    properties = sent("order_canceled", order(status="cancelled", **TRACKED))["properties"]
    assert properties["fulfillmentStatus"] == "fulfilled"


def test_only_a_cancellation_has_a_reason_and_only_a_refund_an_amount():
    properties = sent("order_placed", order(cancel_reason="x", refunded_amount=5))["properties"]
    assert not {"cancelReason", "totalRefundedAmount", "refundedLineItems"} & properties.keys()


REFUNDED = [{"product_id": 19, "title": "Mug", "quantity": 1, "price": 50}]


@pytest.mark.parametrize("status", ["refunded", "paid", None])
@pytest.mark.parametrize(
    ("told", "items", "amount"),
    [
        ({"refunded_amount": 50}, None, 50),
        ({"refunded_amount": "389.79"}, None, Decimal("389.79")),
        ({"refundedLineItems": REFUNDED}, 1, 50),
        ({"refundedLineItems": REFUNDED, "refunded_amount": 45}, 1, 45),
        ({"refundedLineItems": "a mug", "refunded_amount": 45}, None, 45),
    ],
    ids=["amount", "all but a cent", "items", "items and amount", "broken items"],
)
def test_a_refund_of_less_than_the_total_is_partial_and_is_what_the_payload_tells(
    told, items, amount, status
):
    properties = sent("order_refunded", order(status="refunded", payment_status=status, **told))["properties"]
    assert properties["paymentStatus"] == "partiallyRefunded"
    assert properties["totalRefundedAmount"] == amount
    assert [item["productQuantity"] for item in properties.get("refundedLineItems", [])] == [1] * (items or 0)
    assert "totalRefundedTaxAmount" not in properties


def test_of_a_partial_refund_of_unknown_size_no_size_is_told():
    properties = sent("order_refunded", order(payment_status="partially_refunded"))["properties"]
    assert properties["paymentStatus"] == "partiallyRefunded"
    assert not {"totalRefundedAmount", "refundedLineItems", "totalRefundedTaxAmount"} & properties.keys()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"refunded_amount": "389.80"},
        {"refundedLineItems": [REFUNDED[0] | {"price": 389.80}]},
        {"refunded_amount": "all"},
    ],
    ids=["nothing", "amount", "items", "no amount"],
)
def test_a_refund_of_the_total_or_of_nothing_else_known_is_of_the_whole_order(told):
    properties = sent("order_refunded", order(status="refunded", **told))["properties"]
    assert properties["paymentStatus"] == "refunded"
    assert properties["totalRefundedAmount"] == Decimal("389.80")
    assert properties["totalRefundedTaxAmount"] == 0
    assert len(properties["refundedLineItems"]) == (1 if "refundedLineItems" in told else 2)


def test_an_order_in_soldt_s_request_shape_leaves_in_omnisend_s():
    payload = {
        "name": "order_placed",
        "contact": {"email": "A@B.co.za"},
        "properties": {
            "orderID": 9,
            "currency": "zar",
            "totalPrice": 115.0,
            "subtotalPrice": 100.0,
            "shippingPrice": 0,
            "taxPrice": 15,
            "paymentStatus": "awaiting_payment",
            "fulfillmentStatus": "shipped",
            "createdAt": "2026-11-21T12:00:00+02:00",
            "lineItems": [
                {"productID": 1, "productTitle": "T", "productPrice": 100, "quantity": 1, "variantID": 2}
            ],
        },
    }
    body = sent("order_placed", payload)
    assert body["contact"] == {"email": "a@b.co.za"}
    assert body["properties"] == {
        "orderID": "9",
        "orderNumber": "9",
        "currency": "ZAR",
        "totalPrice": 115,
        "subTotalPrice": 100,
        "subTotalTaxIncluded": False,
        "shippingPrice": 0,
        "totalTax": 15,
        "totalDiscount": 0,
        "lineItems": [
            {
                "productID": "1",
                "productVariantID": "2",
                "productTitle": "T",
                "productPrice": 100,
                "productQuantity": 1,
                "productURL": "https://tea.example.co.za/product/1",
            }
        ],
        "createdAt": "2026-11-21T10:00:00.000Z",
        "paymentStatus": "awaitingPayment",
        "fulfillmentStatus": "fulfilled",
        "orderStatusURL": "https://tea.example.co.za/order-confirmation/9",
    }


def test_omnisend_s_own_shape_passes_unchanged():
    properties = PROPERTIES | {"discounts": [{"amount": Decimal("5.00"), "code": "X", "type": "fixedAmount"}]}
    properties |= {"totalDiscount": Decimal("5.00"), "tags": ["vip"], "tracking": TRACKING}
    body = sent("order_placed", {"contact": {"id": "0123456789abcdef01234567"}, "properties": properties})
    assert body["contact"] == {"id": "0123456789abcdef01234567"}
    assert body["properties"] == properties


def test_json_stored_as_text_is_read():
    import json

    whole = json.loads(ORDER)
    whole["items"] = json.dumps(whole["items"])
    whole["shipping_address"] = json.dumps(whole["shipping_address"])
    assert sent("order_placed", whole, catalogue=CATALOGUE)["properties"] == PROPERTIES


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"items": None}, "items", "missing"),
        ({"items": []}, "items", "empty"),
        ({"items": "two teas"}, "items", "text"),
        ({"items": {"a": 1}}, "items", "an object"),
        ({"items": ["tea"]}, r"items\[0\]", "text"),
        ({"items": [{"title": "T", "price": 1, "quantity": 1}]}, r"items\[0\].product_id", "missing"),
        ({"items": [{"id": [1], "title": "T", "price": 1, "quantity": 1}]}, r"items\[0\].id", "no id"),
        ({"items": [{"id": 1, "price": 1, "quantity": 1}]}, r"items\[0\].title", "missing"),
        ({"items": [{"id": 1, "title": "T", "price": -5, "quantity": 1}]}, r"items\[0\].price", "negative"),
        (
            {"items": [{"id": 1, "title": "T", "price": "five", "quantity": 1}]},
            r"items\[0\].price",
            "not an amount",
        ),
        ({"items": [{"id": 1, "title": "T", "quantity": 1}]}, r"items\[0\].price", "missing"),
        ({"items": [{"id": 1, "title": "T", "price": 1, "quantity": 0}]}, r"items\[0\].quantity", "between"),
        (
            {"items": [{"id": 1, "title": "T", "price": 1, "quantity": "two"}]},
            r"items\[0\].quantity",
            "whole",
        ),
        ({"items": [{"id": 1, "title": "T", "price": 1, "quantity": 1.5}]}, r"items\[0\].quantity", "whole"),
        (
            {"items": [{"id": 1, "title": "T", "price": 1, "quantity": 1}] * 10_000},
            "items",
            "10,000 line items",
        ),
        ({"total": -1}, "total", "negative"),
        ({"total": float("nan")}, "total", "not an amount"),
        ({"total": Decimal("Infinity")}, "total", "not an amount"),
        ({"total": True}, "total", "not an amount"),
        ({"total": None}, "total", "missing"),
        ({"total": 10**30}, "total", "not an amount"),
        ({"id": None}, "id", "missing"),
        ({"notes": "x" * 5_000_000}, "notes", "5,000,002 bytes"),
    ],
)
def test_what_an_automation_depends_on_is_rejected_by_name(changes, field, problem):
    with pytest.raises(PayloadRejected, match=f"^{field}: .*{problem}") as caught:
        sent("order_placed", order(**changes))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({"tax": -5}, "totalTax"),
        ({"shipping": "free"}, "shippingPrice"),
        ({"payment_status": "quantum"}, "paymentStatus"),
        ({"status": 7}, "fulfillmentStatus"),
        ({"notes": "-"}, "note"),
        ({"notes": ["a"]}, "note"),
        ({"shipping_address": "  "}, "shippingAddress"),
        ({"shipping_address": 12}, "shippingAddress"),
        ({"payment_method": {}}, "paymentMethod"),
        ({"tracking_url": "javascript:alert(1)"}, "tracking"),
    ],
)
def test_what_is_optional_and_broken_is_left_out(changes, left_out):
    assert left_out not in sent("order_placed", order(**changes))["properties"]


def test_dates_in_words_are_replaced_for_a_placed_order_and_left_out_later():
    assert sent("order_placed", order(created_at="yesterday"))["properties"]["createdAt"].startswith(
        "2026-11-21T10"
    )
    assert "createdAt" not in sent("order_paid", order(created_at="yesterday"))["properties"]


def test_a_broken_subtotal_is_that_of_the_items():
    assert sent("order_placed", order(subtotal="?"))["properties"]["subTotalPrice"] == Decimal("329.80")


@pytest.mark.parametrize(
    ("figures", "included", "discount"),
    [
        ((100, 20, 0, 120), True, 0),
        ((100, 20, 15, 120), True, 0),
        ((100, 20, 15, 135), False, 0),
        ((100, 20, 15, 125), False, 10),
        ((100, 20, 15, 110), True, 10),
        ((100, None, None, 90), True, 10),
        ((100, 0, 0, 130), True, 0),
    ],
)
def test_whether_tax_is_included_and_what_was_taken_off_is_read_from_the_sums(figures, included, discount):
    columns = dict(zip(("subtotal", "shipping", "tax", "total"), figures, strict=True))
    got = sent("order_placed", order(**columns))["properties"]
    assert (got["subTotalTaxIncluded"], got["totalDiscount"]) == (included, discount)


def test_control_characters_and_half_emoji_do_not_travel():
    body = sent("order_placed", order(notes="a\0b \ud83d \U0001f600\nnext"))
    assert body["properties"]["note"] == "ab ? \U0001f600\nnext"


@pytest.mark.parametrize("phone", ["+49 30 12345678901", "+49 30 1234567 890123"])
def test_a_phone_that_omnisend_would_refuse_the_event_for_is_left_out(phone):
    """maxLength of contact.phone in its OpenAPI file of events: 15, the + among them."""
    body = sent("order_placed", order(customer_phone=phone))
    assert body["contact"] == {
        "email": "thandi@example.co.za",
        "firstName": "Thandi",
        "lastName": "van der Merwe",
    }
    assert "phone" not in body["properties"]["shippingAddress"]


def test_nobody_to_tell_about_is_skipped():
    result = map_event(row("order_placed", order(customer_email="nobody", customer_phone="12")), MERCHANT, {})
    assert isinstance(result, Skip)
    assert result.reason == "missing_identity"


@pytest.mark.parametrize(
    ("kind", "name", "field"), [(Kind.PRODUCT, "order_placed", "kind"), (Kind.EVENT, "party!", "name")]
)
def test_what_is_no_event_is_rejected(kind, name, field):
    with pytest.raises(PayloadRejected, match=rf"^{field}:"):
        map_event(row(name, order(), kind=kind), MERCHANT, {})


@pytest.mark.parametrize("payload", [None, [], "x", 7, "{"])
def test_a_payload_that_is_no_object_is_rejected(payload):
    with pytest.raises(PayloadRejected, match=r"^payload:"):
        map_event(row("order_placed", payload), MERCHANT, {})


def test_without_a_storefront_there_are_no_links():
    body = sent(
        "order_placed",
        order(),
        merchant=MerchantProfile(merchant_id=MERCHANT.merchant_id, storefront_url=None),
    )
    assert "orderStatusURL" not in body["properties"]
    assert "productURL" not in body["properties"]["lineItems"][0]


def test_the_products_to_look_up_are_those_of_the_items():
    assert product_ids(row("order_placed", order())) == {"17", "19"}
    assert product_ids(row("order_placed", "x")) == set()
