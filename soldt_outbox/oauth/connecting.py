"""Connecting a shop by OAuth: an authorization is begun, its admin says yes at Omnisend, and the redirect completes it.

``complete_authorization`` is the callback handler of any door: a function from the redirect's query to the connection.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

from soldt_outbox.administration.merchants import Connected, Merchant, find_merchant, sharers
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import (
    AuthorizationRefused,
    CannotDecrypt,
    OAuthError,
    TokenRefused,
    TransportError,
    UnknownMerchant,
)
from soldt_outbox.oauth.client import OAuthClient
from soldt_outbox.oauth.protocol import (
    STATE_LIFETIME,
    Challenge,
    ErrorCode,
    Grant,
    OAuthApp,
    authorize_url,
    checked_redirect_uri,
    state_hash,
)
from soldt_outbox.oauth.revoking import try_to_revoke
from soldt_outbox.oauth.scopes import SHOP_MINIMUM, Reading, Scope, lacking, missing_scopes
from soldt_outbox.oauth.tokens import sealed_columns
from soldt_outbox.omnisend.answers import (
    AnswerClass,
    Blocked,
    Delivered,
    Later,
    Rejected,
    Retired,
    SwitchCall,
    Throttled,
)
from soldt_outbox.omnisend.client import Brand, BrandRefused, OmnisendClient
from soldt_outbox.omnisend.dialects import BEARER
from soldt_outbox.rows import PauseReason

_MAX_PARAMETER: Final = 2_048  # characters; a code or a state that is longer is none of Omnisend's
_AGAIN: Final = "begin again with `soldt-outbox connect --oauth`, or where you came from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """An authorization that was begun: ``url`` is where the shop's admin says yes, within a quarter of an hour.

    ``state`` is what the redirect will bring back. It is a secret of that admin's browser, and stands in ``url`` too.
    """

    url: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedByOAuth(Connected):
    """A connection whose tokens are stored. ``missing_scopes`` were asked for and not granted.

    ``token_expires_at`` is ``None`` where the access token ends with its revocation alone.
    """

    scopes: tuple[str, ...]
    missing_scopes: tuple[Scope, ...]
    token_expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A row of ``oauth_authorizations``, deleted by having been read."""

    state_hash: bytes
    merchant_id: UUID
    code_verifier_enc: str
    redirect_uri: str
    scopes: list[str]
    in_time: bool


async def begin_authorization(
    database: AsyncDatabase,
    keys: KeyRing,
    app: OAuthApp,
    merchant_id: UUID,
    *,
    redirect_uri: str,
    scopes: Sequence[Scope] = SHOP_MINIMUM,
) -> Authorization:
    """Remember a state and a PKCE verifier for 15 minutes, and say where to send the merchant's admin.

    ``redirect_uri`` is one that Omnisend knows of this app, without a query. Raises ``ConfigurationError`` for one that
    cannot be.
    """
    challenge = Challenge()
    await database.run(
        "begin_authorization",
        {
            "state_hash": state_hash(challenge.state),
            "merchant_id": merchant_id,
            "code_verifier_enc": keys.encrypt(
                challenge.code_verifier,
                merchant_id=merchant_id,
                column=_bound_to(checked_redirect_uri(redirect_uri)),
            ),
            "redirect_uri": redirect_uri,
            "scopes": [scope.value for scope in scopes],
            "lifetime": STATE_LIFETIME,
        },
    )
    url = authorize_url(
        app, challenge, redirect_uri=redirect_uri, scopes=tuple(scope.value for scope in scopes)
    )
    return Authorization(url=url, state=challenge.state)


async def complete_authorization(
    database: AsyncDatabase,
    keys: KeyRing,
    oauth: OAuthClient,
    omnisend: OmnisendClient,
    query: Mapping[str, str],
    *,
    merchant_id: UUID | None = None,
    currency: str | None = None,
    country_code: str | None = None,
) -> ConnectedByOAuth:
    """What the redirect's ``query`` leads to: the merchant that its state belongs to, connected.

    ``omnisend`` is a client of the dialect ``BEARER``. ``merchant_id`` is the merchant whose admin is signed in at the
    door that was called: where the state is another merchant's, that admin was sent here by somebody else, who would
    get this admin's brand. Raises ``AuthorizationRefused`` with a sentence; the state is used up by then, and nothing
    was stored.
    """
    pending = await _take(database, query.get("state", ""))
    if merchant_id is not None and merchant_id != pending.merchant_id:
        raise AuthorizationRefused(f"this authorization was begun for another shop: {_AGAIN}")
    if "error" in query:
        raise AuthorizationRefused(_of_error(query["error"]))
    try:
        merchant = await find_merchant(database, str(pending.merchant_id))
    except UnknownMerchant:
        raise AuthorizationRefused("the shop was deleted meanwhile") from None
    grant = await _exchange(keys, oauth, pending, query.get("code", ""))
    if grant.scopes is None:  # then they are those that were asked for (RFC 6749 section 5.1)
        grant = replace(grant, scopes=tuple(pending.scopes))
    try:
        brand = await _brand(omnisend, grant)
    except AuthorizationRefused:
        await try_to_revoke(oauth, grant.access_token, grant.refresh_token)
        raise
    place = {"currency": currency, "country_code": country_code}
    return await _store(database, keys, merchant, grant, brand, asked=pending.scopes, place=place)


