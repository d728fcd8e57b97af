"""The properties of ``added product to cart`` and ``started checkout``."""

from __future__ import annotations

from soldt_outbox.events import EventName
from soldt_outbox.omnisend.mapping.line_items import (
    FLAT_PRODUCT_ID,
    ITEMS,
    JsonObject,
    Shape,
    Shop,
    line_item,
    line_items,
    total_of,
)
from soldt_outbox.omnisend.mapping.reading import Names, Source, currency, ident, optional_amount
from soldt_outbox.omnisend.mapping.urls import page, url

ADDED_ITEM = ("addedItem", "added_item", "addedProduct")
CART = Names(
    cart_id=("cartID", "cartId", "cart_id"),
    recovery_url=(
        "abandonedCheckoutURL",
        "abandonedCheckoutUrl",
        "checkoutURL",
        "checkoutUrl",
        "cartRecoveryURL",
        "cartURL",
        "cartUrl",
    ),
    value=("value", "total", "totalPrice", "cartTotal"),
    currency=("currency",),
    items=ITEMS,
    added_item=ADDED_ITEM,
    product_id=FLAT_PRODUCT_ID,
)
"""The properties of cart events, in SOLDT's words or Omnisend's."""


def cart_properties(event: EventName, cart: Source, shop: Shop, dedup_key: str) -> JsonObject:
    """Omnisend's cart properties. Needed are the cart's id, its line items and a link back to it."""
    added = _added_item(cart, shop) if event is EventName.PRODUCT_ADDED_TO_CART else None
    given = cart.get("items")
    if given is None and added is not None:
        items = [added]
    else:
        items = line_items(given, cart.where("items"), shop, Shape.CART)
    value = optional_amount(cart.get("value"))
    properties: JsonObject = {
        "abandonedCheckoutURL": _recovery_url(event, cart, shop),
        "cartID": _cart_id(cart, dedup_key),
        "currency": currency(cart.get("currency"), shop.merchant.currency),
        "value": total_of(items) if value is None else value,
        "lineItems": items,
    }
    if event is EventName.PRODUCT_ADDED_TO_CART:
        properties["addedItem"] = added or items[-1]  # the last of the cart is the newest
    return properties


def _added_item(cart: Source, shop: Shop) -> JsonObject | None:
    """The item that was added: named, or the properties themselves where they are one (``productID`` at the top)."""
    given = cart.get("added_item")
    if given is not None:
        return line_item(given, cart.where("added_item"), shop, Shape.CART)
    if cart.get("items") is None and cart.get("product_id") is not None:
        return line_item(cart.data, cart.path.removesuffix("."), shop, Shape.CART)
    return None


def _cart_id(cart: Source, dedup_key: str) -> str:
    """The cart's id; where the payload lacks it, the first part of the dedup key, which is made from it."""
    cart_id = ident(cart.get("cart_id"))
    if cart_id is not None:
        return cart_id
    first = dedup_key.partition(":")[0]
    if not first or first == "sha256":  # the database's key for what has no better one
        raise cart.reject("cart_id", "is missing or is no id")
    return first[:100]


def _recovery_url(event: EventName, cart: Source, shop: Shop) -> str:
    """Where the customer finds the cart again; without it the automation's one button leads nowhere."""
    told = url(cart.get("recovery_url"))
    found = told or page(shop.merchant, "/checkout" if event is EventName.CHECKOUT_STARTED else "/cart")
    if found is None:
        raise cart.reject(
            "recovery_url", "is no web address, and the merchant has no storefront address to use instead"
        )
    return found
