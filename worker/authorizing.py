"""The credential that a request is sent with: a shop's key as it is, or its access token while it is good."""

from __future__ import annotations

from dataclasses import dataclass, field

from soldt_outbox.errors import TokenUnavailable
from soldt_outbox.oauth.tokens import AccessToken, Tokens
from worker.shops import Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """``sealed`` is the same as it is stored, to name it by once it is refused."""

    secret: str = field(repr=False)
    sealed: str | None


class Authorizer:
    """Gives credentials; ``tokens`` is None where this process knows no OAuth app."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    async def credential(self, shop: Shop) -> Credential:
        """What to send for ``shop`` with. A key, and a token that is good, cost no query.

        Raises ``AuthorizationLost`` where an admin must connect again, ``TokenUnavailable`` for what passes by itself,
        and ``CannotDecrypt``.
        """
        if shop.token is None:
            assert shop.api_key is not None  # noqa: S101 - a shop without either has a problem, and is not sent for
            return Credential(secret=shop.api_key, sealed=shop.sealed)
        return _of(await self._refresher().fresh(shop.profile.merchant_id, sealed=shop.token))

    async def another(self, shop: Shop, refused: Credential) -> Credential | None:
        """Another one than that which Omnisend just answered with 401, for one more try; ``None`` where there is none."""
        if shop.token is None or refused.sealed is None:
            return None
        token = await self._refresher().after_refusal(shop.profile.merchant_id, refused_sealed=refused.sealed)
        return None if token is None else _of(token)

    async def aclose(self) -> None:
        """Give up refreshes that are under way."""
        if self._tokens is not None:
            await self._tokens.aclose()

    def _refresher(self) -> Tokens:
        if self._tokens is None:
            raise TokenUnavailable("this worker cannot refresh tokens: OMNISEND_OAUTH_CLIENT_ID is not set")
        return self._tokens


def _of(token: AccessToken) -> Credential:
    return Credential(secret=token.token, sealed=token.sealed)