async def _store(
    database: AsyncDatabase,
    keys: KeyRing,
    merchant: Merchant,
    grant: Grant,
    brand: Brand,
    *,
    asked: Sequence[str],
    place: Mapping[str, str | None],
) -> ConnectedByOAuth:
    scopes = grant.scopes or ()
    connection = {
        "merchant_id": merchant.merchant_id,
        **sealed_columns(keys, merchant.merchant_id, grant),
        "lifetime": grant.lifetime,
        "scopes": list(scopes),
        "brand_id": brand.brand_id,
        **place,
    }
    stored = await database.run("connect_by_oauth", connection, before=[("leave_brand", connection)])
    return ConnectedByOAuth(
        merchant=merchant,
        brand_id=brand.brand_id,
        brand_name=brand.name,
        created=bool(stored[0]["created"]),
        shared_with=await sharers(database, merchant, brand.brand_id),
        scopes=scopes,
        missing_scopes=lacking(scopes, (scope for scope in Scope if scope in asked)),
        token_expires_at=stored[0]["token_expires_at"],
    )


def _bound_to(redirect_uri: str) -> str:
    """The verifier's column with the redirect URI: a verifier of one URI does not open for another."""
    return f"code_verifier_enc|{redirect_uri}"


async def _take(database: AsyncDatabase, state: str) -> _Pending:
    if not state or len(state) > _MAX_PARAMETER:
        raise AuthorizationRefused(f"what came back from Omnisend names no authorization: {_AGAIN}")
    wanted = state_hash(state)
    rows = await database.run("take_authorization", {"state_hash": wanted})
    if not rows or not hmac.compare_digest(rows[0]["state_hash"], wanted):
        raise AuthorizationRefused(
            f"this authorization was completed before, or was never begun here: {_AGAIN}"
        )
    pending = _Pending(**rows[0])
    if not pending.in_time:
        raise AuthorizationRefused(f"this authorization was begun more than 15 minutes ago: {_AGAIN}")
    return pending


def _of_error(error: str) -> str:
    """RFC 6749 section 4.1.2.1 in words. Omnisend's own description is not repeated: anybody may write such a link."""
    try:
        code = ErrorCode(error)
    except ValueError:
        return f"Omnisend did not authorize the shop, and did not say why: {_AGAIN}"
    if code is ErrorCode.ACCESS_DENIED:
        return f"the authorization was declined at Omnisend: to connect the shop, {_AGAIN}"
    if code is ErrorCode.INVALID_SCOPE:
        return "Omnisend does not give this app the scopes it asks for: have them enabled for its client id"
    return f"Omnisend did not authorize the shop ({code}): {_AGAIN}"


async def _exchange(keys: KeyRing, oauth: OAuthClient, pending: _Pending, code: str) -> Grant:
    if not code or len(code) > _MAX_PARAMETER:
        raise AuthorizationRefused(f"what came back from Omnisend holds no code: {_AGAIN}")
    try:
        verifier = keys.decrypt(
            pending.code_verifier_enc,
            merchant_id=pending.merchant_id,
            column=_bound_to(pending.redirect_uri),
        )
        return await oauth.exchange(code, redirect_uri=pending.redirect_uri, code_verifier=verifier)
    except CannotDecrypt:
        raise AuthorizationRefused(
            f"OUTBOX_ENCRYPTION_KEYS changed since this authorization was begun: {_AGAIN}"
        ) from None
    except TokenRefused as refused:
        if refused.code == ErrorCode.INVALID_GRANT:
            raise AuthorizationRefused(
                f"Omnisend does not know this code: it was used before or has run out; {_AGAIN}"
            ) from None
        raise AuthorizationRefused(
            f"{refused}: are OMNISEND_OAUTH_CLIENT_ID and OMNISEND_OAUTH_CLIENT_SECRET right, "
            "and does Omnisend know the redirect URI?"
        ) from None
    except OAuthError as error:
        raise AuthorizationRefused(f"{error}; nothing was stored, {_AGAIN}") from None


async def _brand(omnisend: OmnisendClient, grant: Grant) -> Brand:
    if missing_scopes(grant.scopes, [Reading.BRAND]):  # a 403 would not say so
        raise AuthorizationRefused(
            f"the scope {Scope.BRANDS_READ} was not granted, and without it nobody knows which brand this is: {_AGAIN}"
        )
    try:
        return await omnisend.current_brand(grant.access_token)
    except BrandRefused as refused:
        raise AuthorizationRefused(_advice(refused.meaning)) from None
    except TransportError as error:
        raise AuthorizationRefused(
            f"Omnisend could not be asked which brand this is ({error}); nothing was stored, {_AGAIN}"
        ) from None


def _advice(meaning: AnswerClass) -> str:
    match meaning:
        case Blocked(reason=PauseReason.FORBIDDEN):
            return f"the token may not read which brand this is: grant {Scope.BRANDS_READ}, and {_AGAIN}"
        case Blocked(reason=PauseReason.PAYMENT):
            return (
                f"the brand's plan or payment keeps Omnisend from taking requests: settle that, then {_AGAIN}"
            )
        case Blocked():
            return f"Omnisend does not take the token that it just gave: {_AGAIN}"
        case Throttled() | Later():
            return f"Omnisend is having trouble: in a while, {_AGAIN}"
        case Retired():
            return f"Omnisend has retired version {BEARER.version} of its API, the one that takes tokens here"
        case Delivered() | Rejected() | SwitchCall():
            return "Omnisend did not say which brand this is: is OMNISEND_BASE_URL right?"
        case _:
            assert_never(meaning)
