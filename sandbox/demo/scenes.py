"""The demo's script: what happens in the shops, and in which order what goes wrong (`troubles.py`) comes between.

Nothing is judged here: `checks.py` does that at the end, against what is found then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sandbox.demo import troubles
from sandbox.demo.people import EBEN, FATIMA, JOHAN, LERATO, NOMSA, SIZWE, Customer
from sandbox.demo.stage import SOON_S, SceneFailed, Stage, store
from sandbox.shops import BO_KAAP, KAROO, PROTEA, SHOPS, Shop
from soldt_outbox.errors import ConnectionRefused
from soldt_outbox.events import EventName
from soldt_outbox.rows import State

WORKERS: Final = 2
_CART: Final = "cart:sess_5d0f2a6e-41d7-4a0b-9e55-1f6a0c2b7d10"
_TRACKING: Final = "TCG-20481907"


def merchants_connect(stage: Stage) -> None:
    narrator = stage.narrator
    narrator.scene(
        "Three merchants connect to Omnisend",
        "A key is checked against Omnisend before it is stored, and stored encrypted. A mistyped one is refused at once.",
    )
    try:
        stage.world.connect(KAROO, stage.world.key_of(KAROO)[:-4] + "oops")
    except ConnectionRefused as refused:
        narrator.say(
            f"{store(KAROO)} mistypes its key: {str(refused).partition(':')[0]}. Nothing was stored."
        )
    else:
        raise SceneFailed("a mistyped key was stored")
    for shop in SHOPS:
        connected = stage.world.connect(shop, stage.world.key_of(shop))
        narrator.say(f"{connected.brand_name} is connected to brand {connected.brand_id}.")


def workers_start(stage: Stage) -> None:
    stage.world.start_workers(WORKERS)
    stage.until(
        lambda: all(worker.ready for worker in stage.world.workers),
        within=SOON_S,
        what="both workers claim rows",
    )
    names = " and ".join(worker.name for worker in stage.world.workers)
    stage.narrator.say(
        f"{names} run: two processes of `python -m worker`, told everything by the environment."
    )


def an_ordinary_day(stage: Stage) -> None:
    soldt, narrator = stage.soldt, stage.narrator
    narrator.scene(
        "An ordinary day",
        "The browser (role anon) inserts orders, the admin (role authenticated) updates them: plain SQL that knows nothing "
        "of Omnisend. A trigger writes the event in the same transaction, so neither exists without the other.",
    )
    _browse_and_check_out(stage, PROTEA, NOMSA)
    order = soldt.place(PROTEA, NOMSA, paid=False, quantity=2)
    soldt.pay(order)
    soldt.ship(order)
    narrator.say(
        f"{NOMSA.first_name} looks, fills a cart, checks out and orders; pays by transfer; the parcel leaves."
    )
    soldt.save_tracking(order, _TRACKING)
    soldt.deliver(order)
    narrator.say("The tracking number is saved only now; the event of the shipment waited for it.")
    soldt.cancel(soldt.place(PROTEA, LERATO))
    soldt.place(KAROO, JOHAN)
    soldt.refund(soldt.place(BO_KAAP, FATIMA))
    narrator.say("Three more customers pay by card; one order is cancelled, one refunded.")
    soldt.place_and_roll_back(PROTEA, SIZWE)
    narrator.say("One checkout is rolled back: there must be no trace of it anywhere.")
    written = stage.written()
    stage.until(lambda: stage.settled(*written), within=SOON_S, what="all of this is settled")
    narrator.say(f"All {len(written)} events are settled.")


def _browse_and_check_out(stage: Stage, shop: Shop, customer: Customer) -> None:
    """What SOLDT's server hears from the storefront, in the fields that it uses today."""
    goods = stage.soldt.goods(shop.product_ids[0])
    viewed = {
        "productID": str(goods.product_id),
        "productTitle": goods.title,
        "productPrice": float(goods.price),
        "category": "Clothing",
    }
    line = {
        "productID": str(goods.product_id),
        "variantID": str(goods.variant_id),
        "productTitle": goods.title,
        "productPrice": float(goods.price),
        "quantity": 2,
        "productImageURL": goods.image,
    }
    cart: dict[str, Any] = {
        "currency": "ZAR",
        "value": float(goods.price * 2),
        "cartID": _CART,
        "checkoutURL": "https://shop.protea.example/checkout",
        "lineItems": [line],
    }
    stage.soldt.tell(
        shop, "viewed_product", viewed, customer=customer, dedup_key=f"sess_5d0f2a6e:{goods.product_id}"
    )
    stage.soldt.tell(shop, "added_to_cart", cart, customer=customer)
    for _ in range(3):  # the button was clicked three times
        stage.soldt.tell(shop, "started_checkout", cart, customer=customer)


def odd_things_are_written(stage: Stage) -> None:
    soldt, narrator = stage.soldt, stage.narrator
    narrator.scene(
        "Odd things are written",
        "Repetitions, a broken order, an event about nobody, an event from this morning: each ends where an admin can read "
        "why, and none of them holds up anything else.",
    )
    order = soldt.place(PROTEA, EBEN)
    for _ in range(2):
        soldt.tell_again(order, EventName.ORDER_PLACED)
    narrator.say(
        f"{EBEN.first_name}'s order is written twice more, through the function: the database has it already."
    )
    soldt.place(PROTEA, LERATO, paid=False, items="two shirts, please", fate=State.DEAD)
    narrator.say(
        "An order comes whose items are a sentence. The checkout succeeds; the event cannot be told."
    )
    goods = soldt.goods(PROTEA.product_ids[0])
    viewed = {
        "productID": str(goods.product_id),
        "productTitle": goods.title,
        "productPrice": float(goods.price),
    }
    soldt.tell(
        PROTEA, "product_viewed", viewed, customer=None, dedup_key="sess_nobody:101", fate=State.SKIPPED
    )
    soldt.tell(
        BO_KAAP,
        "product_viewed",
        viewed,
        customer=FATIMA,
        dedup_key="sess_morning:301",
        occurred_at=stage.now() - timedelta(hours=7),
        fate=State.EXPIRED,
    )
    narrator.say("A visitor without a name looks at a shirt; a look that is seven hours old arrives late.")


SCENES: Final = (
    merchants_connect,
    workers_start,
    an_ordinary_day,
    troubles.a_worker_is_killed,
    troubles.an_answer_never_comes,
    troubles.a_key_is_revoked,
    troubles.omnisend_asks_to_slow_down,
    troubles.omnisend_stumbles,
    odd_things_are_written,
    troubles.silence_ends,
    troubles.a_new_key_is_connected,
    troubles.leases_run_out,
)
"""In this order. The killed worker comes early because a lease lasts half a minute, and its end last."""
