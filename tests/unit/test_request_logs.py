import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soldt_outbox.redaction import mask_email
from soldt_outbox.request_logs import logged_request
from soldt_outbox.rows import Kind, OmnisendRequest

CONTACT = (
    b'{"identifiers":[{"type":"email","id":"thandi@example.co.za","channels":{"email":{"status":"subscribed",'
    b'"statusChangedAt":"2026-11-20T08:30:00.250Z"}},"sendWelcomeMessage":true,"consent":{"source":"checkout",'
    b'"createdAt":"2026-11-20T08:30:00.250Z","ip":"203.0.113.7","userAgent":"Mozilla"}},{"type":"phone",'
    b'"id":"+27821234567","channels":{"sms":{"status":"nonSubscribed","statusDate":"2000-01-01T00:00:00.000Z"}}}],'
    b'"sendWelcomeEmail":false,"firstName":"Thandi","birthdate":"1990-01-31","tags":["vip"]}'
)


def logged(kind: Kind, body: bytes, *, method: str = "POST", path: str = "/contacts"):
    return logged_request(kind, OmnisendRequest(method=method, path=path, body=body))


def test_a_contacts_log_says_what_each_channel_was_told_and_whose_it_is_only_in_part():
    assert logged(Kind.CONTACT, CONTACT) == {
        "call": "POST /contacts",
        "sendWelcomeEmail": False,
        "firstName": "T***",
        "identifiers": [
            {
                "type": "email",
                "id": mask_email("thandi@example.co.za"),
                "channels": {
                    "email": {"status": "subscribed", "statusChangedAt": "2026-11-20T08:30:00.250Z"}
                },
                "sendWelcomeMessage": True,
                "consent": {"source": "checkout", "createdAt": "2026-11-20T08:30:00.250Z"},
            },
            {
                "type": "phone",
                "id": "***4567",
                "channels": {"sms": {"status": "nonSubscribed", "statusDate": "2000-01-01T00:00:00.000Z"}},
            },
        ],
    }


def test_a_products_log_says_which_it_is_and_how_it_stands():
    body = b'{"id":"17","title":"T-shirt","status":"inStock","price":5,"variants":[{"id":"1"},{"id":"2"}]}'
    assert logged(Kind.PRODUCT, body, method="PUT", path="/products/17") == {
        "call": "PUT /products/17",
        "product": {"id": "17", "title": "T-shirt", "status": "inStock", "variants": 2},
    }
    assert logged(Kind.CATEGORY, b'{"categoryID":"5","title":"Winter"}', path="/product-categories") == {
        "call": "POST /product-categories",
        "category": {"categoryID": "5", "title": "Winter"},
    }
    assert logged(Kind.PRODUCT, b"", method="DELETE", path="/products/17") == {"call": "DELETE /products/17"}


def test_whom_a_query_asks_for_is_not_logged():
    assert logged(Kind.CONTACT, b"", method="PATCH", path="/contacts?email=thandi@example.co.za") == {
        "call": "PATCH /contacts"
    }


@pytest.mark.parametrize("kind", Kind)
@given(body=st.one_of(st.binary(), st.text().map(str.encode), st.just(b"[" * 100_000), st.just(CONTACT)))
def test_any_bytes_of_any_kind_can_be_logged(kind, body):
    assert len(json.dumps(logged(kind, body))) < 4_096
