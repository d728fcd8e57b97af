"""What is told to Omnisend for a merchant beside its shop's events, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from soldt_outbox.administration.merchants import Merchant
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import UnknownMerchant


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A merchant's switches; see the columns' comments in the database. ``api_version`` None: the worker's setting."""

    contacts: bool
    catalogue: bool
    ordered_products: bool
    api_version: str | None
    locale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What to set; None leaves as it is. ``api_version`` ``"default"``: back to the worker's setting."""

    contacts: bool | None = None
    catalogue: bool | None = None
    ordered_products: bool | None = None
    api_version: str | None = None
    locale: str | None = None


async def configure(database: AsyncDatabase, merchant: Merchant, change: Change) -> Configuration:
    """Change what ``change`` names; all of it as it stands then.

    What is switched on is told from now on; what there was before takes a `resync`. Raises ``UnknownMerchant`` where the
    merchant was never connected.
    """
    rows = await database.run("configure", {"merchant_id": merchant.merchant_id} | asdict(change))
    if not rows:
        raise UnknownMerchant(
            f"{merchant} was never connected to Omnisend: `soldt-outbox connect --merchant {merchant}` first"
        )
    return Configuration(**rows[0])
