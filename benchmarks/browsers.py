"""Orders through PostgREST, as the shop's pages insert them: one browser after the other's answer, or many at once."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import time
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import uvloop

from benchmarks.the_order import CUSTOMERS, as_json
from sandbox.tokens import mint_token

_HEADERS: Final = {"Content-Type": "application/json", "Prefer": "return=minimal"}


def _new_order(merchant_id: UUID) -> bytes:
    email = f"customer{random.randint(1, CUSTOMERS)}@shopper.example"
    return json.dumps(as_json(merchant_id, email)).encode()


def _as_anon() -> dict[str, str]:
    return {**_HEADERS, "Authorization": f"Bearer {mint_token(role='anon')}"}


class Browser:
    """One kept connection, one order at a time."""

    def __init__(self, rest_url: str, merchant_id: UUID) -> None:
        parts = urlsplit(rest_url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._headers = _as_anon()
        self._merchant_id = merchant_id

    def order(self) -> float:
        """Seconds from the request to the whole answer."""
        body = _new_order(self._merchant_id)
        began = time.perf_counter()
        self._connection.request("POST", "/orders", body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        took = time.perf_counter() - began
        if answer.status != 201:
            raise RuntimeError(f"PostgREST answered {answer.status}: {said[:300]!r}")
        return took


def orders_per_second(rest_url: str, merchant_id: UUID, *, sessions: int, seconds: float) -> float:
    """So many browsers at once, each with a kept connection: orders answered per second."""
    return uvloop.run(_at_once(rest_url, merchant_id, sessions, seconds))


async def _at_once(rest_url: str, merchant_id: UUID, sessions: int, seconds: float) -> float:
    count = 0
    async with aiohttp.ClientSession(
        headers=_as_anon(), connector=aiohttp.TCPConnector(limit=sessions)
    ) as client:

        async def browser(until: float) -> None:
            nonlocal count
            while time.perf_counter() < until:
                row = _new_order(merchant_id)
                async with client.post(f"{rest_url}/orders", data=row) as answer:
                    if answer.status != 201:
                        raise RuntimeError(
                            f"PostgREST answered {answer.status}: {(await answer.text())[:300]}"
                        )
                count += 1

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(sessions):
                tasks.create_task(browser(began + seconds))
        return count / (time.perf_counter() - began)
