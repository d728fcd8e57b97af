"""The properties of ``added product to cart`` and ``started checkout``."""

from __future__ import annotations

from soldt_outbox.events import EventName
from soldt_outbox.omnisend.mapping.line_items import (
    ITEMS,
    PRODUCT_ID,
    JsonObject,
    Shape,
    Shop,
    line_item,
    line_items,
    total_of,
)
from soldt_outbox.omnisend.mapping.reading import Source, currency, ident, optional_amount
from soldt_outbox.omnisend.mapping.urls import page, url

CART_ID = ("cartID", "cartId", "cart_id")
RECOVERY_URL = (
    "abandonedCheckoutURL",
    "abandonedCheckoutUrl",
    "checkoutURL",
    "checkoutUrl",
    "cartRecoveryURL",
    "cartURL",
    "cartUrl",
)
VALUE = ("value", "total", "totalPrice", "cartTotal")
CURRENCY = ("currency",)
ADDED_ITEM = ("addedItem", "added_item", "addedProduct")


def cart_properties(event: EventName, cart: Source, shop: Shop, dedup_key: str) -> JsonObject:
    """Omnisend's cart properties. Needed are the cart's id, its line items and a link back to it."""
    added = _added_item(cart, shop) if event is EventName.PRODUCT_ADDED_TO_CART else None
    given = cart.get(ITEMS)
    if given is None and added is not None:
        items = [added]
    else:
        items = line_items(given, cart.where(ITEMS), shop, Shape.CART)
    value = optional_amount(cart.get(VALUE))
    properties: JsonObject = {
        "abandonedCheckoutURL": _recovery_url(event, cart, shop),
        "cartID": _cart_id(cart, dedup_key),
        "currency": currency(cart.get(CURRENCY), shop.merchant.currency),
        "value": total_of(items) if value is None else value,
        "lineItems": items,
    }
    if event is EventName.PRODUCT_ADDED_TO_CART:
        properties["addedItem"] = added or items[-1]  # the last of the cart is the newest
    return properties


def _added_item(cart: Source, shop: Shop) -> JsonObject | None:
    """The item that was added: named, or the properties themselves where they are one (``productID`` at the top)."""
    given = cart.get(ADDED_ITEM)
    if given is not None:
        return line_item(given, cart.where(ADDED_ITEM), shop, Shape.CART)
    if cart.get(ITEMS) is None and cart.get(PRODUCT_ID[:3]) is not None:
        return line_item(cart.data, cart.path.removesuffix("."), shop, Shape.CART)
    return None


def _cart_id(cart: Source, dedup_key: str) -> str:
    """The cart's id; where the payload lacks it, the first part of the dedup key, which is made from it."""
    cart_id = ident(cart.get(CART_ID))
    if cart_id is not None:
        return cart_id
    first = dedup_key.partition(":")[0]
    if not first or first == "sha256":  # the database's key for what has no better one
        raise cart.reject(CART_ID, "is missing or is no id")
    return first[:100]


def _recovery_url(event: EventName, cart: Source, shop: Shop) -> str:
    """Where the customer finds the cart again; without it the automation's one button leads nowhere."""
    told = url(cart.get(RECOVERY_URL))
    found = told or page(shop.merchant, "/checkout" if event is EventName.CHECKOUT_STARTED else "/cart")
    if found is None:
        raise cart.reject(
            RECOVERY_URL, "is no web address, and the merchant has no storefront address to use instead"
        )
    return found
