"""A stand-in on the test's own loop, and a client that speaks TCP rather than HTTP, so that it sees what is sent."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.omnisend import BrandKey, OmnisendStandIn

PATIENCE_S = 10


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One TCP connection: bytes out, bytes in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: omnisend"]
        if body:
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | {
                name.replace("_", "-"): value for name, value in headers.items()
            }
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *rest = head.strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in rest)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def all_that_comes(self) -> bytes:
        """Everything up to a FIN; a RST is a ConnectionResetError."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[RawClient]:
    host, port = url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


@dataclass
class Shop:
    """A merchant's sender, as far as these tests need one."""

    url: str
    brand: BrandKey

    async def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        async with raw_client(self.url) as client:
            client.send(method, path, body, **({"X_API_KEY": self.brand.key} | headers))
            return await client.answer()

    async def new(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """A call in version 2026-03-15, with the path from the resource on."""
        given = {"Authorization": f"Omnisend-API-Key {self.brand.key}", "Omnisend-Version": "2026-03-15"}
        body = b"" if content is None else json.dumps(content).encode()
        async with raw_client(self.url) as client:
            client.send(method, f"/api{path}", body, **given, **headers)
            return await client.answer()

    async def old(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """The same in version 5."""
        body = b"" if content is None else json.dumps(content).encode()
        return await self.call(method, f"/v5{path}", body, **headers)

    async def post(self, event: dict[str, Any], **headers: str) -> Answer:
        return await self.call("POST", "/v5/events", json.dumps(event).encode(), **headers)


def custom_event(**changes: Any) -> dict[str, Any]:
    """The least that Omnisend takes without a word."""
    return {
        "eventName": "gift card sent",
        "origin": "api",
        "eventID": str(uuid.uuid4()),
        "eventTime": datetime.now(UTC).isoformat(),
        "contact": {"email": "ann@example.com"},
        **changes,
    }


@pytest.fixture
async def omnisend() -> AsyncIterator[OmnisendStandIn]:
    async with OmnisendStandIn() as standin:
        yield standin


@pytest.fixture
def shop(omnisend: OmnisendStandIn) -> Shop:
    return Shop(omnisend.url, omnisend.add_brand())


@pytest.fixture
def new_event() -> Any:
    return custom_event


@pytest.fixture
def connect() -> Any:
    return raw_client


@pytest.fixture
def in_thread() -> Any:
    """Runs what blocks beside the stand-in's own loop."""
    return asyncio.to_thread
