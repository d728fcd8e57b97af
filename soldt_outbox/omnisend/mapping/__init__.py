"""From an outbox row to the request that tells Omnisend: pure, and the same row gives the same bytes."""

from soldt_outbox.omnisend.mapping.events import map_event, product_ids

__all__ = ["map_event", "product_ids"]
