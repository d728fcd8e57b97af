"""`POST /events`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sandbox.omnisend.answers import ACCEPTED, Answer
from sandbox.omnisend.routing import Call, Endpoint, Methods
from sandbox.omnisend.validation import read_event


def take_event(call: Call) -> Answer:
    """Queue an event, or say what is wrong with it; its contact is created or updated (DOCS/v5/reference-link/events)."""
    if call.reading.is_rejected():
        return call.invalid()
    settings = call.world.settings
    verdict = call.world.ledger.accept(
        call.brand.brand_id,
        call.reading.event_id,
        call.reading.event_time,
        historical_after_s=settings.historical_after_s,
        keep=settings.max_event_ids,
    )
    call.world.journal.accept(
        call.entry, call.brand.brand_id, duplicate=verdict.duplicate, processed=verdict.processed
    )
    told = call.reading.content
    if verdict.processed and not call.world.contacts(call.brand.brand_id).of_event(told, datetime.now(UTC)):
        call.note("contact_id_unknown", "contact.id", "is no contact's, and nothing else says who it is")
    return ACCEPTED


ROUTES: Final[dict[str, Methods]] = {
    "/events": {
        "POST": Endpoint(permission="events.write", read=read_event, act=take_event, takes_body=True)
    },
}
