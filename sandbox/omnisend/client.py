"""Reading and steering a stand-in from another process: `StandInControl`, and `AsyncStandInControl` for asyncio."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import httpx
import msgspec

from sandbox.omnisend.brands import BrandKey, new_brand_id, new_key
from sandbox.omnisend.model import (
    BrandSpec,
    BrandView,
    Fault,
    FaultView,
    KeySpec,
    Page,
    Received,
    Settings,
    Summary,
    Waited,
    WaitFor,
)
from sandbox.omnisend.server import StandInTimeout

T = TypeVar("T")
_TIMEOUT_S: Final = 30.0
_PAGE: Final = 2_000


class StandInError(RuntimeError):
    """The stand-in refused what it was told; the message is its own."""


@dataclass(frozen=True)
class _Ask(Generic[T]):
    """One request to a control endpoint and the type of its answer: what both clients share."""

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


def _page(brand: str | None, after: int, limit: int) -> _Ask[Page]:
    parameters: dict[str, str | int | float] = {"after": after, "limit": limit}
    if brand is not None:
        parameters["brand"] = brand
    return _Ask("GET", "/received", Page, parameters=parameters)


def _wait(count: int, of: WaitFor, brand: str | None, timeout_s: float) -> _Ask[Waited]:
    parameters: dict[str, str | int | float] = {"count": count, "of": of, "timeout": timeout_s}
    if brand is not None:
        parameters["brand"] = brand
    return _Ask("GET", "/wait", Waited, parameters=parameters, timeout_s=timeout_s + _TIMEOUT_S)


def _waited(answer: Waited, count: int, of: WaitFor, timeout_s: float) -> int:
    if not answer.reached:
        raise StandInTimeout(f"{answer.count} of {count} {of} after {timeout_s:g} s")
    return answer.count


def _brand(
    brand_id: str | None, key: str | None, permissions: list[str] | None, more: dict[str, Any]
) -> tuple[BrandKey, _Ask[BrandView]]:
    """A brand's key is made here and sent there: the stand-in never gives one out."""
    known = brand_id or (key.partition("-")[0] if key is not None else new_brand_id())
    opens = key or new_key(known)
    spec = BrandSpec(brandID=known, keys=[KeySpec(opens, permissions)], **more)
    return BrandKey(known, opens), _Ask("POST", "/brands", BrandView, spec)


