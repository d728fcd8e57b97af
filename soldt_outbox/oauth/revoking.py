"""Ending tokens at Omnisend (RFC 7009), as well as can be: what cannot be told there is wiped here all the same."""

from __future__ import annotations

import dataclasses

from soldt_outbox.administration.merchants import Disconnected, Merchant, Wiped, wipe
from soldt_outbox.credentials import KeyRing
from soldt_outbox.database import AsyncDatabase
from soldt_outbox.errors import ConfigurationError, CredentialError, OAuthError
from soldt_outbox.oauth.client import OAuthClient, oauth_app
from soldt_outbox.oauth.tokens import ACCESS_COLUMN, REFRESH_COLUMN
from soldt_outbox.settings import Settings


async def disconnect(database: AsyncDatabase, settings: Settings, merchant: Merchant) -> Disconnected:
    """Wipe a merchant's credentials, skip what waits, and then end its tokens at Omnisend, if it had any.

    In this order, since Omnisend may be away. That it could not be told is in the result.
    Raises ``UnknownMerchant`` where the merchant was never connected.
    """
    wiped = await wipe(database, merchant)
    if wiped.access_token_enc is None and wiped.refresh_token_enc is None:
        return wiped.disconnected
    problem = await _revoke(settings, merchant, wiped)
    return dataclasses.replace(wiped.disconnected, revoked=problem is None, problem=problem)


async def _revoke(settings: Settings, merchant: Merchant, wiped: Wiped) -> str | None:
    try:
        keys = KeyRing.parse(settings.outbox_encryption_keys.get_secret_value())
        access, refresh = (
            None if sealed is None else keys.decrypt(sealed, merchant_id=merchant.merchant_id, column=column)
            for sealed, column in (
                (wiped.access_token_enc, ACCESS_COLUMN),
                (wiped.refresh_token_enc, REFRESH_COLUMN),
            )
        )
        async with OAuthClient(oauth_app(settings)) as oauth:
            return await try_to_revoke(oauth, access, refresh)
    except (ConfigurationError, CredentialError) as error:
        return str(error)


async def try_to_revoke(
    oauth: OAuthClient, access_token: str | None, refresh_token: str | None
) -> str | None:
    """End both tokens; why one of them could not be ended, or ``None``.

    Ending the refresh token need not end the access token (RFC 7009 section 2.1 says "should"), which may have no end.
    """
    problem = None
    for token, hint in ((refresh_token, "refresh_token"), (access_token, "access_token")):
        if token is not None:
            try:
                await oauth.revoke(token, hint=hint)
            except OAuthError as error:
                problem = problem or str(error)
    return problem
