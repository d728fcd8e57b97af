"""Omnisend over HTTP: one request, one answer, or one of the two ways of not getting one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec

from soldt_outbox.errors import ConfigurationError, CredentialError, MayHaveBeenSeen, NeverSeen, OutboxError
from soldt_outbox.omnisend.answers import ANSWER_HEADERS, Answer, AnswerClass, Delivered, classify
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.omnisend.transport import AiohttpTransport
from soldt_outbox.rows import Kind, OmnisendRequest
from soldt_outbox.version import __version__

USER_AGENT: Final = f"soldt-outbox/{__version__}"
BRAND_PATH: Final = "/brands/current"

_HEADERS_KEPT: Final = {name.encode(): name for name in ANSWER_HEADERS}

# What a transport raises when nothing of a request can have been acted upon. Everything else may have been.
_NEVER_SEEN: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Brand(msgspec.Struct, frozen=True, rename={"brand_id": "brandID"}):
    """The brand that a key opens (``GET brands/current``); optional fields as Omnisend gives them."""

    brand_id: str
    name: str | None = None
    platform: str | None = None
    website: str | None = None
    currency: str | None = None
    timezone: str | None = None
    connected: bool | None = None


class BrandRefused(OutboxError):  # noqa: N818 - the field's word
    """Omnisend did not say which brand a key belongs to. ``meaning`` is its answer's class, as of any answer."""

    def __init__(self, problem: str, meaning: AnswerClass) -> None:
        super().__init__(problem)
        self.meaning = meaning


@dataclass(frozen=True, slots=True)
class _Target:
    """What every request to one path shares, built once: parsing a URL costs more than the rest of a request."""

    url: httpx.URL
    headers: tuple[tuple[bytes, bytes], ...]


class OmnisendClient:
    """Sends requests of one dialect to one host. Holds no credential: the key is an argument of each call.

    httpx's ``AsyncClient`` is left out on purpose: over the same transport it sent two fifths as many requests a second
    (ratio 0.36 to 0.43 at 8 to 256 connections: ``python -m benchmarks clients``), and its cookies, redirects and environment are what must
    not happen here. httpx's transports remain: ``httpx.MockTransport`` in tests.
    """

    def __init__(
        self,
        base_url: str,
        dialect: Dialect,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: timedelta = timedelta(seconds=10),
        max_connections: int = 64,
    ) -> None:
        """Raises ``ConfigurationError`` for a base URL that is not https, unless its host is the loopback."""
        self._base = _checked_base_url(base_url)
        self._dialect = dialect
        self._transport = transport or AiohttpTransport(timeout=timeout, max_connections=max_connections)
        self._siblings: dict[Dialect, OmnisendClient] = {}
        self._target = lru_cache(maxsize=64)(self._build_target)

    def speaking(self, dialect: Dialect) -> OmnisendClient:
        """A client of another dialect to the same host, over the same connections. Closing either closes both."""
        if dialect is self._dialect:
            return self
        sibling = self._siblings.get(dialect)
        if sibling is None:
            sibling = OmnisendClient(str(self._base), dialect, transport=self._transport)
            self._siblings[dialect] = sibling
        return sibling

    def __repr__(self) -> str:
        return f"OmnisendClient({str(self._base)!r}, {self._dialect.version})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection. Requests under way fail."""
        await self._transport.aclose()

    async def send(self, request: OmnisendRequest, api_key: str) -> Answer:
        """Send one request and return the whole answer, whatever its status.

        Raises ``NeverSeen`` or ``MayHaveBeenSeen`` where there is none, and ``CredentialError`` for a key that
        cannot stand in a header. The key is in no error and in no log.
        """
        target = self._target(request.path)
        length = str(len(request.body)).encode()
        # With a stream and not with content: httpx then takes the headers as they are.
        wire = httpx.Request(
            request.method,
            target.url,
            headers=[
                *target.headers,
                *(
                    (name.encode(), value.encode())
                    for name, value in self._dialect.auth_headers(_checked_key(api_key))
                ),
                *(((b"content-length", length),) if request.body else ()),
            ],
            stream=httpx.ByteStream(request.body),
        )
        try:
            response = await self._transport.handle_async_request(wire)
            body = await _body(response)
        except _NEVER_SEEN as error:
            raise NeverSeen(_words(error)) from None  # httpx's errors hold the request, and with it the key
        except httpx.TransportError as error:
            raise MayHaveBeenSeen(_words(error)) from None
        except httpx.StreamError as error:
            raise MayHaveBeenSeen(_words(error)) from None
        return _answer(response, body)

    async def current_brand(self, api_key: str) -> Brand:
        """The brand that ``api_key`` opens. It writes nothing at Omnisend, so it is also how a key is checked.

        Raises ``BrandRefused`` when the answer is not 2xx or names no brand, and what ``send`` raises.
        """
        answer = await self.send(OmnisendRequest(method="GET", path=BRAND_PATH, body=b""), api_key)
        meaning = classify(answer, kind=Kind.EVENT, dialect=self._dialect)
        if not isinstance(meaning, Delivered):
            raise BrandRefused(meaning.words, meaning)
        try:
            brand = msgspec.json.decode(answer.body, type=Brand)
        except msgspec.MsgspecError:
            raise BrandRefused("the answer to brands/current names no brandID", meaning) from None
        if not brand.brand_id:
            raise BrandRefused("the answer to brands/current has an empty brandID", meaning)
        return brand

    def _build_target(self, path: str) -> _Target:
        url = self._base.copy_with(
            raw_path=f"{self._base.path.rstrip('/')}{self._dialect.base_path}{path}".encode()
        )
        fixed = (
            (b"host", url.netloc),
            (b"user-agent", USER_AGENT.encode()),
            (b"accept", b"application/json"),
            (
                b"accept-encoding",
                b"identity",
            ),  # so that the bound on an answer's size is one on its meaning too
            (b"content-type", b"application/json"),
        )
        return _Target(url, fixed)


async def _body(response: httpx.Response) -> bytes:
    """The answer's body; one that is there already is not sent through httpx's decoders, since none was asked for."""
    if isinstance(response.stream, httpx.ByteStream):
        return b"".join(response.stream)
    return await response.aread()


def _answer(response: httpx.Response, body: bytes) -> Answer:
    kept: dict[str, str] = {}
    for name, value in response.headers.raw:
        if (known := _HEADERS_KEPT.get(name.lower())) is not None:
            kept[known] = value.decode("latin-1")
    if response.status_code == 429 and "date" not in kept:  # a Retry-After may be a date, told by that clock
        kept["date"] = format_datetime(datetime.now(UTC), usegmt=True)
    return Answer(status=response.status_code, body=body, headers=kept)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _checked_key(api_key: str) -> str:
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise CredentialError(
            "the API key is empty or holds characters that no Omnisend key has; connect again"
        )
    return api_key


def _checked_base_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"OMNISEND_BASE_URL is not a URL ({error})") from None
    if not url.host or url.userinfo or url.query or url.fragment:
        raise ConfigurationError(
            "OMNISEND_BASE_URL must be a scheme and a host, such as https://api.omnisend.com"
        )
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ConfigurationError(
            "OMNISEND_BASE_URL must begin with https:// (http only on the loopback): keys are sent to it"
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
