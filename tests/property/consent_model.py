"""A shop, a worker and Omnisend as far as consent goes: the database and the mapping are real, Omnisend is a rule.

Omnisend keeps a status with its instant for each address and ignores an older one (v3 contacts reference). Of the same
instant the last to arrive is taken here: the worse for us.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from sandbox.shops import PROTEA
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.mapping import contact_identifiers, map_contact, read_consents
from soldt_outbox.rows import Kind, MerchantProfile, OmnisendRequest, OutboxRow
from soldt_outbox.sql import queries

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
MERCHANT: Final = MerchantProfile(merchant_id=PROTEA.merchant_id, storefront_url=None)
CHANNELS: Final = ("email", "sms")
_people = count(1)


def at(tick: int) -> datetime:
    """Instants a third of a millisecond apart: two or three are one to Omnisend."""
    return START + timedelta(microseconds=333 * tick)


@dataclass
class Omnisend:
    """One contact's statuses: (status, since) by channel."""

    dialect: Dialect
    statuses: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def take(self, body: bytes) -> None:
        for identifier in json.loads(body)["identifiers"]:
            ((channel, said),) = identifier["channels"].items()
            self.say(channel, said["status"], datetime.fromisoformat(said[self.dialect.status_changed_field]))

    def say(self, channel: str, status: str, since: datetime) -> None:
        if channel not in self.statuses or since >= self.statuses[channel][1]:
            self.statuses[channel] = (status, since)

    def status(self, channel: str) -> str | None:
        return self.statuses.get(channel, (None,))[0]


class Person:
    """Somebody new at the shop, whose every word is remembered."""

    def __init__(self, conn: psycopg.Connection[Any], dialect: Dialect) -> None:
        number = next(_people)
        self.addresses = {"email": f"person-{number}@example.com", "sms": f"+2782{number:07}"}
        self.omnisend = Omnisend(dialect)
        self.waiting: list[OutboxRow] = []
        self.under_way: list[OmnisendRequest] = []
        self._said: dict[str, list[tuple[datetime, bool]]] = {channel: [] for channel in CHANNELS}
        self._unread: list[tuple[str, datetime]] = []
        self._conn = conn

    def last_word(self, channel: str) -> bool | None:
        """Whether they agreed last; of the same instant no counts. None: they never said anything."""
        said = self._said[channel]
        return max(said, key=lambda word: (word[0], not word[1]))[1] if said else None

    def says(self, channel: str, tick: int, *, given: bool, origin: str = "shop") -> None:
        """Recorded now, of an instant that may be long past; the row waits."""
        self._said[channel].append((at(tick), given))
        self._record(channel, at(tick), given=given, origin=origin)

    def orders(self) -> None:
        """An order's contact, which says nothing of consent."""
        self.waiting.append(
            self._row(
                "contact_changed", {"email": self.addresses["email"], "phone": self.addresses["sms"]}, "o"
            )
        )

    def unsubscribes_at_omnisend(self, channel: str, tick: int) -> None:
        """By the link in a message; the shop does not know yet. Never at the very instant of a word to the shop."""
        when = at(tick) + timedelta(microseconds=100)
        self._said[channel].append((when, False))
        self.omnisend.say(channel, "unsubscribed", when)
        self._unread.append((channel, when))

    def is_read_back(self) -> None:
        """The shop reads what was said at Omnisend."""
        for channel, when in self._unread:
            self._record(channel, when, given=False, origin="omnisend")
        self._unread.clear()

    def is_looked_up(self, which: int) -> None:
        """A worker takes a row and reads what holds; the request may arrive much later."""
        if self.waiting:
            request = self._mapped(self.waiting.pop(which % len(self.waiting)))
            self.under_way.append(request)

    def arrives(self, which: int, *, twice: bool) -> None:
        """A request reaches Omnisend; one whose answer was lost does so again."""
        if self.under_way:
            which %= len(self.under_way)
            self.omnisend.take(self.under_way[which].body)
            if not twice:
                del self.under_way[which]

    def everything_arrives(self) -> None:
        """Those that waited go first, and what was longest under way comes last."""
        for row in self.waiting:
            self.omnisend.take(self._mapped(row).body)
        for request in reversed(self.under_way):
            self.omnisend.take(request.body)

    def _record(self, channel: str, when: datetime, *, given: bool, origin: str) -> None:
        found = self._conn.execute(
            queries["record_consent"],
            {
                "merchant_id": MERCHANT.merchant_id,
                "channel": channel,
                "identifier": self.addresses[channel],
                "given": given,
                "source": "anywhere",
                "occurred_at": when,
                "contact": json.dumps({"email": self.addresses["email"], "phone": self.addresses["sms"]}),
                "ip": None,
                "user_agent": None,
                "origin": origin,
            },
        ).fetchone()
        assert found is not None
        written = self._conn.execute(
            "select name, payload, dedup_key from public.integrations_omnisend_outbox "
            "where merchant_id = %s and kind = 'contact' and dedup_key = %s",
            [MERCHANT.merchant_id, str(found[0])],
        ).fetchall()
        known = {row.dedup_key for row in self.waiting}
        self.waiting += [self._row(name, payload, key) for name, payload, key in written if key not in known]

    def _mapped(self, row: OutboxRow) -> OmnisendRequest:
        pairs = contact_identifiers(row, MERCHANT)
        looked_up = (
            self._conn.cursor(row_factory=dict_row)
            .execute(
                queries["consent_states"],
                {
                    "merchants": [MERCHANT.merchant_id] * len(pairs),
                    "channels": [channel for channel, _ in pairs],
                    "identifiers": [identifier for _, identifier in pairs],
                },
            )
            .fetchall()
        )
        consents = read_consents(looked_up).get(MERCHANT.merchant_id, {})
        request = map_contact(row, MERCHANT, consents, self.omnisend.dialect)
        assert isinstance(request, OmnisendRequest)
        return request

    @staticmethod
    def _row(name: str, payload: dict[str, Any], dedup_key: str) -> OutboxRow:
        return OutboxRow(
            id=1,
            merchant_id=MERCHANT.merchant_id,
            kind=Kind.CONTACT,
            name=name,
            dedup_key=dedup_key,
            payload=payload,
            occurred_at=START,
            expires_at=None,
            expired=False,
            attempts=1,
            rescues=0,
            lease_token=UUID(int=1),
            created_at=START,
        )
