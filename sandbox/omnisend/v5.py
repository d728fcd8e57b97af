"""Version 5 of the API: `X-API-KEY`, `POST /v5/events`, `GET /v5/brands/current`."""

from __future__ import annotations

from typing import Final

from sandbox.omnisend.answers import ACCEPTED, Answer, invalid, ok
from sandbox.omnisend.dialect import Call, Dialect, Endpoint, Headers
from sandbox.omnisend.validation import read_event


def _api_key(headers: Headers) -> str | None:
    return headers.get("X-API-KEY")


def take_event(call: Call) -> Answer:
    """Queue an event, or say what is wrong with it (DOCS/v5/reference-link/events)."""
    wrong = call.reading.rejections()
    if wrong:
        return invalid(wrong)
    settings = call.world.settings
    verdict = call.world.ledger.accept(
        call.brand.brand_id,
        call.reading.event_id,
        call.reading.event_time,
        historical_after_s=settings.historical_after_s,
        keep=settings.max_event_ids,
    )
    call.world.journal.accept(call.entry, duplicate=verdict.duplicate, processed=verdict.processed)
    return ACCEPTED


def show_brand(call: Call) -> Answer:
    """The brand a key belongs to; the cheapest way to see whether a key is good."""
    brand = call.brand
    return ok(
        {
            "brandID": brand.brand_id,
            "name": brand.name,
            "platform": brand.platform,
            "website": brand.website,
            "version": brand.version,
            "currency": brand.currency,
            "timezone": brand.timezone,
            "connected": brand.connected,
        }
    )


V5: Final = Dialect(
    name="v5",
    prefix="/v5/",
    credential=_api_key,
    routes={
        "/v5/events": {
            "POST": Endpoint(permission="events.write", read=read_event, act=take_event, takes_body=True)
        },
        "/v5/brands/current": {"GET": Endpoint(permission="brands.read", act=show_brand)},
    },
)
