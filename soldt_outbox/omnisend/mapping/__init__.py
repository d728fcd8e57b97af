"""From an outbox row to the request that tells Omnisend: pure, and the same row gives the same bytes.

A row of a contact or of the catalogue says what changed; with the same consents, and the same products, the same row gives
the same bytes.
"""

from soldt_outbox.omnisend.mapping.catalogue import (
    changed_collection,
    changed_product,
    map_category,
    map_product,
)
from soldt_outbox.omnisend.mapping.contacts import contact_identifiers, map_contact, read_consents
from soldt_outbox.omnisend.mapping.events import line_item_products, map_event, product_ids
from soldt_outbox.omnisend.mapping.recipients import recipient_hash

__all__ = [
    "changed_collection",
    "changed_product",
    "contact_identifiers",
    "line_item_products",
    "map_category",
    "map_contact",
    "map_event",
    "map_product",
    "product_ids",
    "read_consents",
    "recipient_hash",
]
