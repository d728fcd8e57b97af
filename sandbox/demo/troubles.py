"""What goes wrong on the way to Omnisend, a scene each, and what comes of it later."""

from __future__ import annotations

from typing import Final

from sandbox.demo.chronicle import Killing, Revocation, Throttling
from sandbox.demo.people import (
    ANELE,
    AYESHA,
    BONGANI,
    CHARL,
    DINEO,
    KEITU,
    PRIYA,
    SIZWE,
    THABO,
    WILLEM,
    ZANELE,
)
from sandbox.demo.stage import LATER_S, SOON_S, SceneFailed, Stage, store
from sandbox.omnisend import Fault
from sandbox.shops import BO_KAAP, KAROO, PROTEA, Shop
from soldt_outbox.events import EventName

_TOLD_S: Final = 3.0  # how long the stand-in's 429 asks to wait
_STATUS: Final = "select status, last_error, last_error_detail from public.integrations_omnisend_status"


def a_worker_is_killed(stage: Stage) -> None:
    narrator, customers = stage.narrator, (SIZWE, ANELE, PRIYA)
    narrator.scene(
        "A worker is killed while it is sending",
        "SIGKILL, as when a machine dies: nobody hands its rows back. Their leases run out, and another worker takes over. "
        "No other customer waits for that.",
    )
    for customer in customers:
        stage.world.control.add_fault(Fault(kind="hang", email=customer.email, count=1))
    orders = stage.soldt.place_together(PROTEA, *customers)
    keys = [order.key(EventName.ORDER_PLACED) for order in orders]
    stage.until(
        lambda: stage.unanswered(*keys) == len(keys), within=SOON_S, what="Omnisend has read their requests"
    )
    victims = stage.leases(*keys)
    if not victims:
        raise SceneFailed("no worker holds the rows that Omnisend is reading")
    held = victims[0]
    worker = next(one for one in stage.world.workers if held.worker.startswith(f"{one.name}-"))
    worker.kill()
    stage.chronicle.killing = Killing(worker=worker.name, rows=held.ids, still_running=worker.running)
    for other in victims[1:]:  # the two workers shared the rows: these will see a time-out instead
        stage.chronicle.unanswered |= {key for key in keys if not other.ids.isdisjoint(stage.ids(key))}
    seconds = (held.until - stage.now()).total_seconds()
    narrator.say(
        f"{worker.name} held {len(held.ids)} orders that Omnisend had read and not answered, and is dead. "
        f"Its leases run out in {seconds:.0f} s; meanwhile life goes on."
    )


def an_answer_never_comes(stage: Stage) -> None:
    stage.narrator.scene(
        "An answer never comes",
        "The worst case: Omnisend may have acted. After 10 s the worker gives up waiting and sends the same again, with the "
        "same eventID and eventTime, and the log says so.",
    )
    stage.world.control.add_fault(Fault(kind="hang", email=THABO.email, count=1))
    order = stage.soldt.place(BO_KAAP, THABO, paid=False)
    key = order.key(EventName.ORDER_PLACED)
    stage.chronicle.unanswered.add(key)
    stage.until(lambda: stage.unanswered(key) == 1, within=SOON_S, what="Omnisend has read the request")
    stage.soldt.pay(order)
    stage.narrator.say(
        f"Omnisend keeps silent about {THABO.first_name}'s order. The order is paid meanwhile: that event waits behind it."
    )


def a_key_is_revoked(stage: Stage) -> None:
    soldt, narrator = stage.soldt, stage.narrator
    narrator.scene(
        f"{store(KAROO)}'s key is revoked",
        "Nothing may be lost, no attempt is counted, the other merchants must not notice, and the admin must learn why.",
    )
    stage.world.revoke_key(KAROO)
    first = soldt.place(KAROO, WILLEM, paid=False)
    stage.until(
        lambda: _connection(stage, KAROO)[0] == "error", within=SOON_S, what="the connection shows an error"
    )
    _, code, detail = _connection(stage, KAROO)
    narrator.say(f"The admin reads {code}: {detail}")
    soldt.pay(first)
    soldt.cancel(first)
    soldt.place(KAROO, ZANELE)
    narrator.say(f"Orders go on and are kept: {len(stage.waiting(KAROO))} events of {store(KAROO)} wait.")


