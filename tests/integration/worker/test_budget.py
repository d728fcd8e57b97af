"""Omnisend's limit per brand is kept, whatever the number of workers."""

from __future__ import annotations

from sandbox.shops import KAROO, PROTEA
from tests.support.worker import Scene, cart, windows

LIMIT = 2400  # a minute: 36 a second steady, and 96 at once
WINDOW_S = 2.0


async def test_four_workers_together_stay_within_one_merchants_budget(scene: Scene) -> None:
    """What is granted in any window is its share of 90 % of the limit and the burst of 4 %.

    The stand-in's own limit is the same share of a shorter window, and answers 429 to whoever exceeds it.
    """
    most = int(LIMIT * 0.04 + LIMIT * 0.9 / 60 * WINDOW_S)
    slack = int(LIMIT * 0.06)  # what is left of the limit, for the time between claim and arrival
    scene.connect()
    scene.omnisend.change_settings(rate_limit=most + slack, window_s=WINDOW_S)
    rows = most + 80
    with scene.database.connect("service_role") as conn:
        for n in range(rows):
            conn.execute(
                "select omnisend_enqueue(%s, 'product_added_to_cart', %s::jsonb, %s)",
                [PROTEA.merchant_id, _payload(n), str(n)],
            )
    async with scene.workers(4, omnisend_requests_per_minute=LIMIT) as fleet:
        await fleet.reached("delivered", rows)

    arrivals = scene.omnisend.arrivals()
    assert max(windows(arrivals, WINDOW_S)) <= most + slack
    assert max(windows(arrivals, 0.5)) <= LIMIT * 0.04 + LIMIT * 0.9 / 60 * 0.5 + slack
    assert "429" not in scene.omnisend.summary().total.statuses
    assert arrivals[-1] - arrivals[0] > 0.8 * (rows - LIMIT * 0.04) / (LIMIT * 0.9 / 60)


async def test_a_merchant_with_ten_thousand_rows_delays_nobody(scene: Scene) -> None:
    scene.connect(PROTEA)
    scene.connect(KAROO)
    scene.query(
        """
        insert into integrations_omnisend_outbox (merchant_id, name, dedup_key, payload, ordering_key)
        select %s, 'checkout_started', n::text, %s::jsonb, n::text from generate_series(1, 10000) n
        """,
        [PROTEA.merchant_id, _payload(0)],
    )
    async with scene.workers(omnisend_requests_per_minute=400) as fleet:
        await fleet.reached("delivered", 5)
        for n in range(10):
            scene.enqueue("checkout_started", cart(f"quiet-{n}@example.com"), shop=KAROO)
        await scene.omnisend.wait_for(10, brand=scene.connection(KAROO)["brand_id"])

    quiet = scene.query(
        "select max(settled_at - created_at) as slowest from integrations_omnisend_outbox where merchant_id = %s and state = 'delivered'",
        [KAROO.merchant_id],
    )
    assert quiet[0]["slowest"].total_seconds() < 3


def _payload(n: int) -> str:
    import json

    return json.dumps(cart(f"customer-{n}@example.com"))
