"""The model is worth what it finds: each of these defects, put into the SQL, it must find within a bounded search."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sandbox.world import Database
from soldt_outbox.sql import queries
from tests.property.machine import History, Housekeeping, Leases, People, Sending, on

# The same search each time, and no shrinking: that there is a counterexample is all that is asked.
_SETTINGS = settings(
    max_examples=100,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class SendingAndLeases(Sending, Leases): ...


class SendingAndHousekeeping(Sending, Housekeeping): ...


class SendingAndPeople(Sending, People): ...


# Which rules it takes, the statement, what it says, what it says instead.
DEFECTS: dict[str, tuple[type[History], str, str, str]] = {
    "settle asks for no token": (SendingAndLeases, "settle", "and o.lease_token = r.token", ""),
    "settle keeps the personal data of what was delivered": (
        Sending,
        "settle",
        "payload = case when r.verdict in ('delivered', 'skipped', 'expired')",
        "payload = case when r.verdict in ('skipped', 'expired')",
    ),
    "settle forgets how long to wait": (
        Sending,
        "settle",
        "now() + coalesce(r.retry_in, interval '0')",
        "now()",
    ),
    "settle counts what was not to be counted": (
        Sending,
        "settle",
        "o.attempts - r.uncounted,",
        "o.attempts,",
    ),
    "settle writes no log": (Sending, "settle", "from settled where logged", "from settled where false"),
    "Omnisend's own pause is cut short": (Sending, "settle", "greatest(n.until, n.told_until)", "n.until"),
    "a new key ends Omnisend's own pause": (
        SendingAndPeople,
        "connect",
        "case when told_until > now() then told_until when pause_reason = 'THROTTLED' then paused_until end",
        "null",
    ),
    "the breaker never opens": (Sending, "settle", "as trips", "and false as trips"),
    "claim looks at no lease": (
        Sending,
        "claim",
        "and (o.lease_until is null or o.lease_until <= now())",
        "",
    ),
    "claim looks at no customer": (
        Sending,
        "claim",
        "where e.ordering_key = o.ordering_key and",
        "where e.id = o.id and",
    ),
    "claim takes rows of the future": (Sending, "claim", "and o.available_at <= now()", ""),
    "claim looks at no pause": (
        Sending,
        "claim",
        "and (l.paused_until is null or l.paused_until <= now())",
        "",
    ),
    "claim charges nothing": (Sending, "claim", "+ coalesce(p.rows, 0) * g.cost", ""),
    "claim sends probes by the handful": (
        Sending,
        "claim",
        "case when l.probing then 1",
        "case when l.probing then 3",
    ),
    "claim leaves the lane open beside a probe": (
        Sending,
        "claim",
        "case when g.probing and p.rows > 0",
        "case when false",
    ),
    "claim counts no rescue": (Sending, "claim", "case when o.lease_token is null then 0 else 1 end", "0"),
    "claim serves whoever was disabled": (SendingAndPeople, "claim", "and i.status <> 'disabled'", ""),
    "claim shares wrongly": (Sending, "claim", "greatest(1, %(limit)s / n.lanes)", "%(limit)s"),
    "claim forgets what was set aside": (
        Sending,
        "claim",
        "from aside where first",
        "from aside where false",
    ),
    "claim looks at one customer of those set aside": (
        Sending,
        "claim",
        "where a.seen < a.reach",
        "where a.seen < 1",
    ),
    "merchants with nothing but rows set aside go unfound": (
        Sending,
        "due_merchants",
        "or a.created_at is not null",
        "",
    ),
    "merchants go unfound": (
        Sending,
        "due_merchants",
        "where ((q.available_at <= now() and not q.held)",
        "where ((q.available_at < now() - interval '1 h' and not q.held)",
    ),
    "renew revives what ran out": (SendingAndLeases, "renew", "and o.lease_until > now()", ""),
    "renew asks for no token": (SendingAndLeases, "renew", "where o.lease_token = held.token and", "where"),
    "the sweep takes rows under way": (
        SendingAndHousekeeping,
        "expire_waiting",
        "and (o.lease_until is null or o.lease_until <= now())",
        "",
    ),
    "pruning takes what is young": (
        Sending,
        "prune_outbox",
        "and settled_at < now() - %(retention)s::interval",
        "",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(shared_database: Database, defect: str) -> None:
    rules, name, right, wrong = DEFECTS[defect]
    assert right in queries[name], f"{name} reads otherwise by now: bring this defect up to date"
    defective = queries | {name: queries[name].replace(right, wrong)}
    with pytest.raises(AssertionError):
        run_state_machine_as_test(on(rules, shared_database, defective), settings=_SETTINGS)