def omnisend_asks_to_slow_down(stage: Stage) -> None:
    narrator, customers = stage.narrator, (AYESHA, BONGANI, CHARL, DINEO)
    narrator.scene(
        "Omnisend asks to slow down",
        "A burst of 429s. The merchant's lane pauses for as long as Omnisend said, and never less; nothing counts as failed.",
    )
    brand = stage.world.brands[BO_KAAP.merchant_id].brand_id
    told = {"type": "https://problems.omnisend.com/rate-limit-exceeded", "status": 429, "retryAfter": _TOLD_S}
    for customer in customers[:3]:
        stage.world.control.add_fault(
            Fault(kind="status", status=429, brand=brand, email=customer.email, count=1, body=told)
        )
    stage.chronicle.throttling = Throttling(shop=BO_KAAP, seconds=_TOLD_S)
    orders = stage.soldt.place_together(BO_KAAP, *customers)
    keys = [order.key(EventName.ORDER_PLACED) for order in orders]
    stage.until(
        lambda: any(one.status == 429 for one in stage.requests(BO_KAAP)), within=SOON_S, what="a 429 comes"
    )
    narrator.say(f"{store(BO_KAAP)} is told to wait {_TOLD_S:g} s.")
    stage.until(lambda: stage.settled(*keys), within=LATER_S, what=f"{store(BO_KAAP)}'s orders are through")
    narrator.say(f"{len(keys)} orders of {store(BO_KAAP)} are through.")


def omnisend_stumbles(stage: Stage) -> None:
    stage.narrator.scene(
        "Omnisend stumbles",
        "A 500 for one order: it goes back to the table and is tried again a few seconds later, behind nobody.",
    )
    stage.world.control.add_fault(Fault(kind="status", status=500, email=KEITU.email, count=1))
    order = stage.soldt.place(PROTEA, KEITU, paid=False)
    key = order.key(EventName.ORDER_PLACED)
    stage.chronicle.told_later.add(key)
    stage.until(
        lambda: any(one.status == 500 for one in stage.requests(PROTEA)), within=SOON_S, what="the 500 comes"
    )
    stage.narrator.say(f"Omnisend answers 500 to {KEITU.first_name}'s order.")


def silence_ends(stage: Stage) -> None:
    keys = [key for key in stage.written() if key.merchant_id == BO_KAAP.merchant_id]
    stage.narrator.heading("Back to the order without an answer")
    stage.until(
        lambda: stage.settled(*keys),
        within=LATER_S,
        what=f"{THABO.first_name}'s order is sent again and confirmed",
    )
    times = sum(len(stage.requests_of(key)) for key in stage.chronicle.unanswered if key in keys)
    stage.narrator.say(
        f"It was sent {times} times in all, under one eventID; what waited behind it followed."
    )


def a_new_key_is_connected(stage: Stage) -> None:
    narrator = stage.narrator
    narrator.scene(
        f"{store(KAROO)} connects with a new key",
        "What waited goes out at once, each customer's events in order.",
    )
    waiting = stage.waiting(KAROO)
    status, code, _ = _connection(stage, KAROO)
    since = stage.written()
    since = since[min((since.index(key) for key in waiting), default=0) :]
    elsewhere = {key for key in since if key.merchant_id != KAROO.merchant_id}
    stage.chronicle.revocation = Revocation(
        shop=KAROO,
        status=status,
        code=code,
        waiting=frozenset(waiting),
        delivered_elsewhere=len(elsewhere - stage.waiting()),
    )
    stage.world.connect(KAROO, stage.world.new_key(KAROO))
    stage.until(lambda: not stage.waiting(KAROO), within=SOON_S, what="nothing of theirs waits any more")
    narrator.say(f"{len(waiting)} events that had waited are delivered.")


def leases_run_out(stage: Stage) -> None:
    narrator, killing = stage.narrator, stage.chronicle.killing
    assert killing is not None  # noqa: S101 - the scene before
    narrator.heading(f"Back to what {killing.worker} left behind")
    held = (
        [one for one in stage.leases(*stage.waiting()) if one.ids & killing.rows] if stage.waiting() else []
    )
    ends = max((one.until for one in held), default=stage.now())

    with narrator.waiting("Waiting for the leases to run out …") as word:

        def countdown() -> None:
            left = max(0.0, (ends - stage.now()).total_seconds())
            word(f"{len(killing.rows)} orders wait; the dead worker's leases run out in {left:.0f} s …")

        stage.until_telling(
            lambda: not stage.waiting(), within=LATER_S, what="nothing waits any more", word=countdown
        )
    narrator.say(f"Taken over: {len(killing.rows)} orders went out again, and nothing waits any more.")


def _connection(stage: Stage, shop: Shop) -> tuple[str, str | None, str | None]:
    """What the shop's admin page shows: status, code and sentence."""
    row = stage.soldt.admin(shop).execute(_STATUS).fetchone()
    if row is None:
        raise SceneFailed(f"{store(shop)}'s admin sees no connection")
    return row[0], row[1], row[2]
