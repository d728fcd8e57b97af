"""Why did this customer get no mail? What became of their rows is found by their address, whether or not anything was sent."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from sandbox.shops import PROTEA
from tests.support.shop import place
from tests.support.worker import ROOT, Scene, cart
from worker import maintenance

EMAIL = "nomsa@example.com"
PHONE = "082 123 4567"
BY_PHONE = cart() | {"contact": {"phone": PHONE}}


async def _attempts(scene: Scene, customer: str) -> list[tuple[str, str]]:
    """What an operator is shown of a customer, oldest first: what it was, and how it ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli.main", "logs", "--merchant", PROTEA.slug, "--customer", customer, "--json"),
        cwd=ROOT,
        env=scene.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [(record["name"], record["outcome"]) for record in reversed(json.loads(out))]


def _expire(scene: Scene) -> None:
    """As if what waits had waited past its time to live."""
    scene.query("update integrations_omnisend_outbox set expires_at = now() where state = 'pending'")


async def test_what_ended_before_anything_was_sent_is_found(scene: Scene) -> None:
    scene.connect()
    scene.switch_on("sync_contacts")
    with scene.database.connect() as conn:
        place(conn, customer_email="Nomsa@Example.com")
    scene.enqueue("product_added_to_cart", BY_PHONE, dedup_key="by phone")
    _expire(scene)
    scene.enqueue("checkout_started", cart(EMAIL), dedup_key="sent")
    scene.enqueue("checkout_started", cart(EMAIL) | {"properties": "all of it"}, dedup_key="broken")
    odd = {"contact": {"email": EMAIL, "customProperties": {"no name": 1}}}
    scene.enqueue("contact_changed", odd, dedup_key="odd", p_kind="contact")
    scene.enqueue("checkout_started", cart("thabo@example.com") | {"properties": []}, dedup_key="another's")
    async with scene.workers() as fleet:
        await fleet.reached("expired", 2)
        await fleet.reached("dead", 3)
        await fleet.reached("delivered")

    assert sorted(await _attempts(scene, EMAIL)) == [
        ("checkout_started", "dead"),
        ("checkout_started", "delivered"),
        ("contact_changed", "dead"),
        ("order_placed", "expired"),
    ]
    assert await _attempts(scene, PHONE) == [("product_added_to_cart", "expired")]


async def test_what_waited_too_long_behind_a_paused_lane_is_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.connect()
    scene.switch_on("sync_contacts")
    scene.query(
        "insert into integrations_omnisend_lanes (merchant_id, paused_until, pause_reason) values (%s, now() + interval '1 hour', 'AUTH')",
        [PROTEA.merchant_id],
    )
    with scene.database.connect() as conn:
        place(conn, customer_email=EMAIL)
    scene.enqueue("checkout_started", cart(EMAIL), dedup_key="1")
    scene.enqueue("checkout_started", BY_PHONE, dedup_key="2")
    scene.enqueue("contact_changed", {"email": EMAIL}, dedup_key="3", p_kind="contact")
    scene.enqueue("checkout_started", {"contact": [EMAIL]}, dedup_key="4")
    _expire(scene)
    monkeypatch.setattr(maintenance, "EXPIRE_S", 0.05)
    monkeypatch.setattr(maintenance, "EXPIRE_BATCH", 2)
    async with scene.workers() as fleet:
        await fleet.reached("expired_waiting", 5)

    assert scene.states() == {"expired": 5}
    assert sorted(await _attempts(scene, EMAIL)) == [
        ("checkout_started", "expired"),
        ("contact_changed", "expired"),
        ("order_placed", "expired"),
    ]
    assert await _attempts(scene, PHONE) == [("checkout_started", "expired")]
