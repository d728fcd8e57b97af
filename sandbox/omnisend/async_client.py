"""Reading and steering a stand-in from another process, with asyncio."""

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


class AsyncStandInControl:
    """`StandInControl` for asyncio: the same methods, awaited."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.AsyncClient(trust_env=False)
        self._base: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, ask: Ask[T]) -> T:
        if self._base is None:
            index = Ask("GET", "", dict[str, Any])
            found = index.read(await self._client.send(index.request(self._client, self.url)))
            self._base = found["control_url"]
        return ask.read(await self._client.send(ask.request(self._client, self._base)))

    async def add_brand(
        self,
        brand_id: str | None = None,
        *,
        key: str | None = None,
        permissions: list[str] | None = None,
        **more: Any,
    ) -> BrandKey:
        brand, ask = brand_with_key(brand_id, key, permissions, more)
        await self._ask(ask)
        return brand

    async def change_brand(self, spec: BrandSpec) -> BrandView:
        return await self._ask(Ask("POST", "/brands", BrandView, spec))

    async def brands(self) -> list[BrandView]:
        return await self._ask(Ask("GET", "/brands", list[BrandView]))

    async def add_fault(self, fault: Fault) -> int:
        return (await self._ask(Ask("POST", "/faults", dict[str, int], fault)))["id"]

    async def clear_faults(self) -> None:
        await self._ask(Ask("DELETE", "/faults", dict[str, Any]))

    async def faults(self) -> list[FaultView]:
        return await self._ask(Ask("GET", "/faults", list[FaultView]))

    async def settings(self) -> Settings:
        return await self._ask(Ask("GET", "/settings", Settings))

    async def change_settings(self, **changes: Any) -> Settings:
        return await self._ask(Ask("POST", "/settings", Settings, changes))

    async def release(self) -> None:
        await self._ask(Ask("POST", "/release", dict[str, Any], {}))

    async def refuse_connections(self) -> None:
        await self._ask(Ask("POST", "/listening", dict[str, Any], {"accept": False}))

    async def accept_connections(self) -> None:
        await self._ask(Ask("POST", "/listening", dict[str, Any], {"accept": True}))

    async def reset(self, *, brands: bool = False) -> None:
        await self._ask(Ask("POST", "/reset", dict[str, Any], {"brands": brands}))

    async def received(
        self, *, brand: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Received]:
        pages: list[Page] = []
        while True:
            one = await self._ask(page(brand, after, PAGE))
            pages.append(one)
            if one.next_after == after or (limit is not None and len(collected(pages, None)) >= limit):
                return collected(pages, limit)
            after = one.next_after

    async def summary(self) -> Summary:
        return await self._ask(Ask("GET", "/summary", Summary))

    async def arrivals(self) -> list[float]:
        return await self._ask(Ask("GET", "/arrivals", list[float]))

    async def wait_for(
        self, count: int, *, of: WaitFor = "accepted", brand: str | None = None, timeout_s: float = 30.0
    ) -> int:
        return waited(await self._ask(wait(count, of, brand, timeout_s)), count, of, timeout_s)

    async def contacts(self, brand: str | None = None) -> ContactsView:
        return await self._ask(asking.contacts(brand))

    async def unsubscribe(
        self, brand: str, *, email: str | None = None, phone: str | None = None
    ) -> ContactView:
        return await self._ask(asking.unsubscribe(brand, email, phone))

    async def products(self, brand: str) -> list[ProductView]:
        """All products of a brand as they were last sent, over as many pages as it takes."""
        found: list[ProductView] = []
        while True:
            one = await self._ask(asking.products(brand, len(found)))
            found += one.products
            if len(found) >= one.total or not one.products:
                return found

    async def categories(self, brand: str) -> list[CategoryView]:
        return await self._ask(asking.categories(brand))

    async def batches(self, brand: str | None = None) -> list[BatchView]:
        """The batches of a brand, or of all, with the response codes of their items."""
        return await self._ask(asking.batches(brand))

    async def oauth(self) -> OAuthView:
        """What merchants have granted to applications, and how often tokens were refreshed."""
        return await self._ask(Ask("GET", "/oauth", OAuthView))

    async def add_oauth_client(self, client: OAuthClient) -> None:
        """Register an application that merchants can connect."""
        await self._ask(Ask("POST", "/oauth/clients", dict[str, Any], client))

    async def sign_in(self, brand: str) -> None:
        """Let the merchant of a brand be the one whose browser comes to the authorize endpoint."""
        await self._ask(Ask("POST", "/oauth/sign-in", dict[str, Any], ForBrand(brand)))

    async def expire_tokens(self, brand: str) -> None:
        """Let the access tokens of a brand expire now."""
        await self._ask(Ask("POST", "/oauth/expire", dict[str, Any], ForBrand(brand)))

    async def disconnect(self, brand: str) -> None:
        """Let the merchant of a brand take back what was granted."""
        await self._ask(Ask("POST", "/oauth/disconnect", dict[str, Any], ForBrand(brand)))
