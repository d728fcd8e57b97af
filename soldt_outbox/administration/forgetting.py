"""Forgetting a person on request: what is held of an e-mail address, a phone, or both, of one merchant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from soldt_outbox.administration.merchants import Merchant
from soldt_outbox.errors import ConfigurationError, SchemaError
from soldt_outbox.omnisend.mapping import people
from soldt_outbox.sql import queries

_NEEDED: Final = "give one e-mail address, one phone number, or one of each, each on a line of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom to forget: the e-mail address as it is sent, the phone in E.164 form; at least one of them."""

    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How much went. ``in_hand``: rows that a worker held, of which nothing went: to be forgotten again.

    ``rows`` waited or were dead; ``batch_items`` were named in batches that are not done; ``told`` is what was remembered
    of batches; ``logs`` are log rows that no longer say whom they are about.
    """

    merchant: Merchant
    consents: int
    rows: int
    batch_items: int
    told: int
    logs: int
    in_hand: int


def read_person(text: str, country: str) -> Person:
    """The person whose addresses stand in ``text``, one a line; ``country`` is where a phone without ``+`` belongs.

    Raises ``ConfigurationError``, which repeats none of it.
    """
    emails, phones = list[str](), list[str]()
    for line in filter(None, map(str.strip, text.splitlines())):
        email, phone = people.email(line), people.consent_phone(line, country)
        if email is not None:
            emails.append(email)
        elif phone is not None:
            phones.append(phone)
        else:
            raise ConfigurationError(
                f"this is neither an e-mail address nor a phone number that could be dialled: {_NEEDED}"
            )
    if not (emails or phones) or len(emails) > 1 or len(phones) > 1:
        raise ConfigurationError(f"one person at a time: {_NEEDED}")
    return Person(email=next(iter(emails), None), phone=next(iter(phones), None))


def forget(conn: psycopg.Connection[Any], merchant: Merchant, person: Person) -> Forgotten:
    """Forget the person, as the tables' owner or ``service_role``, in one transaction.

    Raises ``SchemaError`` where the role may not, and where the tables are older than this.
    """
    parameters = {"merchant_id": merchant.merchant_id, "email": person.email, "phone": person.phone}
    try:
        row = conn.execute(queries["forget_person"], parameters).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        raise SchemaError("this needs the owner of the tables: let DATABASE_URL log in as postgres") from None
    except psycopg.errors.UndefinedFunction:
        raise SchemaError("the outbox's tables are older than this: run `soldt-outbox migrate`") from None
    assert row is not None  # noqa: S101 - a function gives a row
    return Forgotten(merchant=merchant, **row[0])
