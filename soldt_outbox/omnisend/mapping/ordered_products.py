"""The properties of ``ordered product``: one line of an order."""

from __future__ import annotations

from soldt_outbox.omnisend.mapping.line_items import JsonObject, Shape, Shop, line_item
from soldt_outbox.omnisend.mapping.reading import Names, Source, ident

ORDERED_ITEM = ("item", "product")
ORDERED = Names(order_id=("order_id", "orderID", "orderId"), item=ORDERED_ITEM)
"""What a worker writes of a line (``soldt_outbox.following``), or Omnisend's own properties."""


def ordered_product_properties(ordered: Source, shop: Shop) -> JsonObject:
    """Omnisend's ``orderID`` and ``product``, which has the fields of an order's line item (reference, "ordered product")."""
    order_id = ident(ordered.get("order_id"))
    if order_id is None:
        raise ordered.reject("order_id", "is missing or is no id")
    product = line_item(ordered.get("item"), ordered.where("item"), shop, Shape.ORDER)
    return {"orderID": order_id, "product": product}
