"""A transactional outbox between SOLDT's shops on Supabase and Omnisend.

What callers need is here; a worker (``python -m worker``) does the rest::

    from soldt_outbox import CheckoutStarted, enqueue

    with conn.transaction():
        conn.execute("update carts set ...")
        enqueue(conn, CheckoutStarted(merchant_id=shop, contact={"email": ...}, properties={"cartID": ..., ...}))

``record_consent`` and ``contact_changed`` are called likewise. Where there is no database URL, ``soldt_outbox.supabase``
does the same over Supabase's API.
"""

from soldt_outbox.contacts import (
    Consent,
    Contact,
    ContactChanged,
    contact_changed,
    contact_changed_async,
    record_consent,
    record_consent_async,
)
from soldt_outbox.enqueuing import enqueue, enqueue_async, enqueue_many, enqueue_many_async
from soldt_outbox.errors import ConfigurationError, EnqueueFailed, InvalidEvent, OutboxError
from soldt_outbox.events import (
    CheckoutStarted,
    CustomEvent,
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
    "Consent",
    "Contact",
    "ContactChanged",
    "CustomEvent",
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
    "contact_changed",
    "contact_changed_async",
    "enqueue",
    "enqueue_async",
    "enqueue_many",
    "enqueue_many_async",
    "record_consent",
    "record_consent_async",
]
