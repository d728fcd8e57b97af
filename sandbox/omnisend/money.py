"""Amounts that are a hundred times what the others say: cents where rand are meant, or the other way round.

Version 3 of the API took integer cents, version 5 takes decimals in major units, and neither complains. What can be
seen from outside is disagreement; an event whose amounts are *all* in cents agrees with itself and cannot be told
from a dear one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sandbox.omnisend.findings import Findings

_LOW: Final = 80.0
_HIGH: Final = 125.0
"""Around 100, wide enough for a tax, a fee or a discount that was not counted in, far from any honest ratio."""
_NO_PRICE: Final = 1e15
_NUMBERS: Final = frozenset({int, float})

_PAIRS_OF_ITEM: Final = (
    ("productStrikeThroughPrice", "productPrice"),
    ("price", "oldPrice"),
)


def _amount(value: Any) -> float:
    """A positive amount, or 0 where there is none; a number no price has is none, and may not even fit a float."""
    return float(value) if type(value) in _NUMBERS and 0 < value < _NO_PRICE else 0.0


def _off_by_hundred(one: float, other: float) -> bool:
    if one <= 0 or other <= 0:
        return False
    ratio = one / other if one > other else other / one
    return _LOW <= ratio <= _HIGH


def _disagrees(amount: float, candidates: Iterable[float]) -> bool:
    """Whether an amount is a hundredfold, or a hundredth, of everything it could reasonably be."""
    possible = [candidate for candidate in candidates if candidate > 0]
    return bool(possible) and all(_off_by_hundred(amount, candidate) for candidate in possible)


def _report(parent: str, name: str, against: str, out: Findings) -> None:
    out.ignored("money_looks_like_cents", parent, name, f"is off by a factor of 100 against {against}")


def _sum_of_items(items: Any) -> float:
    """Price times quantity over all items; 0 when one of them cannot be counted."""
    if type(items) is not list:
        return 0.0
    total = 0.0
    for item in items:
        if type(item) is not dict:
            return 0.0
        price, quantity = _amount(item.get("productPrice")), _amount(item.get("productQuantity"))
        if not price or not quantity:
            return 0.0
        total += price * quantity
    return total


def _check_items(items: Any, path: str, out: Findings) -> None:
    if type(items) is not list:
        return
    for index, item in enumerate(items):
        if type(item) is dict:
            check_product(item, f"{path}[{index}]", out)


def check_product(product: dict[str, Any], path: str, out: Findings) -> None:
    """A product's own prices against each other."""
    for name, against in _PAIRS_OF_ITEM:
        if _off_by_hundred(_amount(product.get(name)), _amount(product.get(against))):
            _report(path, name, against, out)


def check_cart(properties: dict[str, Any], path: str, out: Findings) -> None:
    """The cart's value against its line items, which it is the sum of."""
    items = properties.get("lineItems")
    _check_items(items, f"{path}.lineItems", out)
    if _disagrees(_amount(properties.get("value")), [_sum_of_items(items)]):
        _report(path, "value", "the line items", out)


def check_order(properties: dict[str, Any], path: str, out: Findings) -> None:
    """Subtotal against line items, total against subtotal, shipping, tax and discount, refund against total."""
    items = properties.get("lineItems")
    _check_items(items, f"{path}.lineItems", out)
    discount = _amount(properties.get("totalDiscount"))
    shipping = _amount(properties.get("shippingPrice"))
    tax = _amount(properties.get("totalTax"))
    subtotal = _amount(properties.get("subTotalPrice"))
    total = _amount(properties.get("totalPrice"))
    of_items = _sum_of_items(items)
    if _disagrees(subtotal, (of_items, of_items - discount if discount < of_items else 0.0)):
        _report(path, "subTotalPrice", "the line items", out)
    base = subtotal or of_items
    if _disagrees(total, _totals(base, shipping, tax, discount)):
        _report(path, "totalPrice", "subTotalPrice" if subtotal else "the line items", out)
    for name, amount, against in (
        ("shippingPrice", shipping, total),
        ("totalTax", tax, total),
        ("totalDiscount", discount, max(total, subtotal, of_items)),
    ):
        # Each is a part of the other; of fifty times its size it cannot be.
        if against and amount > 50 * against:
            _report(path, name, "the order", out)
    if _off_by_hundred(_amount(properties.get("totalRefundedAmount")), total):
        refunded = _amount(properties.get("totalRefundedAmount"))
        if refunded > total:
            _report(path, "totalRefundedAmount", "totalPrice", out)


def _totals(base: float, shipping: float, tax: float, discount: float) -> tuple[float, ...]:
    """What an order of this subtotal may come to: tax in it or on top, discount taken off already or not."""
    if not base:
        return ()
    gross = base + shipping
    return tuple(
        amount
        for amount in (base, gross, gross + tax, gross - discount, gross + tax - discount)
        if amount > 0
    )
