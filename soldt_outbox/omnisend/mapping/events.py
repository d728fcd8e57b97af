"""The way in: which domain event becomes which of Omnisend's."""

from __future__ import annotations

from collections.abc import Mapping

from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.rows import CatalogueProduct, MerchantProfile, OmnisendRequest, OutboxRow, Skip


def map_event(
    row: OutboxRow,
    merchant: MerchantProfile,
    catalogue: Mapping[str, CatalogueProduct],
    dialect: Dialect,
) -> OmnisendRequest | Skip:
    """The request for a row of kind ``event``, or why there is nothing to send.

    ``catalogue`` is by product id as text, and may lack any product. Raises ``PayloadRejected``, which names the
    field, where something an automation depends on is missing or broken; what is optional and broken is left out.
    """
    raise NotImplementedError
