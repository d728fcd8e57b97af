"""What can be asked of and told to a stand-in, apart from how it is sent: what both clients share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import httpx
import msgspec

from sandbox.omnisend.brands import BrandKey, new_brand_id, new_key
from sandbox.omnisend.model import BrandSpec, BrandView, KeySpec, Page, Received, Waited, WaitFor
from sandbox.omnisend.server import StandInTimeout
from sandbox.omnisend.views import (
    BatchView,
    CategoryView,
    ContactsView,
    ContactView,
    ProductsPage,
    Unsubscribe,
)

T = TypeVar("T")
_TIMEOUT_S: Final = 30.0
PAGE: Final = 2_000


class StandInError(RuntimeError):
    """The stand-in refused what it was told; the message is its own."""


@dataclass(frozen=True)
class Ask(Generic[T]):
    """One request to a control endpoint and the type of its answer."""

    method: str
    path: str
    answer: type[T]
    content: Any = None
    parameters: dict[str, str | int | float] | None = None
    timeout_s: float = _TIMEOUT_S

    def request(self, client: httpx.Client | httpx.AsyncClient, base: str) -> httpx.Request:
        body = None if self.content is None else msgspec.json.encode(self.content)
        url = f"{base}/_sandbox{self.path}"
        return client.build_request(
            self.method, url, params=self.parameters, content=body, timeout=self.timeout_s
        )

    def read(self, response: httpx.Response) -> T:
        if response.status_code != 200:
            raise StandInError(f"{self.method} {self.path}: {response.text}")
        return msgspec.json.decode(response.content, type=self.answer)


def page(brand: str | None, after: int, limit: int) -> Ask[Page]:
    parameters: dict[str, str | int | float] = {"after": after, "limit": limit}
    if brand is not None:
        parameters["brand"] = brand
    return Ask("GET", "/received", Page, parameters=parameters)


def wait(count: int, of: WaitFor, brand: str | None, timeout_s: float) -> Ask[Waited]:
    parameters: dict[str, str | int | float] = {"count": count, "of": of, "timeout": timeout_s}
    if brand is not None:
        parameters["brand"] = brand
    return Ask("GET", "/wait", Waited, parameters=parameters, timeout_s=timeout_s + _TIMEOUT_S)


def waited(answer: Waited, count: int, of: WaitFor, timeout_s: float) -> int:
    if not answer.reached:
        raise StandInTimeout(f"{answer.count} of {count} {of} after {timeout_s:g} s")
    return answer.count


def brand_with_key(
    brand_id: str | None, key: str | None, permissions: list[str] | None, more: dict[str, Any]
) -> tuple[BrandKey, Ask[BrandView]]:
    """A brand's key is made here and sent there: the stand-in never gives one out."""
    known = brand_id or (key.partition("-")[0] if key is not None else new_brand_id())
    opens = key or new_key(known)
    spec = BrandSpec(brandID=known, keys=[KeySpec(opens, permissions)], **more)
    return BrandKey(known, opens), Ask("POST", "/brands", BrandView, spec)


def collected(pages: list[Page], limit: int | None) -> list[Received]:
    found = [one for page in pages for one in page.received]
    return found if limit is None else found[:limit]


def contacts(brand: str | None) -> Ask[ContactsView]:
    parameters: dict[str, str | int | float] = {} if brand is None else {"brand": brand}
    return Ask("GET", "/contacts", ContactsView, parameters=parameters)


def unsubscribe(brand: str, email: str | None, phone: str | None) -> Ask[ContactView]:
    return Ask("POST", "/unsubscribe", ContactView, Unsubscribe(brand=brand, email=email, phone=phone))


def products(brand: str, offset: int) -> Ask[ProductsPage]:
    parameters: dict[str, str | int | float] = {"brand": brand, "offset": offset, "limit": PAGE}
    return Ask("GET", "/products", ProductsPage, parameters=parameters)


def categories(brand: str) -> Ask[list[CategoryView]]:
    return Ask("GET", "/categories", list[CategoryView], parameters={"brand": brand})


def batches(brand: str | None) -> Ask[list[BatchView]]:
    parameters: dict[str, str | int | float] = {} if brand is None else {"brand": brand}
    return Ask("GET", "/batches", list[BatchView], parameters=parameters)
