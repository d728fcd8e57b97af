"""The eventID of an occurrence: the same for every attempt, every worker and every rewrite of the same event."""

from __future__ import annotations

from uuid import UUID, uuid5

EVENT_NAMESPACE = UUID("6b1f7a52-6a39-5c0e-9a57-0f4a3c1f8e26")
"""This project's namespace. Changing it changes every eventID: Omnisend would take old events for new ones."""


def event_id(merchant_id: UUID, event_name: str, dedup_key: str) -> UUID:
    """UUIDv5 over the three parts, each preceded by its length, so that no two triples read the same.

    ``event_name`` is this project's (``order_placed``), not Omnisend's. Omnisend takes UUID v4 to v7 and drops a
    second event with the same eventID and eventTime for historical events only (v5 reference, "Events").
    """
    return uuid5(
        EVENT_NAMESPACE,
        f"{merchant_id}/{len(event_name)}:{event_name}/{len(dedup_key)}:{dedup_key.encode('utf-8', 'replace').decode()}",
    )
