"""`/products`: the catalogue's products, each with its variants (OpenAPI file of the Products API)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from sandbox.omnisend.answers import Answer, ok
from sandbox.omnisend.catalogue import Product
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.model import Finding
from sandbox.omnisend.paging import DEFAULT_LIMIT, MAX_LIMIT, offset_paging, one_of, whole
from sandbox.omnisend.product_request import ProductRequest, read_product
from sandbox.omnisend.resources.deleting import delete_from
from sandbox.omnisend.routing import Call, Endpoint, Methods


def create(call: Call) -> Answer:
    """201 with the id; where there is a product of that id, 409 in version 2026-03-15 and 422 in version 5."""
    if call.reading.is_rejected():
        return call.invalid()
    request: ProductRequest = call.reading.content
    products, now = call.catalogue.products, datetime.now(UTC)
    if request.product_id in products:
        message = f"Product with '{request.product_id}' productID already exists"
        return call.refuse(call.dialect.exists_status, message)
    products[request.product_id] = Product(request.product_id, request.body, now, now)
    return ok({"id": request.product_id}, 201)


def replace(call: Call) -> Answer:
    """Put the whole product in place of the one there was; what is not named again is gone."""
    request: ProductRequest | None = call.reading.content
    wanted = call.parameters["id"]
    if request is not None and request.product_id and request.product_id != wanted:
        finding = Finding("rejected", "id_mismatch", "id", "must be the id in the path")
        return call.invalid((*call.reading.findings, finding))
    if call.reading.is_rejected() or request is None:
        return call.invalid()
    product = call.catalogue.products.get(wanted)
    if product is None:
        return call.refuse(404, f"Product with '{wanted}' productID not found")
    product.body, product.updated_at = request.body, datetime.now(UTC)
    product.replaced += 1
    return ok({"id": wanted})


def delete(call: Call) -> Answer:
    return delete_from(call, call.catalogue.products)


def show(call: Call) -> Answer:
    product = call.catalogue.products.get(call.parameters["id"])
    return call.refuse(404) if product is None else ok(shown(product))


def list_products(call: Call) -> Answer:
    out = Findings()
    limit = whole(call.query, "limit", out, default=DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    offset = whole(call.query, "offset", out, default=0, lowest=0)
    by = one_of(call.query, "sort", ("date", "updatedAt", "createdAt"), out)
    if out.items:
        return call.invalid(tuple(out.items))
    products = list(call.catalogue.products.values())
    if by is not None:
        products.sort(key=lambda one: one.updated_at if by == "updatedAt" else one.created_at)
    page = [shown(one) for one in products[offset : offset + limit]]
    paging = offset_paging(call.url(), call.query, limit=limit, offset=offset, total=len(products))
    return ok({"products": page, "paging": paging})


def shown(product: Product) -> dict[str, Any]:
    """As it was sent, with the dates Omnisend fills in."""
    content: dict[str, Any] = msgspec.json.decode(product.body)
    created, updated = (at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in (product.created_at, product.updated_at))
    return {"createdAt": created, "updatedAt": updated} | content


_READ: Final = "products.read"
_WRITE: Final = "products.write"

ROUTES: Final[dict[str, Methods]] = {
    "/products": {
        "GET": Endpoint(
            permission=_READ, act=list_products, parameters=frozenset({"offset", "limit", "sort"})
        ),
        "POST": Endpoint(permission=_WRITE, read=read_product, act=create, takes_body=True),
    },
    "/products/{id}": {
        "GET": Endpoint(permission=_READ, act=show),
        "PUT": Endpoint(permission=_WRITE, read=read_product, act=replace, takes_body=True),
        "DELETE": Endpoint(permission=_WRITE, act=delete),
    },
}
