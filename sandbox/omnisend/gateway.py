"""What stands before the endpoints: which version, which path, who calls, how often, how much."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from sandbox.omnisend.answers import Answer, documented, invalid
from sandbox.omnisend.brands import NOBODY, Brand, Caller
from sandbox.omnisend.dialect import Dialect, dialect_of, version_finding
from sandbox.omnisend.model import Finding
from sandbox.omnisend.resources import ROUTES
from sandbox.omnisend.routing import NO_METHODS, Endpoint, read_query
from sandbox.omnisend.world import World

_NO_FINDINGS: Final[tuple[Finding, ...]] = ()


class Request:
    """What is known of a request before its body is read.

    `wrong` is what the request line and the headers alone show: an unknown parameter, a missing version.
    """

    __slots__ = (
        "caller",
        "dialect",
        "endpoint",
        "methods",
        "parameters",
        "path",
        "query",
        "raw",
        "version",
        "wrong",
    )

    def __init__(self, raw: web.BaseRequest, world: World) -> None:
        self.raw = raw
        self.path, _, raw_query = raw.raw_path.partition("?")
        self.dialect = dialect_of(self.path)
        self.caller = NOBODY
        self.methods = NO_METHODS
        self.parameters: Mapping[str, str] = {}
        self.endpoint: Endpoint | None = None
        self.query: dict[str, str] = {}
        self.version: Finding | None = None
        self.wrong = _NO_FINDINGS
        if self.dialect is not None:
            self._route(self.dialect, raw_query, world)

    def _route(self, dialect: Dialect, raw_query: str, world: World) -> None:
        self.caller = _caller(self.raw, dialect, world)
        self.methods, self.parameters = ROUTES.find(dialect, self.path)
        self.endpoint = self.methods.get(self.raw.method)
        if dialect.version_header:
            self.version = version_finding(dialect, self.raw.headers)
            if self.version is not None:
                self.wrong = (self.version,)
        if raw_query and self.endpoint is not None:
            self.query, unknown = read_query(raw_query, self.endpoint, dialect)
            self.wrong = (*self.wrong, *unknown)

    def url(self) -> str:
        return f"http://{self.raw.host}{self.path}"

    def documented(self, status: int, headers: tuple[tuple[str, str], ...] = (), **more: Any) -> Answer:
        """An error in the words of the request's dialect."""
        problem = self.dialect is not None and self.dialect.problems
        return documented(status, headers, problem=problem, **more)


def _caller(raw: web.BaseRequest, dialect: Dialect, world: World) -> Caller:
    credential = dialect.credential(raw.headers)
    if credential is None:
        return NOBODY
    if credential.scheme == "token":
        return world.oauth.caller(credential.secret)
    return world.brands.caller(credential.secret, any_key=world.settings.any_key)


def refusal(  # noqa: PLR0911 - one return per documented answer
    request: Request, body: bytes | None, world: World
) -> Answer | tuple[Dialect, Brand, Endpoint]:
    """The answer of what stands before the endpoints, or whom and what the request has reached.

    The version comes first: which paths and credentials there are depends on it.
    """
    unreachable = _unreachable(request, world)
    if unreachable is not None:
        return unreachable
    dialect, endpoint, brand = request.dialect, request.endpoint, request.caller.brand
    if dialect is None or endpoint is None:
        return documented(404)
    if brand is None or request.caller.permissions is None:
        return request.documented(401)
    unwelcome = _unwelcome(request, brand, endpoint, world)
    if unwelcome is not None:
        return unwelcome
    if body is None:
        return request.documented(413)
    if endpoint.takes_body and request.raw.content_type != "application/json":
        return request.documented(415)
    if any(found.severity == "rejected" for found in request.wrong):
        return invalid(request.wrong, dialect.problems)
    return dialect, brand, endpoint


def _unreachable(request: Request, world: World) -> Answer | None:
    """The answer where the version, the path or the method is not there."""
    dialect = request.dialect
    if dialect is None:
        return documented(404)
    if request.version is not None:
        return invalid((request.version,), dialect.problems)
    if dialect.name in world.settings.retired:
        return request.documented(410)
    if not request.methods:
        return request.documented(404)
    if request.endpoint is None:
        return request.documented(405, (("Allow", ", ".join(request.methods)),))
    return None


def _unwelcome(request: Request, brand: Brand, endpoint: Endpoint, world: World) -> Answer | None:
    """The answer where a known caller may not go on."""
    if brand.payment_required:
        return request.documented(402)
    if not _may(request.caller, endpoint):
        return request.documented(403)
    return _over_limit(request, brand, world)


def _may(caller: Caller, endpoint: Endpoint) -> bool:
    if endpoint.tokens_only and not caller.by_token:
        return False
    allowed = caller.permissions or frozenset()
    return endpoint.permission is None or endpoint.permission in allowed


def _over_limit(request: Request, brand: Brand, world: World) -> Answer | None:
    """429 when the brand has used up its window (DOCS/reference/rate-limit-timeouts-errors)."""
    settings = world.settings
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
    return request.documented(429, tuple(headers), **more)
