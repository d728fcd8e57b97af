"""`/product-categories`: what products are sorted into (OpenAPI file of the Product Categories API)."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from sandbox.omnisend.answers import Answer, ok
from sandbox.omnisend.catalogue import Category
from sandbox.omnisend.findings import Findings
from sandbox.omnisend.paging import DEFAULT_LIMIT, MAX_LIMIT, offset_paging, one_of, whole
from sandbox.omnisend.product_request import CategoryRequest, read_category, read_category_change
from sandbox.omnisend.resources.deleting import delete_from
from sandbox.omnisend.routing import Call, Endpoint, Methods

_SORTS: Final = {"title": "title", "updatedAt": "updated_at", "createdAt": "created_at"}


def create(call: Call) -> Answer:
    """201 with the id; where there is a category of that id, 409 in version 2026-03-15 and 422 in version 5."""
    request: CategoryRequest | None = call.reading.content
    if call.reading.is_rejected() or request is None:
        return call.invalid()
    categories, now = call.catalogue.categories, datetime.now(UTC)
    if request.category_id in categories:
        message = f"Category with '{request.category_id}' categoryID already exists"
        return call.refuse(call.dialect.exists_status, message)
    categories[request.category_id] = Category(request.category_id, request.title, now, now)
    return ok({"categoryID": request.category_id}, 201)


def rename(call: Call) -> Answer:
    if call.reading.is_rejected():
        return call.invalid()
    category = call.catalogue.categories.get(call.parameters["id"])
    if category is None:
        return call.refuse(404)
    category.title, category.updated_at = call.reading.content, datetime.now(UTC)
    return ok({"categoryID": category.category_id})


def delete(call: Call) -> Answer:
    return delete_from(call, call.catalogue.categories)


def show(call: Call) -> Answer:
    category = call.catalogue.categories.get(call.parameters["id"])
    return call.refuse(404) if category is None else ok(_shown(category))


def list_categories(call: Call) -> Answer:
    out = Findings()
    limit = whole(call.query, "limit", out, default=DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    offset = whole(call.query, "offset", out, default=0, lowest=0)
    by = one_of(call.query, "sort", tuple(_SORTS), out)
    if out.items:
        return call.invalid(tuple(out.items))
    categories = list(call.catalogue.categories.values())
    if by is not None:
        categories.sort(key=attrgetter(_SORTS[by]))
    page = [_shown(one) for one in categories[offset : offset + limit]]
    paging = offset_paging(call.url(), call.query, limit=limit, offset=offset, total=len(categories))
    return ok({"categories": page, "paging": paging})


def _shown(category: Category) -> dict[str, Any]:
    return {
        "categoryID": category.category_id,
        "title": category.title,
        "createdAt": category.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updatedAt": category.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


_READ: Final = "products.read"
_WRITE: Final = "products.write"

ROUTES: Final[dict[str, Methods]] = {
    "/product-categories": {
        "GET": Endpoint(
            permission=_READ, act=list_categories, parameters=frozenset({"offset", "limit", "sort"})
        ),
        "POST": Endpoint(permission=_WRITE, read=read_category, act=create, takes_body=True),
    },
    "/product-categories/{id}": {
        "GET": Endpoint(permission=_READ, act=show),
        "PATCH": Endpoint(permission=_WRITE, read=read_category_change, act=rename, takes_body=True),
        "DELETE": Endpoint(permission=_WRITE, act=delete),
    },
}
