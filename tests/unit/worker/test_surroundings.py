"""What is looked up for claimed rows, and what becomes of them where it cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import psycopg
import pytest

from soldt_outbox.rows import CatalogueProduct, Kind
from tests.support.worker_rows import SHOP, Clock, row
from worker import surroundings
from worker.shops import Shop
from worker.surroundings import LINE_ITEMS_AGAIN_S, Lookups

ORDER = row(payload={"customer_email": "a@example.com", "items": [{"product_id": 7}]})


class Shops:
    """A store, shops and a catalogue of which the products can fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[list[tuple[UUID, int]]] = []

    async def get(self, merchants: Iterable[UUID]) -> dict[UUID, Shop]:
        return {}

    async def catalogue(self, wanted: list[tuple[UUID, int]]) -> dict[UUID, dict[str, CatalogueProduct]]:
        self.asked.append(wanted)
        if self.error is not None:
            raise self.error
        return {SHOP: {"7": CatalogueProduct(id="7")}}

    products = collections = consents = catalogue


def _lookups(shops: Shops) -> Lookups:
    return Lookups(shops, shops, shops, with_line_items=True)  # type: ignore[arg-type]


async def test_events_get_the_products_of_their_line_items() -> None:
    shops = Shops()
    around = await _lookups(shops).around([ORDER])
    assert shops.asked == [[(SHOP, 7)]]
    assert around.line_items == {SHOP: {"7": CatalogueProduct(id="7")}}


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.QueryCanceled("15 s"), psycopg.errors.UndefinedColumn("sku")],
    ids=lambda error: type(error).__name__,
)
async def test_where_products_cannot_be_had_events_go_out_without_and_it_is_left_for_a_while(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(surroundings.time, "monotonic", clock)
    shops = Shops(error)
    lookups = _lookups(shops)
    for _ in range(2):
        assert (await lookups.around([ORDER])).line_items == {}
    assert len(shops.asked) == 1
    clock.forward(LINE_ITEMS_AGAIN_S)
    await lookups.around([ORDER])
    assert len(shops.asked) == 2


async def test_what_a_change_is_about_is_not_taken_for_gone_where_the_look_up_takes_too_long() -> None:
    lookups = _lookups(Shops(psycopg.errors.QueryCanceled("15 s")))
    changed = row(kind=Kind.PRODUCT, name="product_changed", payload={"product_id": 7})
    assert (await lookups.around([changed])).products is None


async def test_a_database_out_of_reach_is_told() -> None:
    with pytest.raises(psycopg.OperationalError):
        await _lookups(Shops(psycopg.errors.AdminShutdown("restart"))).around([ORDER])