def _collected(pages: list[Page], limit: int | None) -> list[Received]:
    found = [one for page in pages for one in page.received]
    return found if limit is None else found[:limit]


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

    def _ask(self, ask: _Ask[T]) -> T:
        if self._base is None:
            index = _Ask("GET", "", dict[str, Any])
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
        brand, ask = _brand(brand_id, key, permissions, more)
        self._ask(ask)
        return brand

    def change_brand(self, spec: BrandSpec) -> BrandView:
        """Change a brand; `keys=[]` revokes its keys, other keys replace them."""
        return self._ask(_Ask("POST", "/brands", BrandView, spec))

    def brands(self) -> list[BrandView]:
        return self._ask(_Ask("GET", "/brands", list[BrandView]))

    def add_fault(self, fault: Fault) -> int:
        return self._ask(_Ask("POST", "/faults", dict[str, int], fault))["id"]

    def clear_faults(self) -> None:
        self._ask(_Ask("DELETE", "/faults", dict[str, Any]))

    def faults(self) -> list[FaultView]:
        return self._ask(_Ask("GET", "/faults", list[FaultView]))

    def settings(self) -> Settings:
        return self._ask(_Ask("GET", "/settings", Settings))

    def change_settings(self, **changes: Any) -> Settings:
        return self._ask(_Ask("POST", "/settings", Settings, changes))

    def release(self) -> None:
        """Reset the connections of the requests that hang."""
        self._ask(_Ask("POST", "/release", dict[str, Any], {}))

    def refuse_connections(self) -> None:
        """Be down: refuse new connections at the API and reset those there are."""
        self._ask(_Ask("POST", "/listening", dict[str, Any], {"accept": False}))

    def accept_connections(self) -> None:
        self._ask(_Ask("POST", "/listening", dict[str, Any], {"accept": True}))

    def reset(self, *, brands: bool = False) -> None:
        """Forget what came in and the faults; the brands stay unless said."""
        self._ask(_Ask("POST", "/reset", dict[str, Any], {"brands": brands}))

    def received(
        self, *, brand: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Received]:
        """Requests in order of arrival, over as many pages as it takes."""
        pages: list[Page] = []
        while True:
            page = self._ask(_page(brand, after, _PAGE))
            pages.append(page)
            if page.next_after == after or (limit is not None and len(_collected(pages, None)) >= limit):
                return _collected(pages, limit)
            after = page.next_after

    def summary(self) -> Summary:
        return self._ask(_Ask("GET", "/summary", Summary))

    def arrivals(self) -> list[float]:
        return self._ask(_Ask("GET", "/arrivals", list[float]))

    def wait_for(
        self, count: int, *, of: WaitFor = "accepted", brand: str | None = None, timeout_s: float = 30.0
    ) -> int:
        """Wait for a count; StandInTimeout if it is not reached in time."""
        return _waited(self._ask(_wait(count, of, brand, timeout_s)), count, of, timeout_s)


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

    async def _ask(self, ask: _Ask[T]) -> T:
        if self._base is None:
            index = _Ask("GET", "", dict[str, Any])
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
        brand, ask = _brand(brand_id, key, permissions, more)
        await self._ask(ask)
        return brand

    async def change_brand(self, spec: BrandSpec) -> BrandView:
        return await self._ask(_Ask("POST", "/brands", BrandView, spec))

    async def brands(self) -> list[BrandView]:
        return await self._ask(_Ask("GET", "/brands", list[BrandView]))

    async def add_fault(self, fault: Fault) -> int:
        return (await self._ask(_Ask("POST", "/faults", dict[str, int], fault)))["id"]

    async def clear_faults(self) -> None:
        await self._ask(_Ask("DELETE", "/faults", dict[str, Any]))

    async def faults(self) -> list[FaultView]:
        return await self._ask(_Ask("GET", "/faults", list[FaultView]))

    async def settings(self) -> Settings:
        return await self._ask(_Ask("GET", "/settings", Settings))

    async def change_settings(self, **changes: Any) -> Settings:
        return await self._ask(_Ask("POST", "/settings", Settings, changes))

    async def release(self) -> None:
        await self._ask(_Ask("POST", "/release", dict[str, Any], {}))

    async def refuse_connections(self) -> None:
        await self._ask(_Ask("POST", "/listening", dict[str, Any], {"accept": False}))

    async def accept_connections(self) -> None:
        await self._ask(_Ask("POST", "/listening", dict[str, Any], {"accept": True}))

    async def reset(self, *, brands: bool = False) -> None:
        await self._ask(_Ask("POST", "/reset", dict[str, Any], {"brands": brands}))

    async def received(
        self, *, brand: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Received]:
        pages: list[Page] = []
        while True:
            page = await self._ask(_page(brand, after, _PAGE))
            pages.append(page)
            if page.next_after == after or (limit is not None and len(_collected(pages, None)) >= limit):
                return _collected(pages, limit)
            after = page.next_after

    async def summary(self) -> Summary:
        return await self._ask(_Ask("GET", "/summary", Summary))

    async def arrivals(self) -> list[float]:
        return await self._ask(_Ask("GET", "/arrivals", list[float]))

    async def wait_for(
        self, count: int, *, of: WaitFor = "accepted", brand: str | None = None, timeout_s: float = 30.0
    ) -> int:
        return _waited(await self._ask(_wait(count, of, brand, timeout_s)), count, of, timeout_s)
