"""The state all parts of the stand-in share."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import islice

import msgspec

from sandbox.omnisend.batches import Batches
from sandbox.omnisend.brands import Brands
from sandbox.omnisend.catalogue import Catalogue
from sandbox.omnisend.contacts import Contacts, Identifier
from sandbox.omnisend.duplicates import Ledger
from sandbox.omnisend.faults import Faults
from sandbox.omnisend.journal import Journal
from sandbox.omnisend.model import Settings
from sandbox.omnisend.oauth import OAuth
from sandbox.omnisend.views import (
    BatchView,
    CategoryView,
    ContactsView,
    ContactView,
    ProductsPage,
    ProductView,
    Unsubscribe,
)


class World:
    """Brands, what came in and what became of it, what goes wrong, and the settings of it all."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.brands = Brands()
        self.ledger = Ledger()
        self.faults = Faults()
        self.journal = Journal(settings.max_stored, settings.window_s)
        self.batches = Batches(lambda: self.settings)
        self.oauth = self._new_oauth()
        self._contacts: dict[str, Contacts] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self.released = asyncio.Event()
        """Set to end the requests that hang, and replaced by a new one."""

    def _new_oauth(self) -> OAuth:
        return OAuth(lambda: self.settings, lambda: self.brands)

    def redact(self, rendered: bytes) -> bytes:
        """Take all secrets there are out of something about to be shown."""
        rendered = self.brands.redact(rendered)
        for secret in self.oauth.secrets():
            if secret.encode() in rendered:
                rendered = rendered.replace(secret.encode(), b"****")
        return rendered

    def contacts(self, brand_id: str) -> Contacts:
        """The contacts of a brand."""
        found = self._contacts.get(brand_id)
        if found is None:
            found = self._contacts[brand_id] = Contacts(brand_id)
        return found

    def catalogue(self, brand_id: str) -> Catalogue:
        """The products and categories of a brand."""
        return self._catalogues.setdefault(brand_id, Catalogue())

    def products_page(self, brand_id: str, offset: int, limit: int) -> ProductsPage:
        """Products of a brand as they were last sent, in the order in which they were created."""
        products = self.catalogue(brand_id).products
        page = islice(products.values(), offset, offset + limit)
        return ProductsPage(
            products=[
                ProductView(
                    product_id=one.product_id,
                    body=msgspec.Raw(one.body),
                    created_at=one.created_at,
                    updated_at=one.updated_at,
                    replaced=one.replaced,
                )
                for one in page
            ],
            total=len(products),
        )

    def categories_view(self, brand_id: str) -> list[CategoryView]:
        return [
            CategoryView(one.category_id, one.title, one.created_at, one.updated_at)
            for one in self.catalogue(brand_id).categories.values()
        ]

    def batches_view(self, brand_id: str | None = None) -> list[BatchView]:
        """The batches of a brand, or of all, in the order in which they came."""
        return [one.view() for one in self.batches if brand_id in {None, one.brand_id}]

    def contacts_view(self, brand_id: str | None = None) -> ContactsView:
        """The contacts of a brand, or of all."""
        told = [one for name, one in self._contacts.items() if brand_id in {None, name}]
        return ContactsView(
            contacts=[contact for one in told for contact in one.views()],
            welcome_messages=[message for one in told for message in one.welcome_messages],
            ignored_statuses=sum(one.ignored_statuses for one in told),
            ignored_identifiers=sum(one.ignored_identifiers for one in told),
        )

    def unsubscribe(self, who: Unsubscribe) -> ContactView:
        """Let a person click "unsubscribe" in a message.

        Raises:
            ValueError: the brand has no contact with this address or number.
        """
        identifier = (
            Identifier("email", who.email) if who.email is not None else Identifier("phone", who.phone or "")
        )
        return self.contacts(who.brand).unsubscribe(identifier, datetime.now(UTC))

    def change(self, settings: Settings) -> None:
        self.settings = settings
        self.journal.keep(settings.max_stored, settings.window_s)
        self.batches.settings_changed()

    def release(self) -> None:
        """Reset the connections of all requests that hang at this moment."""
        self.released.set()
        self.released = asyncio.Event()

    def reset(self, *, brands: bool = False) -> None:
        """Forget what came in and what became of it, the faults and the rate windows; the brands, and who may act for them, only if asked to."""
        self.release()
        self.faults.clear()
        self.ledger = Ledger()
        self.batches.clear()
        self._contacts.clear()
        self._catalogues.clear()
        self.journal.clear(self.settings.max_stored, self.settings.window_s)
        if brands:
            self.brands = Brands()
            self.oauth = self._new_oauth()
        self.oauth.forget_counts()
        self.brands.forget_requests()
