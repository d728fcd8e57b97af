"""What is told by batches, and what counts as told."""

from __future__ import annotations

import pytest

from sandbox.shops import PROTEA
from soldt_outbox.omnisend.batches import Resource
from tests.support.syncing import fill_products, finished, start
from tests.support.worker import Scene

pytestmark = pytest.mark.usefixtures("quick_batches")


def _unsubscribe(scene: Scene, channel: str, identifier: str) -> None:
    with scene.database.connect("service_role") as conn:
        conn.execute(
            "select omnisend_record_consent(%s, %s, %s, false, 'form')",
            [PROTEA.merchant_id, channel, identifier],
        )


def _methods(scene: Scene, brand: str) -> list[tuple[str, str, int]]:
    return [(one.method, one.status, one.total) for one in scene.omnisend.batches(brand)]


# -- batches that are stopped


async def test_a_batch_stopped_over_what_exists_is_gone_on_with_by_replacing(scene: Scene) -> None:
    brand = scene.connect().brand_id
    fill_products(scene, 20)
    async with scene.workers():
        await finished(scene, await start(scene, Resource.PRODUCTS))
        scene.query("delete from omnisend_private.told_items")
        scene.omnisend.change_settings(batch_max_errors=2)
        ended = await finished(scene, await start(scene, Resource.PRODUCTS))
    assert (ended.items_sent, ended.items_rejected, ended.items_put_back) == (20, 0, 20)
    assert _methods(scene, brand)[1:] == [("POST", "stopped", 20), ("PUT", "finished", 20)]


# -- contacts


async def test_an_opt_out_of_a_phone_is_told_as_it_was_recorded(scene: Scene) -> None:
    """Even where its country code is nobody's."""
    brand = scene.connect().brand_id
    _unsubscribe(scene, "sms", "+9991234567")
    async with scene.workers():
        ended = await finished(scene, await start(scene, Resource.CONTACTS))
    assert (ended.items_sent, ended.items_skipped) == (1, 0)
    (contact,) = scene.omnisend.contacts(brand).contacts
    assert contact.status("sms") == "unsubscribed"
