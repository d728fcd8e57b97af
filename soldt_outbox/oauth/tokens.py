"""Access tokens that are good when they are used, refreshed by one worker at a time.

Whoever finds a token that is about to end, or that Omnisend refused, takes the merchant's refresh lease: a token of its
own and an end, in the database, with no transaction open while Omnisend is asked. New tokens are stored, encrypted, by the
one statement that replaces the old ones, and only while the lease is still the refresher's. The others look again and
again until the new token is there; where the refresher died, one of them takes the lease over once it has run out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import PASSING, AsyncDatabase
from soldt_outbox.errors import AuthorizationLost, CredentialError, OAuthError, TokenRefused, TokenUnavailable
from soldt_outbox.oauth.client import REQUEST_TIMEOUT, OAuthClient
from soldt_outbox.oauth.protocol import ErrorCode, Grant

ACCESS_COLUMN: Final = "access_token_enc"
REFRESH_COLUMN: Final = "refresh_token_enc"

MARGIN: Final = timedelta(minutes=1)  # as Omnisend's WordPress plugin; `stored_tokens` has the same
LEASE: Final = timedelta(seconds=30)  # one request of at most ten seconds, and storing what it brought
PATIENCE: Final = timedelta(seconds=45)  # a refresher that died, its lease, and a refresh after it
_LOOK_EVERY: Final = (
    0.1,
    0.2,
    0.4,
    0.8,
    1.0,
)  # seconds between looks at what others refresh; the last one repeats
# New tokens exist nowhere else while they are not stored, and the old refresh token may be used up.
_STORE_AGAIN_AFTER: Final = (0.2, 0.5, 1.0, 2.0, 4.0)

_LOST: Final = (
    "Omnisend ended this shop's authorization (it was revoked there, or has run out): connect the shop again"
)
_CANNOT_REFRESH: Final = (
    "the access token has ended, and Omnisend gave none to refresh it with: connect the shop again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedToken:
    """An access token as it is stored: ``access_token_enc`` and ``token_expires_at``."""

    access_token_enc: str
    expires_at: datetime | None

    def good_at(self, instant: datetime) -> bool:
        """Whether it is good for at least a minute more. Without an end it is good until it is refused."""
        return self.expires_at is None or self.expires_at - instant > MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token to send with. ``sealed`` is the same as it is stored, to name it by once it is refused."""

    token: str = field(repr=False)
    sealed: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    access_token_enc: str
    refresh_token_enc: str | None
    token_expires_at: datetime | None
    due: bool
    ended: bool
    young: bool


