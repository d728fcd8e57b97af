"""Whatever JSON stands in a contact's row: a request, a skip, or a rejection that names a field, and never anything else."""

import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from soldt_outbox.errors import PayloadRejected
from soldt_outbox.omnisend.dialects import V5, V2026_03_15
from soldt_outbox.omnisend.mapping import contact_identifiers, map_contact
from soldt_outbox.omnisend.mapping.contacts import ContactRow
from soldt_outbox.request_logs import logged_request
from soldt_outbox.rows import Kind, OmnisendRequest, Skip
from tests.unit.omnisend.shapes import MERCHANT, ORDER, parse, row
from tests.unit.omnisend.test_mapping_anything import holds_nothing_empty, json_values

FIELDS = [
    "email", "phone", "channel", "contact", "customer_email", "customer_phone", "customer_name", "firstName", "address", "city",
    "country", "countryCode", "gender", "birthdate", "tags", "customProperties", "createdAt", "shipping_address",
]  # fmt: skip
objects = st.dictionaries(st.sampled_from(FIELDS), json_values | st.just("thandi@example.co.za"), max_size=6)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ContactRow), st.sampled_from([V5, V2026_03_15]), objects | json_values, st.booleans())
@example(
    ContactRow.CONTACT_CHANGED, V5, parse(ORDER) | {"tags": [[]], "customProperties": {"a": [[1]]}}, False
)
@example(
    ContactRow.CONSENT_GIVEN, V5, {"email": "a@b.co", "customProperties": {"a": 1e308, "b": True}}, False
)
def test_any_payload_finds_an_end(name, dialect, payload, nested) -> None:
    if nested and isinstance(payload, dict):
        payload = {"contact": payload}
    stored = row(name, payload, kind=Kind.CONTACT)
    pairs = contact_identifiers(stored, MERCHANT)
    try:
        result = map_contact(stored, MERCHANT, {}, dialect)
    except PayloadRejected as error:
        result = error
    if isinstance(result, PayloadRejected):
        assert result.field
        assert str(result).encode()
        return
    if isinstance(result, Skip):
        assert result.reason == "missing_identity"
        assert pairs == []
        return
    assert isinstance(result, OmnisendRequest)
    body = json.loads(result.body, parse_constant=lambda word: 1 / 0)
    holds_nothing_empty(body)
    sent = [(next(iter(found["channels"])), found["id"]) for found in body["identifiers"]]
    assert sent == pairs, "what is sent is what was looked up"
    assert map_contact(stored, MERCHANT, {}, dialect) == result
    logged = json.dumps(logged_request(Kind.CONTACT, result))
    assert len(logged) < 4_096
    assert not [address for _, address in sent if address in logged]
