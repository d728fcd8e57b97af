"""A transactional outbox between SOLDT's shops on Supabase and Omnisend.

What callers need is here; a worker (``python -m worker``) does the rest::

    from soldt_outbox import CheckoutStarted, enqueue

    with conn.transaction():
        conn.execute("update carts set ...")
        enqueue(conn, CheckoutStarted(merchant_id=shop, contact={"email": ...}, properties={"cartID": ..., ...}))

Where there is no database URL, ``soldt_outbox.supabase`` writes events over Supabase's API.
"""

from soldt_outbox.enqueuing import enqueue, enqueue_async, enqueue_many, enqueue_many_async
from soldt_outbox.errors import ConfigurationError, EnqueueFailed, InvalidEvent, OutboxError
from soldt_outbox.events import (
    CheckoutStarted,
    Event,
    EventName,
    OrderCanceled,
    OrderEvent,
    OrderFulfilled,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    ProductAddedToCart,
    ProductViewed,
    ShopEvent,
    canonical_name,
)
from soldt_outbox.version import __version__

__all__ = [
    "CheckoutStarted",
    "ConfigurationError",
    "EnqueueFailed",
    "Event",
    "EventName",
    "InvalidEvent",
    "OrderCanceled",
    "OrderEvent",
    "OrderFulfilled",
    "OrderPaid",
    "OrderPlaced",
    "OrderRefunded",
    "OutboxError",
    "ProductAddedToCart",
    "ProductViewed",
    "ShopEvent",
    "__version__",
    "canonical_name",
    "enqueue",
    "enqueue_async",
    "enqueue_many",
    "enqueue_many_async",
]
