"""Reading an event request as Omnisend would, strictly: what is rejected, and what is accepted without effect."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sandbox.omnisend import money
from sandbox.omnisend.contact import check_contact
from sandbox.omnisend.dialect import Dialect
from sandbox.omnisend.documented import NOT_FOR_SENDING, ORIGIN, RECOMMENDED, RecommendedEvent
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.model import Finding
from sandbox.omnisend.names import near_miss
from sandbox.omnisend.values import anything, instant, is_event_id, json_type, spaced_instant

_ENVELOPE: Final = frozenset(
    {"eventName", "origin", "eventVersion", "eventID", "eventTime", "contact", "properties"}
)
_DECODER: Final = msgspec.json.Decoder()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says about itself, as far as it could be read."""

    event_name: str | None = None
    event_id: str | None = None
    event_time: str | None = None
    email: str | None = None
    content: Any = None
    """The decoded body, where what is done with it needs more than the above."""
    findings: tuple[Finding, ...] = ()

    def is_rejected(self) -> bool:
        """Whether Omnisend answers 400."""
        return any(found.severity == "rejected" for found in self.findings)


NOTHING_READ: Final = Reading()


def decoded(body: bytes, out: Findings) -> dict[str, Any] | None:
    """The JSON object a body is; None, and why, where it is none."""
    try:
        content = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        out.rejected("bad_json", "", "body", f"is not JSON: {error}")
        return None
    if type(content) is not dict:
        out.rejected("bad_json", "", "body", f"must be a JSON object, is {json_type(content)}")
        return None
    return content


def read_event(body: bytes, dialect: Dialect) -> Reading:
    """Decode the body of `POST /events` and check all of it."""
    out = Findings()
    event = decoded(body, out)
    if event is None:
        return Reading(findings=tuple(out.items))
    _check_envelope(event, dialect, out)
    check_contact(event.get("contact"), out)
    _check_properties(event, out)
    return _reading(event, out)


def _reading(event: dict[str, Any], out: Findings) -> Reading:
    contact = event.get("contact")
    email = contact.get("email") if type(contact) is dict else None
    return Reading(
        event_name=_text_or_none(event.get("eventName")),
        event_id=_text_or_none(event.get("eventID")),
        event_time=_text_or_none(event.get("eventTime")),
        email=_text_or_none(email),
        content=contact,
        findings=tuple(out.items),
    )


def _text_or_none(value: Any) -> str | None:
    return value if type(value) is str and value else None


def _check_envelope(event: dict[str, Any], dialect: Dialect, out: Findings) -> None:
    for name in event.keys() - _ENVELOPE:
        out.ignored("envelope_unknown", "", name[:100], "is not a field of an event request")
    for name in ("eventName", "origin"):
        if not event.get(name):
            out.rejected("field_missing", "", name, "is required")
    for name in ("eventName", "origin", "eventVersion", "eventID", "eventTime"):
        value = event.get(name)
        if value is not None and type(value) is not str:
            out.rejected("field_type", "", name, f"must be a string, is {json_type(value)}")
        elif value is None and name in event:
            out.ignored("null", "", name, "is null; leave the field out")
    _check_identity(event.get("eventID"), out)
    _check_time(event.get("eventTime"), dialect, out)
    origin = event.get("origin")
    if type(origin) is str and origin and origin != ORIGIN:
        out.ignored("origin_wrong", "", "origin", f"must be {ORIGIN!r}: prepared automations know no other")


def _check_identity(event_id: Any, out: Findings) -> None:
    if type(event_id) is str and not is_event_id(event_id):
        out.rejected("event_id_invalid", "", "eventID", "must be a UUID of version 4 to 7")


def _check_time(event_time: Any, dialect: Dialect, out: Findings) -> None:
    if type(event_time) is not str or instant(event_time) is not None:
        return
    if not dialect.event_time_with_space or spaced_instant(event_time) is None:
        out.rejected("event_time_invalid", "", "eventTime", "must be an RFC 3339 instant")


def _check_properties(event: dict[str, Any], out: Findings) -> None:
    properties = event.get("properties", {})
    if type(properties) is not dict:
        out.rejected("field_type", "", "properties", f"must be an object, is {json_type(properties)}")
        return
    name = event.get("eventName")
    recommended = RECOMMENDED.get(name) if type(name) is str else None
    if recommended is not None:
        _check_recommended(recommended, event, properties, out)
        return
    if type(name) is str and name:
        _check_custom_name(name, event.get("eventVersion"), out)
    anything(properties, "", "properties", out)


def _check_recommended(
    known: RecommendedEvent, event: dict[str, Any], properties: dict[str, Any], out: Findings
) -> None:
    version = event.get("eventVersion")
    if version is None:
        version = ""
    if type(version) is str and version != known.version:
        out.ignored(
            "event_version_wrong", "", "eventVersion", f"must be {known.version!r} for {known.name!r}"
        )
    known.properties(properties, "", "properties", out)
    for name, words in known.statuses.items():
        if type(properties.get(name)) is str and properties[name] not in words:
            out.ignored(
                "status_contradicts_event",
                "properties",
                name,
                f"must be {' or '.join(words)} in {known.name!r}",
            )
    tracking = properties.get("tracking")
    if type(tracking) is dict and not any(tracking.values()):
        out.ignored("tracking_empty", "properties", "tracking", "says nothing; leave it out")
    _check_amounts(known, properties, out)


def _check_amounts(known: RecommendedEvent, properties: dict[str, Any], out: Findings) -> None:
    if known.family == "order":
        money.check_order(properties, "properties", out)
    elif known.family == "cart":
        money.check_cart(properties, "properties", out)
    else:
        product = properties.get("product")
        if type(product) is dict:
            money.check_product(product, "properties.product", out)


def _check_custom_name(name: str, version: Any, out: Findings) -> None:
    meant = near_miss(name)
    if name in NOT_FOR_SENDING:
        out.ignored("event_name_reserved", "", "eventName", "is Omnisend's own and cannot be sent")
    elif meant is not None:
        out.ignored("event_name_near_miss", "", "eventName", f"becomes a custom event; is {meant!r} meant?")
    elif version and type(version) is str:
        out.ignored("event_version_wrong", "", "eventVersion", "must be left empty for a custom event")
