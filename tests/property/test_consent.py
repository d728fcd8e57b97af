"""For no order of consents, orders, imports and unsubscribes does a person who opted out last end subscribed.

Rows are recorded late, looked up long before they are sent, sent twice, and overtaken by one another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sandbox.shops import PROTEA
from sandbox.world import Database
from soldt_outbox.omnisend.dialects import V5, V2026_03_15, Dialect
from soldt_outbox.omnisend.mapping import contacts
from soldt_outbox.omnisend.mapping.contacts import ConsentState
from soldt_outbox.omnisend.mapping.reading import instant
from soldt_outbox.sql import queries
from tests.property.consent_model import CHANNELS, Person

_THOROUGH = os.environ.get("OUTBOX_PROPERTY_PROFILE") == "thorough"

search = settings(
    max_examples=20_000 if _THOROUGH else 600,
    derandomize=not _THOROUGH,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

channels = st.sampled_from(CHANNELS)
ticks = st.integers(0, 6)  # few, so that instants often are the same
places = st.integers(0, 5)


@dataclass(frozen=True)
class Says:
    channel: str
    tick: int
    given: bool
    origin: str

    def happen(self, person: Person) -> None:
        person.says(self.channel, self.tick, given=self.given, origin=self.origin)


@dataclass(frozen=True)
class Orders:
    def happen(self, person: Person) -> None:
        person.orders()


@dataclass(frozen=True)
class Unsubscribes:
    channel: str
    tick: int

    def happen(self, person: Person) -> None:
        person.unsubscribes_at_omnisend(self.channel, self.tick)


@dataclass(frozen=True)
class IsReadBack:
    def happen(self, person: Person) -> None:
        person.is_read_back()


@dataclass(frozen=True)
class IsLookedUp:
    which: int

    def happen(self, person: Person) -> None:
        person.is_looked_up(self.which)


@dataclass(frozen=True)
class Arrives:
    which: int
    twice: bool

    def happen(self, person: Person) -> None:
        person.arrives(self.which, twice=self.twice)


Happening = Says | Orders | Unsubscribes | IsReadBack | IsLookedUp | Arrives
says = st.builds(Says, channels, ticks, st.booleans(), st.sampled_from(["shop", "import"]))
looked_up = st.builds(IsLookedUp, places)
histories = st.lists(
    st.one_of(  # what makes the difference is named more often than once
        *(says, says, says, looked_up, looked_up),
        st.builds(Orders),
        st.builds(Unsubscribes, channels, ticks),
        st.builds(IsReadBack),
        st.builds(Arrives, places, st.booleans()),
    ),
    min_size=6,  # or they are about five long
    max_size=18,
)
dialects = st.sampled_from([V5, V2026_03_15])


def synchronise(conn: psycopg.Connection) -> None:
    conn.execute(
        "insert into public.integrations_omnisend (merchant_id, sync_contacts) values (%s, true)",
        [PROTEA.merchant_id],
    )


@pytest.fixture
def shop(shared_database: Database) -> Iterator[psycopg.Connection]:
    with shared_database.connect("omnisend_worker") as conn:
        synchronise(conn)
        yield conn
        conn.rollback()


def ends(conn: psycopg.Connection, dialect: Dialect, history: list[Happening]) -> Person:
    person = Person(conn, dialect)
    for happening in history:
        happening.happen(person)
    person.everything_arrives()
    return person


def opt_outs_hold(person: Person) -> None:
    """Not even as "never said anything": that would be forgotten at the next consent that arrives late."""
    for channel in CHANNELS:
        said, status = person.last_word(channel), person.omnisend.status(channel)
        if said is None:
            assert status in (None, "nonSubscribed")
        elif not said:
            assert status == "unsubscribed"


@search
@given(dialects, histories)
def test_a_person_who_opted_out_last_never_ends_subscribed(
    shop: psycopg.Connection, dialect: Dialect, history: list[Happening]
) -> None:
    opt_outs_hold(ends(shop, dialect, history))


@search
@given(dialects, st.lists(st.tuples(channels, ticks, st.booleans()), min_size=1, max_size=8))
def test_a_person_who_opted_in_last_ends_subscribed(
    shop: psycopg.Connection, dialect: Dialect, said: list[tuple[str, int, bool]]
) -> None:
    """Otherwise subscribing nobody would do. Minutes apart, so that no form seems to be posted twice."""
    history = [Says(channel, 400_000 * tick, agrees, "shop") for channel, tick, agrees in said]
    person = ends(shop, dialect, [happening for word in history for happening in (word, Orders())])
    for channel in CHANNELS:
        assert (person.last_word(channel) is True) == (person.omnisend.status(channel) == "subscribed")


# The property is worth what it finds: each of these defects it must find. ---------------------------------------------------


def _instant_as_it_is(state: ConsentState | None) -> str:
    return contacts.NEVER_SAID if state is None else instant(state.since)


def _instant_of_sending(_state: ConsentState | None) -> str:
    return "2026-06-01T00:00:00.000Z"


def _orders_instant(state: ConsentState | None) -> str:
    return "2026-06-01T00:00:00.000Z" if state is None else _instant_as_it_is(state)


@pytest.mark.parametrize(
    "defect", [_instant_as_it_is, _instant_of_sending, _orders_instant], ids=lambda defect: defect.__name__
)
def test_it_finds_a_wrong_instant(
    shop: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, defect: Callable[[ConsentState | None], str]
) -> None:
    monkeypatch.setattr(contacts, "_status_changed", defect)
    finds_a_counterexample(shop)


@pytest.mark.parametrize("order", ["c.occurred_at desc, c.given desc, c.id desc", "c.id desc"])
def test_it_finds_a_wrong_newest(
    shared_database: Database, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    wrong = """
        select w.merchant_id, w.channel, w.identifier, case when c.given then 'subscribed' else 'unsubscribed' end as status,
          c.occurred_at as since, c.source, null as ip, null as user_agent, c.origin, false as recent, c.id as consent_id
        from unnest(%(merchants)s::uuid[], %(channels)s::text[], %(identifiers)s::text[]) as w (merchant_id, channel, identifier)
        cross join lateral (
          select * from public.integrations_omnisend_consents c
          where c.merchant_id = w.merchant_id and c.channel = w.channel and c.identifier = w.identifier order by {} limit 1
        ) c
    """
    monkeypatch.setitem(queries, "consent_states", wrong.format(order))  # type: ignore[arg-type]
    with shared_database.connect() as owner:
        synchronise(owner)
        finds_a_counterexample(owner)
        owner.rollback()


def finds_a_counterexample(conn: psycopg.Connection) -> None:
    @settings(search, phases=[Phase.generate], report_multiple_bugs=False)
    @given(dialects, histories)
    def holds(dialect: Dialect, history: list[Happening]) -> None:
        opt_outs_hold(ends(conn, dialect, history))

    with pytest.raises(AssertionError):
        holds()
