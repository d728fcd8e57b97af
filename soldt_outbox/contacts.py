"""Consent and changed contacts, recorded inside the caller's own psycopg transaction: they commit together or not at all.

    with conn.transaction():
        conn.execute("insert into customers ...")
        record_consent(conn, Consent(merchant_id=shop, channel="email", identifier=email, source="newsletter form"))

What holds is what a person said last, by ``occurred_at``. Omnisend is told by the worker, where the merchant has
``sync_contacts`` on. The connection's role must be the owner of the tables, ``service_role`` or ``omnisend_worker``.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self, assert_never
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row
from pydantic import (
    AfterValidator,
    AliasGenerator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyAddress,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from soldt_outbox.errors import InvalidEvent, PayloadRejected
from soldt_outbox.events import JsonObject, in_a_sentence, storable
from soldt_outbox.json_objects import encode
from soldt_outbox.omnisend.mapping.contact_details import contact_properties
from soldt_outbox.omnisend.mapping.contacts import Channel, Origin
from soldt_outbox.omnisend.mapping.people import E164, consent_phone, email
from soldt_outbox.sql import queries

Text = Annotated[str, Field(max_length=1_000), AfterValidator(storable)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Any problem as ``InvalidEvent``: pydantic's words would repeat the customer's data."""
        try:
            return handler(data)
        except ValidationError as error:
            raise InvalidEvent(in_a_sentence(error)) from None


class Contact(_Checked):
    """What is known of a customer. Omnisend's limits are kept by the mapping, which cuts what is longer."""

    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))

    email: Text | None = None
    phone: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    address: Text | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    country: Text | None = None
    country_code: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    birthdate: date | None = None
    gender: Literal["m", "f"] | None = None
    tags: Annotated[tuple[Text, ...], Field(max_length=100)] | None = None
    custom_properties: JsonObject | None = None
    created_at: AwareDatetime | None = None

    @field_validator("custom_properties")
    @classmethod
    def _as_omnisend_takes(cls, properties: dict[str, Any] | None) -> dict[str, Any] | None:
        """As the caller gave them, where the mapping will take them."""
        try:
            contact_properties(properties or {}, "")
        except PayloadRejected as error:
            raise ValueError(f"'{error.field.removeprefix('.')}' {error.problem}") from None
        return properties

    def payload_json(self) -> str:
        """As the database takes it: Omnisend's names, and only what is known."""
        return encode(self.model_dump(by_alias=True, exclude_none=True)).decode()


class Consent(_Checked):
    """A person agrees to be written to on a channel, or (``given=False``) no longer does.

    ``identifier`` is the e-mail or the phone; a phone without a country is one of the merchant's. ``occurred_at`` is
    when they said so; now, unless told. ``source`` says where. Raises ``InvalidEvent`` for what cannot be one.
    """

    merchant_id: UUID
    channel: Channel
    identifier: Text
    given: bool = True
    source: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(storable)] = "checkout"
    occurred_at: AwareDatetime | None = None
    contact: Contact | None = None
    ip: IPvAnyAddress | None = None
    user_agent: Text | None = None
    origin: Origin = Origin.SHOP

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.channel is Channel.EMAIL:
            self.address()
        return self

    @property
    def needs_country(self) -> bool:
        """Whether the identifier is a phone that is not in E.164 form yet."""
        return self.channel is Channel.SMS and E164.fullmatch(self.identifier) is None

    def address(self, country: str = "") -> str:
        """The identifier as it is recorded; ``country`` is where its phone belongs. Raises ``InvalidEvent``."""
        match self.channel:
            case Channel.EMAIL:
                found = email(self.identifier)
                if found is None or not found.isascii():
                    raise InvalidEvent(
                        "identifier: is no e-mail address (an international domain: in its xn-- form)"
                    )
            case Channel.SMS:
                found = consent_phone(self.identifier, country) if self.needs_country else self.identifier
                if found is None:
                    raise InvalidEvent(f"identifier: is no phone that could be dialled in {country}")
            case _:
                assert_never(self.channel)
        return found


class ContactChanged(_Checked):
    """A customer signed up or changed details. With ``changed_at``, what was told before is told again."""

    merchant_id: UUID
    contact: Contact
    changed_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if not (self.contact.email or self.contact.phone):
            raise InvalidEvent("contact: needs an email or a phone")
        return self


def record_consent(conn: psycopg.Connection[Any], consent: Consent) -> int | None:
    """Record it; the consent's id, or ``None`` where the merchant was never connected.

    The same consent given again within a minute is the same one. Raises ``InvalidEvent`` for a phone that cannot be
    one, and ``psycopg.Error`` as any statement of the transaction does.
    """
    with conn.cursor(row_factory=tuple_row) as cursor:
        country = ""
        if consent.needs_country:
            found = cursor.execute(
                queries["merchant_country"], {"merchant_id": consent.merchant_id}
            ).fetchone()
            if found is None:
                return None
            country = found[0]
        return _id(cursor.execute(queries["record_consent"], _recorded(consent, country)).fetchone())


async def record_consent_async(conn: psycopg.AsyncConnection[Any], consent: Consent) -> int | None:
    """As ``record_consent``, on an async connection."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        country = ""
        if consent.needs_country:
            await cursor.execute(queries["merchant_country"], {"merchant_id": consent.merchant_id})
            found = await cursor.fetchone()
            if found is None:
                return None
            country = found[0]
        await cursor.execute(queries["record_consent"], _recorded(consent, country))
        return _id(await cursor.fetchone())


def contact_changed(conn: psycopg.Connection[Any], changed: ContactChanged) -> int | None:
    """Have Omnisend told; the outbox row's id, or ``None`` where it was, or contacts are not synchronised."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        return _id(cursor.execute(queries["contact_changed"], _told(changed)).fetchone())


async def contact_changed_async(conn: psycopg.AsyncConnection[Any], changed: ContactChanged) -> int | None:
    """As ``contact_changed``, on an async connection."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(queries["contact_changed"], _told(changed))
        return _id(await cursor.fetchone())


def _id(row: tuple[Any, ...] | None) -> int | None:
    return None if row is None else row[0]


def _recorded(consent: Consent, country: str) -> dict[str, Any]:
    return {
        "merchant_id": consent.merchant_id,
        "channel": consent.channel.value,
        "identifier": consent.address(country),
        "given": consent.given,
        "source": consent.source,
        "occurred_at": consent.occurred_at,
        "contact": None if consent.contact is None else consent.contact.payload_json(),
        "ip": None if consent.ip is None else str(consent.ip),
        "user_agent": consent.user_agent,
        "origin": consent.origin.value,
    }


def _told(changed: ContactChanged) -> dict[str, Any]:
    return {
        "merchant_id": changed.merchant_id,
        "contact": changed.contact.payload_json(),
        "changed_at": changed.changed_at,
    }
