"""The way of a request at the API: read, hit by a fault or not, gateway, endpoint, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from aiohttp import web

from sandbox.omnisend import breakage, oauth_endpoints
from sandbox.omnisend.answers import Answer, documented
from sandbox.omnisend.brands import Caller
from sandbox.omnisend.faults import AFTER_READING, BEFORE_READING, Hit, Target
from sandbox.omnisend.gateway import Request, refusal
from sandbox.omnisend.journal import Entry
from sandbox.omnisend.model import Fault
from sandbox.omnisend.oauth_endpoints import OAuthRequest
from sandbox.omnisend.routing import Call
from sandbox.omnisend.validation import NOTHING_READ, Reading
from sandbox.omnisend.world import World

_Response = web.StreamResponse


class Api:
    """Answers everything but the control endpoints."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, raw: web.BaseRequest) -> _Response:
        world = self._world
        request = Request(raw, world)
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
        endpoint, settings = request.endpoint, world.settings
        is_large = endpoint is not None and endpoint.is_large
        body = await _body(raw, settings.max_batch_bytes if is_large else settings.max_body_bytes)
        if request.path.startswith(oauth_endpoints.PREFIX):
            return await self._oauth(request, body)
        reading = NOTHING_READ
        if endpoint is not None and body is not None and request.dialect is not None:
            reading = endpoint.read(body, request.dialect)
        entry = self._open(request, body or b"", reading)
        hit = self._hit(request, reading) if world.faults else None
        if hit is not None:
            act = partial(self._answer, request, body, reading, entry)
            return await self._broken(request, entry, hit, act)
        answer = self._answer(request, body, reading, entry)
        world.journal.close(entry, "answered", answer.status)
        return answer.response()

    async def _oauth(self, request: Request, body: bytes | None) -> _Response:
        """The authorization server; what goes there is made of secrets, so the journal keeps no body of it."""
        world, raw = self._world, request.raw
        asked = OAuthRequest(raw.method, raw.raw_path, raw.headers, body or b"")
        brand_id = world.oauth.brand_of(asked.secret() or "")
        request.caller = Caller(world.brands.by_id.get(brand_id or ""), None)
        entry = self._open(request, b"", NOTHING_READ)

        def act() -> Answer:
            answer = oauth_endpoints.answer(asked, world)
            if asked.found:
                world.journal.found(entry, asked.found)
            return answer

        hit = self._hit(request, NOTHING_READ) if world.faults else None
        if hit is not None:
            return await self._broken(request, entry, hit, act)
        answer = act()
        world.journal.close(entry, "answered", answer.status)
        return answer.response()

    async def _sink(self, request: Request) -> _Response:
        await _body(request.raw, self._world.settings.max_body_bytes)
        status = 401 if request.caller.permissions is None else 202
        self._world.journal.count_only(request.caller.brand_id, status)
        if self._world.settings.sink_delay_s:
            await asyncio.sleep(self._world.settings.sink_delay_s)
        return documented(status).response()

    def _open(self, request: Request, body: bytes, reading: Reading) -> Entry:
        return self._world.journal.open(
            method=request.raw.method,
            path=request.path,
            brand=request.caller.brand_id,
            key=request.caller.shown,
            body=body,
            event_name=reading.event_name,
            event_id=reading.event_id,
            event_time=reading.event_time,
            findings=(*request.wrong, *reading.findings) if request.wrong else reading.findings,
        )

    def _hit(self, request: Request, reading: Reading) -> Hit | None:
        target = Target(
            brand=request.caller.brand_id,
            path=request.path,
            event_name=reading.event_name,
            email=reading.email,
        )
        return self._world.faults.pick(AFTER_READING, target)

    def _answer(self, request: Request, body: bytes | None, reading: Reading, entry: Entry) -> Answer:
        """What Omnisend answers, and what it does about it."""
        refused = refusal(request, body, self._world)
        if isinstance(refused, Answer):
            return refused
        dialect, brand, endpoint = refused
        call = Call(
            world=self._world,
            dialect=dialect,
            caller=request.caller,
            brand=brand,
            entry=entry,
            reading=reading,
            parameters=request.parameters,
            query=request.query,
            url=request.url,
        )
        answer = endpoint.act(call)
        if call.found:
            self._world.journal.found(entry, call.found)
        return answer

    async def _broken(self, request: Request, entry: Entry, hit: Hit, act: Callable[[], Answer]) -> _Response:
        """Let a fault take its course; whether Omnisend acts on the request is settled before anything is delayed."""
        entry.fault = hit.fault_id
        regular = act() if hit.fault.acts else None
        try:
            if hit.delay_s:
                await asyncio.sleep(hit.delay_s)
            return await self._carry_out(request, entry, hit.fault, regular)
        except asyncio.CancelledError:  # the client hung up first
            if entry.outcome == "pending":
                self._world.journal.close(entry, "client_gone")
            raise

    async def _carry_out(
        self, request: Request, entry: Entry, fault: Fault, regular: Answer | None
    ) -> _Response:
        journal, raw = self._world.journal, request.raw
        answer = _answer_of(fault, request) if fault.kind == "status" or regular is None else regular
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


def _answer_of(fault: Fault, request: Request) -> Answer:
    return request.documented(fault.status, tuple(fault.headers.items())).with_body(fault.body)


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
