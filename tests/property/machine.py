"""Random histories of shops, workers and time, each step checked against the reference.

Rules come in four groups, so that a search may be kept to what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sandbox.shops import SHOPS, Shop
from sandbox.world import Database
from soldt_outbox.rows import Due, Kind, OutboxRow, Outcome, Pause, PauseReason, Verdict
from soldt_outbox.sql import queries
from soldt_outbox.store import Breaker, Budget
from tests.property.driver import Driver, finish
from tests.property.reference import Reference

LEASE = timedelta(seconds=60)
# Small, so that a dozen rows meet every limit there is: a request every five seconds, four ahead.
BUDGET = Budget(requests_per_minute=12, burst=4)
BREAKER = Breaker(failures=3, pause=timedelta(seconds=30))
PATIENCE = 1  # one row that waits beyond those that are wanted, and the others are set aside
RETENTION = timedelta(minutes=10)
WORKERS = 3
_MERCHANTS = [shop.merchant_id for shop in SHOPS]
_HEALING = timedelta(minutes=20)  # longer than any lease, pause or wait that the rules make

# What a send may come to, as the worker tells it.
_ANSWERS: dict[str, dict[str, Any]] = {
    "delivered": {"verdict": Verdict.DELIVERED, "healthy": True, "requests_made": 1},
    "rejected": {"verdict": Verdict.DEAD, "healthy": True, "requests_made": 1, "error": "400"},
    "skipped": {"verdict": Verdict.SKIPPED, "error": "missing_identity"},
    "expired": {"verdict": Verdict.EXPIRED, "error": "waited past its time to live"},
    "failed": {"verdict": Verdict.RETRY, "healthy": False, "requests_made": 2, "error": "500"},
    "gave up": {"verdict": Verdict.DEAD, "healthy": False, "requests_made": 1, "error": "500, the last"},
    "cut off": {"verdict": Verdict.RETRY, "requests_made": 1, "counted": False},
    "handed back": {"verdict": Verdict.RELEASE, "counted": False},
    "refused": {
        "verdict": Verdict.RELEASE,
        "healthy": False,
        "counted": False,
        "requests_made": 1,
        "pause": Pause(
            reason=PauseReason.AUTH,
            duration=timedelta(minutes=5),
            message="wrong key",
            breaks_integration=True,
        ),
    },
    "throttled": {
        "verdict": Verdict.RELEASE,
        "counted": False,
        "requests_made": 1,
        "pause": Pause(reason=PauseReason.THROTTLED, duration=timedelta(seconds=60), message="429"),
    },
}

shops = st.sampled_from(SHOPS)
workers = st.integers(0, WORKERS - 1)
# What moves a lane comes up more often.
answers = st.sampled_from([*_ANSWERS, *["delivered", "failed", "throttled", "refused"] * 2])
batches = st.one_of(
    st.builds(lambda answer, n: [answer] * n, answers, st.integers(1, 6)),
    st.lists(answers, min_size=1, max_size=6),
)
people = st.lists(st.sampled_from(["nomsa", "Nomsa", "sipho", "zanele", None, None]), min_size=1, max_size=6)
times_to_live = st.sampled_from([timedelta(days=14), timedelta(days=14), timedelta(seconds=30)])
waits = st.sampled_from([timedelta(seconds=n) for n in (0, 5, 20, 300)])


class History(RuleBasedStateMachine):
    """What every history has: shops that write, time that passes, and at the end everything goes out."""

    def make_driver(self) -> Driver:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.driver = self.make_driver().__enter__()
        self.store = self.driver.store
        self.reference = Reference(budget=BUDGET, breaker=BREAKER, patience=PATIENCE)
        self.held: list[list[OutboxRow]] = [[] for _ in range(WORKERS)]
        self.left: list[OutboxRow] = []  # what somebody held once: most tokens among them are stale
        self.written = 0

    @initialize(customers=people, lasts=times_to_live)
    def open_for_business(self, customers: list[str | None], lasts: timedelta) -> None:
        for shop in SHOPS:
            self._connect(shop)
            self.write(shop, customers, timedelta(), lasts)

    @rule(
        shop=shops,
        customers=people,
        delay=st.sampled_from([timedelta(), timedelta(), timedelta(), timedelta(seconds=120)]),
        lasts=times_to_live,
    )
    def write(self, shop: Shop, customers: list[str | None], delay: timedelta, lasts: timedelta) -> None:
        for customer in customers:
            self.written += 1
            self._write(shop, self.written, customer, delay, lasts)

    @rule(duration=st.sampled_from([1, 6, 20, 40, 61, 61, 400, 400, 30 * 3600]))
    def pass_time(self, duration: int) -> None:
        """In a longer time, somebody prunes."""
        self.driver.pass_time(timedelta(seconds=duration))
        if duration > 61:
            pruned = self.driver.run("prune_outbox", retention=RETENTION, after=0, limit=1000)
            self.reference.pruned(self.driver.now, [row["id"] for row in pruned], RETENTION)

    @invariant()
    def as_foretold(self) -> None:
        if self.reference.rows:
            self.driver.run("who_am_i")  # for its instant
            self.reference.check_rows(self.driver.rows(), self.driver.logged(), self.driver.now)
            self.reference.check_lanes(self.driver.lanes(), self.driver.now)

    def teardown(self) -> None:
        try:
            self._drain()
        finally:
            self.driver.__exit__()

    def _drain(self) -> None:
        """Nothing is unclaimable for ever: with every shop connected and every answer sound, all of it goes out.

        Each round a lane has had time to heal and gives one row at least, so there are no more rounds than rows.
        """
        self.held = [[] for _ in range(WORKERS)]
        for shop in SHOPS:
            self._connect(shop)
        waiting = {row.id for row in self.reference.rows.values() if row.pending}
        for _ in range(len(waiting) + 2):
            if not waiting:
                return
            self.driver.pass_time(_HEALING)
            self._claim(0, _MERCHANTS, 50)
            rows, self.held[0] = self.held[0], []
            self._settle([(row, "expired" if row.expired else "delivered") for row in rows])
            waiting -= {row.id for row in rows}
        assert not waiting, f"{len(waiting)} rows are never given to anybody"

    # -- what rules are made of: each does one thing and tells the reference ------------------------------------------

    def _write(
        self, shop: Shop, order: int, customer: str | None, delay: timedelta, lasts: timedelta
    ) -> None:
        key, email = f"order-{order}", customer and f"{customer}@example.com"
        row_id = self.driver.enqueue(shop, key, email, delay=delay, lasts=lasts)
        person = customer and customer.lower()
        now, merchant = self.driver.now, shop.merchant_id
        self.reference.written(now, row_id, merchant, key, person, delay=delay, lasts=lasts)

    def _connect(self, shop: Shop) -> None:
        self.driver.connect(shop)
        self.reference.connected(shop.merchant_id)

    def _disable(self, shop: Shop) -> None:
        self.driver.set_status(shop, "disabled")
        self.reference.disabled.add(shop.merchant_id)

    def _claim(self, worker: int, asked: list[UUID], limit: int) -> None:
        found = {due.merchant_id: due for due in finish(self.store.due_merchants())}
        self.reference.found_due(self.driver.now, list(found))
        lanes = self.driver.lanes()
        aside = [row.id for row in self.driver.rows() if row.state == "pending" and row.available_at is None]
        due = [found.get(merchant) or Due(merchant_id=merchant, kind=Kind.EVENT) for merchant in asked]
        taken = finish(self.store.claim(due, limit=limit, worker_id=f"worker-{worker}", lease=LEASE))
        self.reference.claimed(
            self.driver.now, taken, asked=asked, limit=limit, lease=LEASE, lanes=lanes, aside=aside
        )
        self.held[worker] += taken

    def _settle(self, answered: Iterable[tuple[OutboxRow, str]], wait: timedelta = timedelta()) -> None:
        outcomes = [_outcome(row, answer, wait) for row, answer in answered]
        if outcomes:
            ids = finish(self.store.settle(outcomes))
            self.reference.settled(self.driver.now, outcomes, ids, self.driver.lanes())

    def _settle_first(self, worker: int, said: list[str], wait: timedelta) -> None:
        mine = self.held[worker]
        batch, self.held[worker] = mine[: len(said)], mine[len(said) :]
        self._settle(zip(batch, said, strict=False), wait)
        self.left += batch

    def _renew(self, rows: list[OutboxRow]) -> None:
        ids = finish(self.store.renew(rows, lease=LEASE))
        self.reference.renewed(self.driver.now, rows, ids, LEASE)

    def _release(self, rows: list[OutboxRow]) -> None:
        self._settle((row, "handed back") for row in rows)

    def _busy(self, worker: int) -> int:
        """This worker, or the next one that holds anything."""
        return next((w for n in range(WORKERS) if self.held[w := (worker + n) % WORKERS]), worker)


class Sending(History):
    """Workers claim and settle."""

    @rule(worker=workers, limit=st.sampled_from([12, 12, 50, 6, 3]))
    def claim_of_all(self, worker: int, limit: int) -> None:
        """Two workers, one directly after the other."""
        self._claim(worker, _MERCHANTS, limit)
        self._claim((worker + 1) % WORKERS, _MERCHANTS, limit)

    @rule(
        worker=workers,
        asked=st.sets(st.sampled_from(_MERCHANTS), min_size=1).map(sorted),
        limit=st.sampled_from([1, 2, 3, 50]),
    )
    def claim_of_some(self, worker: int, asked: list[UUID], limit: int) -> None:
        self._claim(worker, asked, limit)

    @precondition(lambda self: any(self.held))
    @rule(worker=workers, said=batches, wait=waits)
    def settle(self, worker: int, said: list[str], wait: timedelta) -> None:
        self._settle_first(self._busy(worker), said, wait)

    @rule(worker=workers, said=batches, wait=waits, after=st.sampled_from([0, 1, 20, 59, 61]))
    def work(self, worker: int, said: list[str], wait: timedelta, after: int) -> None:
        """The whole way: claim, take a while to send, settle."""
        self._claim(worker, _MERCHANTS, 12)
        self.driver.pass_time(timedelta(seconds=after))
        self._settle_first(worker, said, wait)


class Leases(History):
    """Workers renew, stop, die, and come back from the dead."""

    @precondition(lambda self: any(self.held))
    @rule(worker=workers, how=st.sampled_from(["renew", "renew", "stop", "crash"]))
    def hold_or_let_go(self, worker: int, how: str) -> None:
        worker = self._busy(worker)
        mine = _newest(self.held[worker])
        if how == "renew":
            self._renew(mine)
            return
        if how == "stop":
            self._release(mine)
        self.left += mine
        self.held[worker] = []

    @precondition(lambda self: self.left)
    @rule(how=st.sampled_from(["renew", "stop"]))
    def come_back(self, how: str) -> None:
        """A worker that was given up for dead wakes up and believes that it holds what it held."""
        (self._renew if how == "renew" else self._release)(_newest(self.left[-8:]))

    @precondition(lambda self: self.left)
    @rule(said=batches, mixed_with=workers, wait=waits)
    def settle_late(self, said: list[str], mixed_with: int, wait: timedelta) -> None:
        """It writes what it had; perhaps in one batch with what somebody holds rightly."""
        old = list(zip(_newest(self.left[-8:]), said, strict=False))
        mine, self.held[mixed_with] = self.held[mixed_with][:1], self.held[mixed_with][1:]
        taken = {row.id for row, _ in old}
        self._settle(old + [(row, "delivered") for row in mine if row.id not in taken], wait)
        self.left += mine


class Housekeeping(History):
    """What has waited too long is swept away."""

    @rule(closing=st.sampled_from([(), SHOPS[:1], SHOPS[1:]]))
    def sweep(self, closing: tuple[Shop, ...]) -> None:
        """Perhaps while some shops are disconnected for a moment, which leaves nothing of theirs waiting."""
        for shop in closing:
            self._disable(shop)
        lanes = self.driver.lanes()
        count = finish(self.store.expire_waiting(limit=1000))
        self.reference.swept(self.driver.now, count, lanes)
        for shop in closing:
            self._connect(shop)


class People(History):
    """Shops come, go and write twice; admins put dead rows back."""

    @precondition(lambda self: self.written)
    @rule(shop=shops, back=st.integers(0, 5))
    def write_again(self, shop: Shop, back: int) -> None:
        self._write(shop, max(1, self.written - back), "sipho", timedelta(), timedelta(days=14))

    @rule(shop=shops, connect=st.sampled_from([True, True, False]))
    def connect_or_disable(self, shop: Shop, connect: bool) -> None:
        (self._connect if connect else self._disable)(shop)

    @precondition(lambda self: any(row.state == "dead" for row in self.reference.rows.values()))
    @rule(shop=shops)
    def retry_everything(self, shop: Shop) -> None:
        """An admin asks for every row there is; only dead ones of their own shop come back."""
        ids = [row.id for row in self.reference.rows.values() if row.merchant_id == shop.merchant_id]
        count = self.driver.retry_as_admin(shop, list(self.reference.rows))
        self.reference.retried(self.driver.now, ids, count)


class OutboxProtocol(Sending, Leases, Housekeeping, People):
    """All of it."""


def on(machine: type[History], database: Database, statements: Mapping[str, str] = queries) -> type[History]:
    """A machine that works in this database."""

    class Placed(machine):  # type: ignore[misc, valid-type]
        def make_driver(self) -> Driver:
            return Driver(database, budget=BUDGET, breaker=BREAKER, patience=PATIENCE, statements=statements)

    return Placed


def _outcome(row: OutboxRow, answer: str, wait: timedelta) -> Outcome:
    outcome = Outcome(row=row, **_ANSWERS[answer])
    return msgspec.structs.replace(outcome, retry_in=wait) if outcome.verdict is Verdict.RETRY else outcome


def _newest(rows: list[OutboxRow]) -> list[OutboxRow]:
    """Each row once, as it was last held: nobody names a row twice in one statement."""
    return list({row.id: row for row in rows}.values())
