"""What Omnisend keeps of what it was sent, as the control endpoints show it; shared by server and client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class WelcomeMessage(msgspec.Struct, frozen=True):
    """A welcome message that Omnisend has sent, as a person would find it."""

    brand: str
    contact_id: str
    channel: str
    """email or sms."""
    identifier: str
    sent_at: datetime


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """An identifier of a contact with the status of its channel."""

    kind: str
    """email or phone."""
    identifier: str
    channel: str
    """email or sms."""
    status: str
    """subscribed, nonSubscribed or unsubscribed."""
    changed_at: datetime | None
    """Since when, as the request or the click said; None as long as nobody has told a status."""


class ConsentView(msgspec.Struct, frozen=True, kw_only=True):
    channel: str
    created_at: datetime
    details: dict[str, str]
    """source, ip and userAgent, as far as they were given."""


class ContactView(msgspec.Struct, frozen=True, kw_only=True):
    """All that Omnisend knows of a contact."""

    brand: str
    contact_id: str
    created_at: datetime
    updated_at: datetime
    channels: list[ChannelView]
    fields: dict[str, str]
    tags: list[str]
    custom_properties: dict[str, Any]
    consents: list[ConsentView]

    def status(self, channel: str) -> str | None:
        """The status of a channel; None where the contact has no identifier for it."""
        return next((one.status for one in self.channels if one.channel == channel), None)


class ContactsView(msgspec.Struct, frozen=True, kw_only=True):
    """The contacts of one brand, or of all, and what was done with them."""

    contacts: list[ContactView]
    welcome_messages: list[WelcomeMessage]
    ignored_statuses: int
    """Statuses that were older than the one there was, and had no effect."""
    ignored_identifiers: int
    """Identifiers that belonged to another contact, and had no effect."""


class ProductView(msgspec.Struct, frozen=True, kw_only=True):
    """A product of a brand's catalogue."""

    product_id: str
    body: msgspec.Raw
    """The JSON of the last request that wrote it."""
    created_at: datetime
    updated_at: datetime
    replaced: int
    """How often it was replaced as a whole."""

    @property
    def content(self) -> dict[str, Any]:
        """The body, decoded."""
        return msgspec.json.decode(self.body, type=dict[str, Any])


class ProductsPage(msgspec.Struct, frozen=True, kw_only=True):
    products: list[ProductView]
    total: int
    """How many the brand has in all."""


class CategoryView(msgspec.Struct, frozen=True):
    category_id: str
    title: str
    created_at: datetime
    updated_at: datetime


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who clicks "unsubscribe": a brand's contact, by the address or number the message went to."""

    brand: str
    email: str | None = None
    phone: str | None = None

    def __post_init__(self) -> None:
        if (self.email is None) == (self.phone is None):
            raise ValueError("either email or phone is needed")


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and how far it is."""

    brand: str
    batch_id: str
    method: str
    endpoint: str
    status: str
    """pending, inProgress, finished or stopped."""
    total: int
    errors: int
    response_codes: list[int]
    """Of the items that are done, in their order."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class OAuthClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An application that merchants can connect; without a secret it is a public one and must use PKCE."""

    client_id: str
    client_secret: str | None = None
    redirect_uris: list[str]

    def __repr__(self) -> str:
        return f"OAuthClient({self.client_id})"


class ForBrand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which brand is meant."""

    brand: str


class GrantView(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant has allowed an application."""

    brand: str
    client_id: str
    scopes: list[str]
    revoked: bool
    refreshes: int
    reuses: int
    """How often a refresh token came that had been replaced; each revokes the grant."""


class OAuthView(msgspec.Struct, frozen=True, kw_only=True):
    refreshes: dict[str, int]
    """Access tokens given out for a refresh token, per brand."""
    refused_refreshes: dict[str, int]
    """Refresh tokens that came revoked or spent, per brand."""
    grants: list[GrantView]
