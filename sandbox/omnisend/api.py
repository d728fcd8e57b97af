"""The way of a request at the API: read, hit by a fault or not, gateway, endpoint, answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from sandbox.omnisend import breakage
from sandbox.omnisend.answers import Answer, documented
from sandbox.omnisend.brands import Brand, Caller, masked
from sandbox.omnisend.dialect import Call, Dialect, Endpoint
from sandbox.omnisend.faults import AFTER_READING, BEFORE_READING, Hit, Target
from sandbox.omnisend.journal import Entry
from sandbox.omnisend.model import Fault
from sandbox.omnisend.v5 import V5
from sandbox.omnisend.validation import NOTHING_READ, Reading
from sandbox.omnisend.world import World

DIALECTS: Final[tuple[Dialect, ...]] = (V5,)

_Response = web.StreamResponse


class _Request:
    """What is known of a request before its body is read."""

    __slots__ = ("caller", "dialect", "endpoint", "key", "methods", "parameters", "path", "raw")

    def __init__(self, raw: web.BaseRequest, world: World) -> None:
        self.raw = raw
        self.path = raw.raw_path.partition("?")[0]
        self.dialect = next((one for one in DIALECTS if self.path.startswith(one.prefix)), None)
        self.key = self.dialect.credential(raw.headers) if self.dialect is not None else None
        self.caller: Caller = world.brands.caller(self.key, any_key=world.settings.any_key)
        found = self.dialect.find(self.path) if self.dialect is not None else None
        self.methods: Mapping[str, Endpoint] | None = found[0] if found is not None else None
        self.parameters: Mapping[str, str] = found[1] if found is not None else {}
        self.endpoint = self.methods.get(raw.method) if self.methods is not None else None


class Api:
    """Answers everything but the control endpoints."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, raw: web.BaseRequest) -> _Response:
        world = self._world
        request = _Request(raw, world)
        if world.settings.sink:
            return await self._sink(request)
        if world.faults:
            early = world.faults.pick(
                BEFORE_READING, Target(brand=request.caller.brand_id, path=request.path)
            )
            if early is not None:
                entry = self._open(request, b"", NOTHING_READ)
                entry.fault = early.fault_id
                world.journal.close(entry, "reset_before_reading")
                return breakage.reset(raw)
        body = await _body(raw, world.settings.max_body_bytes)
        endpoint = request.endpoint
        reading = endpoint.read(body) if endpoint is not None and body is not None else NOTHING_READ
        entry = self._open(request, body or b"", reading)
        hit = self._hit(request, reading) if world.faults else None
        if hit is not None:
            return await self._broken(request, body, reading, entry, hit)
        answer = self._answer(request, body, reading, entry)
        world.journal.close(entry, "answered", answer.status)
        return answer.response()

    async def _sink(self, request: _Request) -> _Response:
        await _body(request.raw, self._world.settings.max_body_bytes)
        status = 401 if request.caller.permissions is None else 202
        self._world.journal.count_only(request.caller.brand_id, status)
        if self._world.settings.sink_delay_s:
            await asyncio.sleep(self._world.settings.sink_delay_s)
        return documented(status).response()

    def _open(self, request: _Request, body: bytes, reading: Reading) -> Entry:
        return self._world.journal.open(
            method=request.raw.method,
            path=request.path,
            brand=request.caller.brand_id,
            key=masked(request.key) if request.key is not None else None,
            body=body,
            event_name=reading.event_name,
            event_id=reading.event_id,
            event_time=reading.event_time,
            findings=reading.findings,
        )

    def _hit(self, request: _Request, reading: Reading) -> Hit | None:
        target = Target(
            brand=request.caller.brand_id,
            path=request.path,
            event_name=reading.event_name,
            email=reading.email,
        )
        return self._world.faults.pick(AFTER_READING, target)

    def _answer(self, request: _Request, body: bytes | None, reading: Reading, entry: Entry) -> Answer:
        """What Omnisend answers, and what it does about it."""
        refused = self._refusal(request, body)
        if isinstance(refused, Answer):
            return refused
        brand, endpoint = refused
        return endpoint.act(
            Call(
                world=self._world,
                brand=brand,
                entry=entry,
                reading=reading,
                parameters=request.parameters,
            )
        )

    def _refusal(  # noqa: PLR0911 - one return per documented answer
        self, request: _Request, body: bytes | None
    ) -> Answer | tuple[Brand, Endpoint]:
        """The gateway's answer, if it refuses; in the order in which a gateway can know."""
        dialect, caller, methods = request.dialect, request.caller, request.methods
        if dialect is not None and dialect.name in self._world.settings.retired:
            return documented(410)
        if dialect is None or methods is None:
            return documented(404)
        if request.endpoint is None:
            return documented(405, (("Allow", ", ".join(methods)),))
        if caller.brand is None or caller.permissions is None:
            return documented(401)
        if caller.brand.payment_required:
            return documented(402)
        if request.endpoint.permission not in caller.permissions:
            return documented(403)
        limited = self._over_limit(caller.brand)
        if limited is not None:
            return limited
        if body is None:
            return documented(413)
        if request.endpoint.takes_body and request.raw.content_type != "application/json":
            return documented(415)
        return caller.brand, request.endpoint

    def _over_limit(self, brand: Brand) -> Answer | None:
        """429 when the brand has used up its window (DOCS/reference/rate-limit-timeouts-errors)."""
        settings = self._world.settings
        limit = settings.rate_limit if brand.rate_limit is None else brand.rate_limit
        if not limit:
            return None
        now = time.monotonic()
        if brand.window.count(now, settings.window_s) < limit:
            brand.window.add(now, settings.window_s)
            return None
        wait = math.ceil(brand.window.seconds_to_room(now, settings.window_s, limit))
        if settings.count_refused:
            brand.window.add(now, settings.window_s)
        headers = []
        if settings.retry_after_header:
            headers.append(("Retry-After", str(wait)))
        if settings.rate_headers:
            headers += [("X-Rate-Limit-Limit", str(limit)), ("X-Rate-Limit-Remaining", "0")]
            headers.append(("X-Rate-Limit-Reset", str(wait)))
        more = {"retryAfter": wait} if settings.retry_after_in_body else {}
        return documented(429, tuple(headers), **more)

    async def _broken(
        self, request: _Request, body: bytes | None, reading: Reading, entry: Entry, hit: Hit
    ) -> _Response:
        """Let a fault take its course; whether Omnisend acts on the request is settled before anything is delayed."""
        entry.fault = hit.fault_id
        regular = self._answer(request, body, reading, entry) if hit.fault.acts else None
        try:
            if hit.delay_s:
                await asyncio.sleep(hit.delay_s)
            return await self._carry_out(request.raw, entry, hit.fault, regular)
        except asyncio.CancelledError:  # the client hung up first
            if entry.outcome == "pending":
                self._world.journal.close(entry, "client_gone")
            raise

    async def _carry_out(
        self, raw: web.BaseRequest, entry: Entry, fault: Fault, regular: Answer | None
    ) -> _Response:
        journal = self._world.journal
        answer = _answer_of(fault) if fault.kind == "status" or regular is None else regular
        match fault.kind:
            case "status" | "delay":
                journal.close(entry, "answered", answer.status)
                return answer.response()
            case "hang":
                await self._world.released.wait()
                journal.close(entry, "hang")
                return breakage.reset(raw)
            case "half_answer":
                journal.close(entry, "half_answer")
                whole = answer.on_the_wire()
                return breakage.end_after(raw, whole[: len(whole) // 2])
            case "garbage":
                journal.close(entry, "garbage")
                return breakage.end_after(raw, breakage.GARBAGE)
            case "reset_after_reading" | "reset_before_reading" | "reset_on_connect":
                journal.close(entry, "reset_after_reading")
                return breakage.reset(raw)


def _answer_of(fault: Fault) -> Answer:
    return documented(fault.status, tuple(fault.headers.items())).with_body(fault.body)


async def _body(request: web.BaseRequest, most: int) -> bytes | None:
    """The whole body, or None when it is too large."""
    announced = request.content_length
    if announced is not None and announced > most:
        return None
    if announced == 0:
        return b""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None
    return body if len(body) <= most else None
