"""What a peer's job carries: the body that this project's worker sends for the steady writer's orders, ready made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from benchmarks.shops import merchant_id
from benchmarks.the_order import as_json
from soldt_outbox.json_objects import decode, encode
from soldt_outbox.omnisend.identity import event_id
from soldt_outbox.omnisend.mapping import map_event
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, OutboxRow

KEY = "bench-key"

_MERCHANT = merchant_id(0)


def _order(number: int, at: datetime) -> dict[str, Any]:
    """As ``to_jsonb`` of its row reads."""
    order = decode(encode(as_json(_MERCHANT, "steady@shopper.example")))  # amounts as decimals
    return order | {"id": number, "created_at": at.isoformat(), "updated_at": at.isoformat()}


def _mapped() -> bytes:
    now = datetime.now(UTC)
    row = OutboxRow(
        id=1,
        merchant_id=_MERCHANT,
        kind=Kind.EVENT,
        name="order_placed",
        dedup_key="1",
        payload=_order(1, now),
        occurred_at=now,
        expires_at=None,
        expired=False,
        attempts=0,
        rescues=0,
        lease_token=uuid4(),
        created_at=now,
    )
    profile = MerchantProfile(merchant_id=_MERCHANT, storefront_url="https://soldt.co.za/s/bench")
    request = map_event(row, profile, {})
    if not isinstance(request, OmnisendRequest):
        raise TypeError(f"the benchmark's own order is not sent: {request}")
    return request.body


_BODY = _mapped()
_ITS_EVENT = str(event_id(_MERCHANT, "order_placed", "1")).encode()


def body(event: UUID) -> bytes:
    """The body of the event with this eventID."""
    return _BODY.replace(_ITS_EVENT, str(event).encode())