class Tokens:
    """Gives senders access tokens. One object serves a process: its callers share what is under way for a merchant.

    Use it within one event loop. ``sleep`` waits between two looks at what another worker is refreshing.
    """

    def __init__(
        self,
        database: AsyncDatabase,
        keys: KeyRing,
        oauth: OAuthClient,
        *,
        lease: timedelta = LEASE,
        patience: timedelta = PATIENCE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._keys = keys
        self._oauth = oauth
        self._lease = lease
        self._patience = patience
        self._sleep = sleep
        self._now = now
        self._under_way: dict[tuple[UUID, str | None], asyncio.Task[AccessToken | None]] = {}

    async def fresh(self, merchant_id: UUID, *, sealed: SealedToken) -> AccessToken:
        """An access token that is good for a minute more; ``sealed`` is what the caller last read of the merchant.

        A good one costs no query; one that cannot be refreshed is given for as long as it lasts. Raises
        ``AuthorizationLost`` where an admin must connect the shop again, ``TokenUnavailable`` for what passes by
        itself, ``CannotDecrypt``, and what the database raises.
        """
        if sealed.good_at(self._now()):
            return self._open(merchant_id, sealed.access_token_enc, sealed.expires_at)
        token = await self._shared(merchant_id, None)
        assert token is not None  # noqa: S101 - only a refusal can leave nothing to try
        return token

    async def after_refusal(self, merchant_id: UUID, *, refused_sealed: str) -> AccessToken | None:
        """Another token than the one that was just answered with 401, for one more try; raises as ``fresh``.

        ``None`` where there is no other to try: it was given less than a minute ago, so age is not what Omnisend
        minds, or nothing to refresh it with is stored. Then the refusal stands.
        """
        return await self._shared(merchant_id, refused_sealed)

    async def aclose(self) -> None:
        """Give up what is under way."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _shared(self, merchant_id: UUID, refused: str | None) -> AccessToken | None:
        """One look for all callers of this process that ask the same; none of them ends it by being cancelled."""
        asked = (merchant_id, refused)
        task = self._under_way.get(asked)
        if task is None:
            task = self._under_way[asked] = asyncio.create_task(self._obtain(merchant_id, refused))
            task.add_done_callback(lambda _: self._under_way.pop(asked, None))
        return await asyncio.shield(task)

    async def _obtain(self, merchant_id: UUID, refused: str | None) -> AccessToken | None:
        give_up_at = time.monotonic() + self._patience.total_seconds()
        looks = 0
        while True:
            stored = await self._stored(merchant_id)
            if stored.access_token_enc != refused and not stored.due:
                return self._open(merchant_id, stored.access_token_enc, stored.token_expires_at)
            if stored.access_token_enc == refused and (stored.young or stored.refresh_token_enc is None):
                return None
            if stored.refresh_token_enc is None:  # good for as long as it lasts
                if stored.ended:
                    raise AuthorizationLost(_CANNOT_REFRESH)
                return self._open(merchant_id, stored.access_token_enc, stored.token_expires_at)
            lease = await self._take_lease(merchant_id, stored.access_token_enc)
            if lease is not None and (token := await self._refresh(merchant_id, lease)) is not None:
                return token
            if time.monotonic() > give_up_at:
                raise TokenUnavailable("other workers have been refreshing this shop's token for too long")
            await self._sleep(_LOOK_EVERY[min(looks, len(_LOOK_EVERY) - 1)])
            looks += 1

    async def _stored(self, merchant_id: UUID) -> _Stored:
        rows = await self._database.run("stored_tokens", {"merchant_id": merchant_id})
        if not rows:
            raise TokenUnavailable("this shop is not connected by OAuth any more")
        return _Stored(**rows[0])

    async def _take_lease(self, merchant_id: UUID, access_token_enc: str) -> _Lease | None:
        token, asked_at = uuid4(), time.monotonic()
        rows = await self._database.run(
            "take_refresh_lease",
            {
                "merchant_id": merchant_id,
                "access_token_enc": access_token_enc,
                "lease_token": token,
                "lease": self._lease,
            },
        )
        ends_at = asked_at + self._lease.total_seconds()
        return _Lease(token, rows[0]["refresh_token_enc"], ends_at) if rows else None

    async def _refresh(self, merchant_id: UUID, lease: _Lease) -> AccessToken | None:
        """The new token, or ``None`` where it took so long that another worker took the lease over."""
        mine = {"merchant_id": merchant_id, "lease_token": lease.token}
        try:
            grant = await self._ask(merchant_id, lease)
        except TokenRefused as refused:
            if refused.code == ErrorCode.INVALID_GRANT:
                # To who comes late, a refresh token that another has used up reads as an ended authorization.
                if await self._database.run("authorization_lost", mine | {"detail": _LOST}):
                    raise AuthorizationLost(_LOST) from None
                return None
            # The other codes are about this installation and not about the shop.
            await self._database.run("give_refresh_back", mine)
            raise TokenUnavailable(
                f"{refused}: are OMNISEND_OAUTH_CLIENT_ID and OMNISEND_OAUTH_CLIENT_SECRET right?"
            ) from None
        except OAuthError as error:
            await self._database.run("give_refresh_back", mine)
            raise TokenUnavailable(str(error)) from None
        except CredentialError:
            await self._database.run("give_refresh_back", mine)
            raise
        return await self._store(merchant_id, mine, grant)

    async def _ask(self, merchant_id: UUID, lease: _Lease) -> Grant:
        refresh_token = self._keys.decrypt(
            lease.refresh_token_enc, merchant_id=merchant_id, column=REFRESH_COLUMN
        )
        # A process that was stopped meanwhile must not use a refresh token that others may have used up.
        if time.monotonic() > lease.ends_at - min(REQUEST_TIMEOUT, self._lease / 2).total_seconds():
            raise TokenUnavailable("this process was stopped for too long to refresh a token")
        return await self._oauth.refresh(refresh_token)

    async def _store(self, merchant_id: UUID, mine: dict[str, Any], grant: Grant) -> AccessToken | None:
        sealed = sealed_columns(self._keys, merchant_id, grant)
        parameters = mine | sealed | {"lifetime": grant.lifetime, "scopes": _listed(grant.scopes)}
        rows = await self._patiently("store_refreshed", parameters)
        if not rows:
            return None
        return AccessToken(
            token=grant.access_token,
            sealed=str(sealed[ACCESS_COLUMN]),
            expires_at=rows[0]["token_expires_at"],
        )

    async def _patiently(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a statement that must not be lost to a moment's outage of the database."""
        for pause in _STORE_AGAIN_AFTER:
            try:
                return await self._database.run(name, parameters)
            except PASSING:
                await asyncio.sleep(pause)
        return await self._database.run(name, parameters)

    def _open(self, merchant_id: UUID, sealed: str, expires_at: datetime | None) -> AccessToken:
        token = self._keys.decrypt(sealed, merchant_id=merchant_id, column=ACCESS_COLUMN)
        return AccessToken(token=token, sealed=sealed, expires_at=expires_at)


@dataclass(frozen=True, slots=True)
class _Lease:
    """A turn to refresh: ``ends_at`` by this process' monotonic clock."""

    token: UUID
    refresh_token_enc: str
    ends_at: float


def sealed_columns(keys: KeyRing, merchant_id: UUID, grant: Grant) -> dict[str, str | None]:
    """The two ciphertexts of a grant, by their columns."""
    refresh = grant.refresh_token
    return {
        ACCESS_COLUMN: keys.encrypt(grant.access_token, merchant_id=merchant_id, column=ACCESS_COLUMN),
        REFRESH_COLUMN: None
        if refresh is None
        else keys.encrypt(refresh, merchant_id=merchant_id, column=REFRESH_COLUMN),
    }


def _listed(scopes: tuple[str, ...] | None) -> list[str] | None:
    return None if scopes is None else list(scopes)
