"""Reading and steering a stand-in from another process, blocking."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from sandbox.omnisend import asking
from sandbox.omnisend.asking import PAGE, Ask, T, brand_with_key, collected, page, wait, waited
from sandbox.omnisend.brands import BrandKey
from sandbox.omnisend.model import (
    BrandSpec,
    BrandView,
    Fault,
    FaultView,
    Page,
    Received,
    Settings,
    Summary,
    WaitFor,
)
from sandbox.omnisend.views import (
    BatchView,
    CategoryView,
    ContactsView,
    ContactView,
    ForBrand,
    OAuthClient,
    OAuthView,
    ProductView,
)


class StandInControl:
    """Reads and steers the stand-in at `url`; blocking. Speaks to its control listener, which no fault touches."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(trust_env=False)
        self._base: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def _ask(self, ask: Ask[T]) -> T:
        if self._base is None:
            index = Ask("GET", "", dict[str, Any])
            self._base = index.read(self._client.send(index.request(self._client, self.url)))["control_url"]
        return ask.read(self._client.send(ask.request(self._client, self._base)))

    def add_brand(
        self,
        brand_id: str | None = None,
        *,
        key: str | None = None,
        permissions: list[str] | None = None,
        **more: Any,
    ) -> BrandKey:
        """Register a brand with one key; what is not given is made up."""
        made, ask = brand_with_key(brand_id, key, permissions, more)
        self._ask(ask)
        return made

    def change_brand(self, spec: BrandSpec) -> BrandView:
        """Change a brand; `keys=[]` revokes its keys, other keys replace them."""
        return self._ask(Ask("POST", "/brands", BrandView, spec))

    def brands(self) -> list[BrandView]:
        return self._ask(Ask("GET", "/brands", list[BrandView]))

    def add_fault(self, fault: Fault) -> int:
        return self._ask(Ask("POST", "/faults", dict[str, int], fault))["id"]

    def clear_faults(self) -> None:
        self._ask(Ask("DELETE", "/faults", dict[str, Any]))

    def faults(self) -> list[FaultView]:
        return self._ask(Ask("GET", "/faults", list[FaultView]))

    def settings(self) -> Settings:
        return self._ask(Ask("GET", "/settings", Settings))

    def change_settings(self, **changes: Any) -> Settings:
        return self._ask(Ask("POST", "/settings", Settings, changes))

    def release(self) -> None:
        """Reset the connections of the requests that hang."""
        self._ask(Ask("POST", "/release", dict[str, Any], {}))

    def refuse_connections(self) -> None:
        """Be down: refuse new connections at the API and reset those there are."""
        self._ask(Ask("POST", "/listening", dict[str, Any], {"accept": False}))

    def accept_connections(self) -> None:
        self._ask(Ask("POST", "/listening", dict[str, Any], {"accept": True}))

    def reset(self, *, brands: bool = False) -> None:
        """Forget what came in and the faults; the brands stay unless said."""
        self._ask(Ask("POST", "/reset", dict[str, Any], {"brands": brands}))

    def received(
        self, *, brand: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Received]:
        """Requests in order of arrival, over as many pages as it takes."""
        pages: list[Page] = []
        while True:
            one = self._ask(page(brand, after, PAGE))
            pages.append(one)
            if one.next_after == after or (limit is not None and len(collected(pages, None)) >= limit):
                return collected(pages, limit)
            after = one.next_after

    def summary(self) -> Summary:
        return self._ask(Ask("GET", "/summary", Summary))

    def arrivals(self) -> list[float]:
        return self._ask(Ask("GET", "/arrivals", list[float]))

    def wait_for(
        self, count: int, *, of: WaitFor = "accepted", brand: str | None = None, timeout_s: float = 30.0
    ) -> int:
        """Wait for a count; StandInTimeout if it is not reached in time."""
        return waited(self._ask(wait(count, of, brand, timeout_s)), count, of, timeout_s)

    def contacts(self, brand: str | None = None) -> ContactsView:
        """The contacts of a brand, or of all, with their statuses and the welcome messages they got."""
        return self._ask(asking.contacts(brand))

    def unsubscribe(self, brand: str, *, email: str | None = None, phone: str | None = None) -> ContactView:
        """Let the person click "unsubscribe" in a message; StandInError if the brand has no such contact."""
        return self._ask(asking.unsubscribe(brand, email, phone))

    def products(self, brand: str) -> list[ProductView]:
        """All products of a brand as they were last sent, over as many pages as it takes."""
        found: list[ProductView] = []
        while True:
            one = self._ask(asking.products(brand, len(found)))
            found += one.products
            if len(found) >= one.total or not one.products:
                return found

    def categories(self, brand: str) -> list[CategoryView]:
        return self._ask(asking.categories(brand))

    def batches(self, brand: str | None = None) -> list[BatchView]:
        """The batches of a brand, or of all, with the response codes of their items."""
        return self._ask(asking.batches(brand))

    def oauth(self) -> OAuthView:
        """What merchants have granted to applications, and how often tokens were refreshed."""
        return self._ask(Ask("GET", "/oauth", OAuthView))

    def add_oauth_client(self, client: OAuthClient) -> None:
        """Register an application that merchants can connect."""
        self._ask(Ask("POST", "/oauth/clients", dict[str, Any], client))

    def sign_in(self, brand: str) -> None:
        """Let the merchant of a brand be the one whose browser comes to the authorize endpoint."""
        self._ask(Ask("POST", "/oauth/sign-in", dict[str, Any], ForBrand(brand)))

    def expire_tokens(self, brand: str) -> None:
        """Let the access tokens of a brand expire now."""
        self._ask(Ask("POST", "/oauth/expire", dict[str, Any], ForBrand(brand)))

    def disconnect(self, brand: str) -> None:
        """Let the merchant of a brand take back what was granted."""
        self._ask(Ask("POST", "/oauth/disconnect", dict[str, Any], ForBrand(brand)))
