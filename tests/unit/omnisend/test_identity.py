from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from soldt_outbox.omnisend.identity import event_id

MERCHANT = UUID("11111111-1111-4111-8111-111111111111")
triples = st.tuples(st.uuids(), st.text(), st.text())


def test_the_id_of_an_occurrence_never_changes():
    """A constant on purpose: were it to change, Omnisend would take old events for new ones."""
    assert event_id(MERCHANT, "order_placed", "4711") == UUID("2b4378fa-be4c-54a3-9d7e-758aee82d124")
    assert event_id(MERCHANT, "order_placed", "4711").version == 5


def test_parts_cannot_run_into_each_other():
    assert event_id(MERCHANT, "a", "b/1:c") != event_id(MERCHANT, "a/5:b", "1:c")


@given(triples, triples)
def test_different_occurrences_have_different_ids(one, other):
    assert (event_id(*one) == event_id(*other)) == (one == other)
