"""Writing events, consents and changed contacts over Supabase's API, for servers without a database URL.

Needs the extra ``soldt-outbox[supabase]``.

    with SupabaseOutbox("https://<ref>.supabase.co", os.environ["SUPABASE_SECRET_KEY"]) as outbox:
        outbox.enqueue(CheckoutStarted(merchant_id=shop, contact=..., properties=...))

**This is not transactional with the caller's other writes**: to PostgREST each request is a transaction of its own,
so a crash between storing something and telling the outbox loses the event. Orders need none of this (the trigger on
``orders`` writes theirs); where both must hold, use ``soldt_outbox.enqueue`` on a connection, or call
``omnisend_enqueue`` inside an SQL function.

Each object has an HTTP client of its own and gives it to nobody: supabase-py, asked to act for a signed-in user,
silently turns the client that holds the secret key into that user's. For the same reason a user's token is refused
as a key. A request that fails on the way is sent again; the dedup key makes that one event,
and of a consent its instant.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import httpx
import tenacity

from soldt_outbox.contacts import Consent, ContactChanged
from soldt_outbox.errors import ConfigurationError, EnqueueFailed, InvalidEvent
from soldt_outbox.events import Event
from soldt_outbox.redaction import scrub
from soldt_outbox.rows import Kind

try:
    from postgrest import APIError, AsyncPostgrestClient, SyncPostgrestClient
except ImportError as missing:
    raise ImportError(
        "soldt_outbox.supabase needs the package postgrest: install soldt-outbox[supabase]"
    ) from missing

DEFAULT_TIMEOUT: Final = timedelta(seconds=10)  # of each try; PostgREST ends a call by service_role after 8 s
TRIES: Final = 3
_ENQUEUE: Final = "omnisend_enqueue"
_RECORD_CONSENT: Final = "omnisend_record_consent"
_CONTACT_CHANGED: Final = "omnisend_contact_changed"
_CONNECTIONS: Final = "integrations_omnisend_status"

_PASSING: Final = frozenset(
    {502, 503, 504}
)  # the gateway's, and PostgREST's without a connection to the database
_REFUSED: Final = frozenset({401, 403})
_MISSING: Final = "PGRST202"  # no such function
_INVALID: Final = "22023"  # invalid_parameter_value, as omnisend_enqueue raises it


class SupabaseOutbox:
    """Writes events with a project's secret key. Threads may share it; close it, or use it as a context manager."""

    def __init__(self, url: str, secret_key: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        """``url`` is the project's, ``https://<ref>.supabase.co``; ``secret_key`` its ``sb_secret_…`` or service_role key.

        Raises ``ConfigurationError`` for a publishable or anon key, a user's token, or a URL without https.
        """
        endpoint, headers = _endpoint(url), _headers(secret_key)

        def authorize(request: httpx.Request) -> None:
            request.headers.update(headers)  # last of all, so that nothing else can say who asks

        self._http = httpx.Client(
            event_hooks={"request": [authorize], "response": [_judge]}, **_options(timeout)
        )
        self._client = SyncPostgrestClient(endpoint, http_client=self._http)
        self._retrying = tenacity.Retrying(**_RETRYING)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def enqueue(self, event: Event) -> int | None:
        """Write one event; its row's id, or ``None`` where the occurrence is already there or nobody is connected.

        ``None`` also where a try that seemed to fail had written it. Raises ``InvalidEvent``, ``ConfigurationError``
        for a key that may not, and ``EnqueueFailed``; after the last one, calling again is safe.
        """
        return self._call(_ENQUEUE, _parameters(event))

    def record_consent(self, consent: Consent) -> int | None:
        """Record a consent; its id, or ``None`` where the merchant was never connected. Raises as ``enqueue``."""
        country = ""
        if consent.needs_country:
            found = self._country(consent.merchant_id)
            if found is None:
                return None
            country = found
        return self._call(_RECORD_CONSENT, _consent_parameters(consent, country))

    def contact_changed(self, changed: ContactChanged) -> int | None:
        """Have Omnisend told of a contact; as ``soldt_outbox.contact_changed``. Raises as ``enqueue``."""
        return self._call(_CONTACT_CHANGED, _contact_parameters(changed))

    def _call(self, function: str, parameters: dict[str, Any]) -> int | None:
        try:
            answer = self._retrying(lambda: self._client.rpc(function, parameters).execute())
        except (httpx.HTTPError, APIError) as error:
            raise _in_our_words(error, function) from None
        return _id(answer.data)

    def _country(self, merchant_id: UUID) -> str | None:
        query = self._client.table(_CONNECTIONS).select("country_code").eq("merchant_id", str(merchant_id))
        try:
            answer = self._retrying(query.execute)
        except (httpx.HTTPError, APIError) as error:
            raise _in_our_words(error, _CONNECTIONS) from None
        return _country_code(answer.data)


class AsyncSupabaseOutbox:
    """As ``SupabaseOutbox``, for asyncio."""

    def __init__(self, url: str, secret_key: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        """As ``SupabaseOutbox``."""
        endpoint, headers = _endpoint(url), _headers(secret_key)

        async def authorize(request: httpx.Request) -> None:
            request.headers.update(headers)

        async def judge(response: httpx.Response) -> None:
            _judge(response)

        self._http = httpx.AsyncClient(
            event_hooks={"request": [authorize], "response": [judge]}, **_options(timeout)
        )
        self._client = AsyncPostgrestClient(endpoint, http_client=self._http)
        self._retrying = tenacity.AsyncRetrying(**_RETRYING)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def enqueue(self, event: Event) -> int | None:
        """As ``SupabaseOutbox.enqueue``."""
        return await self._call(_ENQUEUE, _parameters(event))

    async def record_consent(self, consent: Consent) -> int | None:
        """As ``SupabaseOutbox.record_consent``."""
        country = ""
        if consent.needs_country:
            found = await self._country(consent.merchant_id)
            if found is None:
                return None
            country = found
        return await self._call(_RECORD_CONSENT, _consent_parameters(consent, country))

    async def contact_changed(self, changed: ContactChanged) -> int | None:
        """As ``SupabaseOutbox.contact_changed``."""
        return await self._call(_CONTACT_CHANGED, _contact_parameters(changed))

    async def _call(self, function: str, parameters: dict[str, Any]) -> int | None:
        async def once() -> Any:
            return await self._client.rpc(function, parameters).execute()

        try:
            answer: Any = await self._retrying(once)
        except (httpx.HTTPError, APIError) as error:
            raise _in_our_words(error, function) from None
        return _id(answer.data)

    async def _country(self, merchant_id: UUID) -> str | None:
        query = self._client.table(_CONNECTIONS).select("country_code").eq("merchant_id", str(merchant_id))
        try:
            answer: Any = await self._retrying(query.execute)
        except (httpx.HTTPError, APIError) as error:
            raise _in_our_words(error, _CONNECTIONS) from None
        return _country_code(answer.data)


def _judge(response: httpx.Response) -> None:
    """Raise for the statuses that mean something by themselves: postgrest's error would not keep them."""
    if response.status_code in _PASSING | _REFUSED:
        raise httpx.HTTPStatusError(
            f"HTTP {response.status_code}", request=response.request, response=response
        )


def _passing(error: BaseException) -> bool:
    """Whether another try may go better. A time-out may have been acted on: the dedup key makes the retry safe."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _PASSING
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


_RETRYING: Final[dict[str, Any]] = {
    "stop": tenacity.stop_after_attempt(TRIES),
    "wait": tenacity.wait_exponential(multiplier=0.2, max=2) + tenacity.wait_random(0, 0.2),
    "retry": tenacity.retry_if_exception(_passing),
    "reraise": True,
}


def _options(timeout: timedelta) -> dict[str, Any]:
    # No redirects and no settings from the environment (proxies, ~/.netrc): the secret key goes to the project alone.
    return {"timeout": timeout.total_seconds(), "follow_redirects": False, "trust_env": False}


def _endpoint(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigurationError("the Supabase URL must be the project's, such as https://<ref>.supabase.co")
    if parsed.scheme != "https" and not (parsed.scheme == "http" and _is_loopback(parsed.host)):
        raise ConfigurationError(
            "the Supabase URL must begin with https:// (http only on the loopback): the secret key is sent to it"
        )
    path = parsed.path.rstrip("/").removesuffix("/rest/v1")
    return str(parsed.copy_with(raw_path=f"{path}/rest/v1".encode()))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _headers(secret_key: str) -> Mapping[str, str]:
    """The headers that say who asks. Raises ``ConfigurationError`` for what is no server's key; never repeats it."""
    key = secret_key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the Supabase secret key holds characters that no key has")
    if not key.startswith("sb_secret_"):
        role = _role(key)
        if key.startswith("sb_publishable_") or role == "anon":
            raise ConfigurationError(
                "this is a publishable (anon) key, which browsers have: the outbox needs the secret key, on a server"
            )
        if role is not None and role != "service_role":
            raise ConfigurationError(
                "this is a user's token: it must never stand in the place of the project's secret key"
            )
        if role is None:
            raise ConfigurationError("this is no Supabase secret key: it begins with sb_secret_")
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def _role(key: str) -> str | None:
    """The role in a JWT, unverified: good enough to refuse the wrong key. ``None`` for what is no JWT."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return str(claims.get("role", "")) if isinstance(claims, dict) else None


def _parameters(event: Event) -> dict[str, Any]:
    return {
        "p_merchant_id": str(event.merchant_id),
        "p_name": str(event.name),
        "p_payload": _exact(event.payload()),
        "p_dedup_key": event.dedup_key or _own_dedup_key(event),
        "p_occurred_at": event.occurred_at.isoformat(),
        "p_ordering_key": event.ordering_key,
        "p_kind": Kind.EVENT.value,
    }


def _consent_parameters(consent: Consent, country: str) -> dict[str, Any]:
    contact = consent.contact
    return {
        "p_merchant_id": str(consent.merchant_id),
        "p_channel": consent.channel.value,
        "p_identifier": consent.address(country),
        "p_given": consent.given,
        "p_source": consent.source,
        # Told even where it is now: a second try then names the same instant, and is the same consent.
        "p_occurred_at": (consent.occurred_at or datetime.now(UTC)).isoformat(),
        "p_contact": None if contact is None else json.loads(contact.payload_json()),
        "p_ip": None if consent.ip is None else str(consent.ip),
        "p_user_agent": consent.user_agent,
        "p_origin": consent.origin.value,
    }


def _contact_parameters(changed: ContactChanged) -> dict[str, Any]:
    return {
        "p_merchant_id": str(changed.merchant_id),
        "p_contact": json.loads(changed.contact.payload_json()),
        "p_changed_at": None if changed.changed_at is None else changed.changed_at.isoformat(),
    }


def _country_code(data: Any) -> str | None:
    """Of the merchant's row; ``None`` where there is none."""
    return next((str(row["country_code"]) for row in data), None)


def _own_dedup_key(event: Event) -> str:
    """Of an event that names no occurrence: the database's own hash holds its clock where ours is ahead, and a retry must not."""
    told = f"{event.occurred_at.timestamp()}|{event.payload_json()}"
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"


def _exact(value: Any) -> Any:
    """For postgrest, whose JSON knows no ``Decimal``: floats that read the same. Raises ``InvalidEvent`` where none does."""
    if isinstance(value, dict):
        return {key: _exact(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_exact(child) for child in value]
    if isinstance(value, Decimal):
        number = float(value)
        if Decimal(repr(number)) != value:
            raise InvalidEvent(
                f"the number {value} has more digits than Supabase's API form keeps; send it as text"
            )
        return number
    return value


def _id(data: Any) -> int | None:
    if data is None or (isinstance(data, int) and not isinstance(data, bool)):
        return data
    raise EnqueueFailed("Supabase's answer is no row id: is the URL the project's?")


def _in_our_words(error: httpx.HTTPError | APIError, called: str) -> Exception:
    """What to raise in place of an error that may hold the request, and with it the key and the payload."""
    if isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code in _REFUSED:
            return ConfigurationError(
                f"Supabase refuses this key ({error}): is it this project's secret key?"
            )
        return EnqueueFailed(f"Supabase is having trouble, after {TRIES} tries ({error})")
    if isinstance(error, httpx.HTTPError):
        return EnqueueFailed(f"Supabase did not answer, after {TRIES} tries ({type(error).__name__})")
    words = scrub(f"{error.message or 'no explanation'} ({error.code or 'no code'})")
    if error.code == _INVALID:
        return InvalidEvent(words)
    if error.code == _MISSING:
        return ConfigurationError(f"this project lacks {called}: run `soldt-outbox migrate` on it")
    return EnqueueFailed(f"Supabase did not take it ({called}): {words}")
