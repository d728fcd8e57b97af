import asyncio
from datetime import UTC, datetime, timedelta
from itertools import cycle

import psycopg
import pytest

from soldt_outbox.credentials import KeyRing
from soldt_outbox.errors import AuthorizationLost, CannotDecrypt, TokenUnavailable
from soldt_outbox.oauth.tokens import AccessToken, SealedToken, Tokens
from soldt_outbox.rows import OmnisendRequest
from soldt_outbox.sql import queries
from tests.integration.oauth.conftest import PATIENCE_S, Shop, Waiting

EVENT = OmnisendRequest(method="POST", path="/events", body=b"{}")


async def within(work):
    async with asyncio.timeout(PATIENCE_S):
        return await work


async def test_two_workers_and_a_hundred_rows_refresh_an_expired_token_once_and_deliver_all(shop: Shop):
    sealed = shop.store()
    shop.server.hold()
    waiting = Waiting()
    workers = [await shop.tokens(sleep=waiting) for _ in range(2)]
    omnisend = await shop.omnisend()

    async def deliver(tokens: Tokens) -> int:
        token = await tokens.fresh(shop.merchant_id, sealed=sealed)
        return (await omnisend.send(EVENT, token.token)).status

    rows = [
        asyncio.create_task(deliver(tokens)) for tokens, _ in zip(cycle(workers), range(100), strict=False)
    ]
    await within(waiting.begun.wait())  # one worker asks Omnisend, the other found the lease taken
    await shop.server.asked(1)
    shop.server.let_go()
    waiting.may_look.set()

    assert await within(asyncio.gather(*rows)) == [202] * 100
    assert shop.server.refreshes == 1
    assert len(set(shop.server.sent_with)) == 1
    stored = shop.connection()
    assert (stored["refresh_lease_token"], stored["refresh_lease_until"]) == (None, None)
    assert f"Bearer {shop.opened('access_token_enc')}" == shop.server.sent_with[0]
    assert shop.opened("refresh_token_enc") in shop.server.refresh, "the new one, for the next time"
    assert 3_500 < (stored["token_expires_at"] - datetime.now(UTC)).total_seconds() <= 3_600


async def test_rows_of_one_process_share_one_look_at_the_database(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    sealed = shop.store()
    tokens = await shop.tokens()
    run, ran = type(tokens._database).run, []

    async def run_and_tell(self, name, parameters=None):
        ran.append(name)
        return await run(self, name, parameters)

    monkeypatch.setattr(type(tokens._database), "run", run_and_tell)
    await within(asyncio.gather(*(tokens.fresh(shop.merchant_id, sealed=sealed) for _ in range(100))))
    assert ran == ["stored_tokens", "take_refresh_lease", "store_refreshed"]


async def test_a_good_token_costs_neither_a_query_nor_a_request(shop: Shop):
    sealed = shop.store(lifetime="61 seconds")
    tokens = await shop.tokens(now=lambda: sealed.expires_at - timedelta(seconds=60.5))
    with shop.database.connect() as conn:
        conn.execute("lock table integrations_omnisend in access exclusive mode")
        token = await within(tokens.fresh(shop.merchant_id, sealed=sealed))
    assert (token.token, token.sealed) == ("access-1", sealed.access_token_enc)
    assert shop.server.forms == []


@pytest.mark.parametrize(("lifetime", "refreshes"), [("59 seconds", 1), ("70 seconds", 0), (None, 0)])
async def test_a_token_is_refreshed_a_minute_before_it_ends(shop: Shop, lifetime, refreshes):
    sealed = shop.store(lifetime=lifetime)
    token = await (await shop.tokens()).fresh(shop.merchant_id, sealed=sealed)
    assert shop.server.refreshes == refreshes
    assert (token.sealed == sealed.access_token_enc) is (refreshes == 0)


async def test_a_token_that_lives_for_less_than_two_minutes_is_used_for_half_its_life(shop: Shop):
    """Or it would be refreshed for every row."""
    shop.store()
    shop.server.rules.lifetime = 50
    tokens = await shop.tokens()
    sealed = SealedToken(access_token_enc="stale", expires_at=datetime.now(UTC))
    for _ in range(3):
        await tokens.fresh(shop.merchant_id, sealed=sealed)
    assert shop.server.refreshes == 1


@pytest.mark.parametrize("expires_in", [9_223_372_036, None])
async def test_a_token_without_an_end_is_stored_without_one(shop: Shop, expires_in):
    sealed = shop.store()
    shop.server.rules.lifetime = expires_in
    token = await (await shop.tokens()).fresh(shop.merchant_id, sealed=sealed)
    assert token.expires_at is None
    assert shop.connection()["token_expires_at"] is None


async def test_where_no_new_refresh_token_is_given_the_old_one_stays(shop: Shop):
    sealed = shop.store()
    shop.server.rules.gives_refresh_token = False
    before = shop.opened("refresh_token_enc")
    await (await shop.tokens()).fresh(shop.merchant_id, sealed=sealed)
    assert shop.server.refreshes == 1
    assert shop.opened("refresh_token_enc") == before


async def test_a_token_that_cannot_be_refreshed_is_used_for_as_long_as_it_lasts(shop: Shop):
    tokens = await shop.tokens()
    nearly = shop.store(lifetime="30 seconds", refresh=False)
    assert (await tokens.fresh(shop.merchant_id, sealed=nearly)).sealed == nearly.access_token_enc
    ended = shop.store(refresh=False)
    with pytest.raises(AuthorizationLost, match="connect the shop again"):
        await tokens.fresh(shop.merchant_id, sealed=ended)


# Refused ------------------------------------------------------------------------------------------------------------------


async def test_a_refused_token_is_replaced_once_for_all_who_were_refused(shop: Shop):
    sealed = shop.store(lifetime=None)
    shop.server.hold()
    waiting = Waiting()
    one, other = [await shop.tokens(sleep=waiting) for _ in range(2)]
    asked = [
        asyncio.create_task(tokens.after_refusal(shop.merchant_id, refused_sealed=sealed.access_token_enc))
        for tokens in (one, one, other)
    ]
    await within(waiting.begun.wait())
    await shop.server.asked(1)
    shop.server.let_go()
    waiting.may_look.set()
    given = await within(asyncio.gather(*asked))
    late = await one.after_refusal(shop.merchant_id, refused_sealed=sealed.access_token_enc)
    assert shop.server.refreshes == 1
    assert {token.token for token in [*given, late]} == {shop.opened("access_token_enc")}


async def test_a_token_that_is_refused_although_it_is_new_is_not_refreshed_again(shop: Shop):
    sealed = shop.store(lifetime=None)
    tokens = await shop.tokens()
    second = await tokens.after_refusal(shop.merchant_id, refused_sealed=sealed.access_token_enc)
    assert second is not None
    assert await tokens.after_refusal(shop.merchant_id, refused_sealed=second.sealed) is None
    assert shop.server.refreshes == 1


async def test_a_refusal_stands_where_there_is_nothing_to_refresh_with(shop: Shop):
    sealed = shop.store(lifetime=None, refresh=False)
    tokens = await shop.tokens()
    assert await tokens.after_refusal(shop.merchant_id, refused_sealed=sealed.access_token_enc) is None
    assert shop.server.forms == []


async def test_an_ended_authorization_turns_the_integration_to_error_for_an_admin(shop: Shop):
    sealed = shop.store()
    shop.server.rules.refresh_error = "invalid_grant"
    with pytest.raises(AuthorizationLost, match="connect the shop again"):
        await (await shop.tokens()).fresh(shop.merchant_id, sealed=sealed)
    stored = shop.connection()
    assert (stored["status"], stored["last_error"]) == ("error", "AUTH")
    assert "connect the shop again" in stored["last_error_detail"]
    assert stored["refresh_token_enc"] is not None, "a mistake on Omnisend's side passes by itself"
    assert stored["refresh_lease_token"] is None


@pytest.mark.parametrize(
    "trouble",
    [{"status": 503}, {"status": 429}, {"status": 200}, {"refresh_error": "invalid_client"}],
    ids=["away", "throttled", "no token", "our client id"],
)
async def test_what_is_not_about_the_shop_leaves_the_integration_alone(shop: Shop, trouble):
    sealed = shop.store()
    for name, value in trouble.items():
        setattr(shop.server.rules, name, value)
    tokens = await shop.tokens()
    with pytest.raises(TokenUnavailable):
        await tokens.fresh(shop.merchant_id, sealed=sealed)
    stored = shop.connection()
    assert (stored["status"], stored["last_error"], stored["refresh_lease_token"]) == (
        "connected",
        None,
        None,
    )
    shop.server.rules.status = shop.server.rules.refresh_error = None
    await tokens.fresh(shop.merchant_id, sealed=sealed)
    assert shop.server.refreshes == 2


async def test_an_omnisend_out_of_reach_leaves_the_integration_alone(shop: Shop):
    sealed = shop.store()
    tokens = await shop.tokens()
    await shop.server.__aexit__(None, None, None)
    with pytest.raises(TokenUnavailable, match="cannot be reached"):
        await tokens.fresh(shop.merchant_id, sealed=sealed)
    assert shop.connection()["status"] == "connected"


async def test_tokens_under_an_unknown_key_are_a_credentials_problem_and_free_the_lease(shop: Shop):
    sealed = shop.store()
    stranger = Tokens(await shop.outbox(), KeyRing.parse(KeyRing.generate("k2")), await shop.oauth())
    with pytest.raises(CannotDecrypt):
        await stranger.fresh(shop.merchant_id, sealed=sealed)
    assert shop.connection()["refresh_lease_token"] is None
    assert shop.server.forms == []


# The lease ----------------------------------------------------------------------------------------------------------------


async def test_when_a_refresher_dies_another_takes_over_once_the_lease_has_run_out(shop: Shop):
    sealed = shop.store()
    shop.server.hold()
    doomed, waiting = await shop.tokens(), Waiting()
    survivor = await shop.tokens(sleep=waiting)
    lost = asyncio.create_task(doomed.fresh(shop.merchant_id, sealed=sealed))
    await shop.server.asked(1)
    await doomed.aclose()
    with pytest.raises(asyncio.CancelledError):
        await lost
    await within(shop.server.hung_up.wait())

    waits = asyncio.create_task(survivor.fresh(shop.merchant_id, sealed=sealed))
    await within(waiting.begun.wait())
    assert shop.server.refreshes == 1, "the lease is the dead one's"
    shop.let_the_lease_run_out()
    shop.server.let_go()
    waiting.may_look.set()
    assert (await within(waits)).token == shop.opened("access_token_enc")
    assert shop.server.refreshes == 2


async def test_a_token_that_another_refreshed_between_look_and_lease_is_not_refreshed_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    sealed = shop.store()
    late, quick = await shop.tokens(), await shop.tokens()
    take_lease = late._take_lease

    async def after_the_other(*looked_at):
        await quick.fresh(shop.merchant_id, sealed=sealed)
        return await take_lease(*looked_at)

    monkeypatch.setattr(late, "_take_lease", after_the_other)
    given = await within(late.fresh(shop.merchant_id, sealed=sealed))
    assert given.token == shop.opened("access_token_enc")
    assert shop.server.refreshes == 1


async def overtaken(
    shop: Shop, waiting: Waiting
) -> tuple[asyncio.Task[AccessToken], asyncio.Task[AccessToken]]:
    """Two refreshes that Omnisend has not answered: held as 0 that of a worker whose lease ran out, as 1 that of who took over."""
    sealed = shop.store()
    slow, quick = await shop.tokens(sleep=waiting), await shop.tokens()
    shop.server.hold()
    late = asyncio.create_task(slow.fresh(shop.merchant_id, sealed=sealed))
    await shop.server.asked(1)
    shop.let_the_lease_run_out()
    early = asyncio.create_task(quick.fresh(shop.merchant_id, sealed=sealed))
    await shop.server.asked(2)
    return late, early


async def test_a_refresher_whose_lease_ran_out_does_not_overwrite_newer_tokens(shop: Shop):
    shop.server.rules.gives_refresh_token = False  # so that both are given a token
    late, early = await overtaken(shop, Waiting(may_look=True))
    shop.server.let_go(1)
    newer = await within(early)
    shop.server.let_go(0)
    assert (await within(late)).token == newer.token
    assert shop.opened("access_token_enc") == newer.token


async def test_a_refresher_that_is_answered_first_but_late_waits_for_who_took_over(shop: Shop):
    shop.server.rules.gives_refresh_token = False
    waiting = Waiting()
    late, early = await overtaken(shop, waiting)
    shop.server.let_go(0)
    await within(waiting.begun.wait())
    assert not late.done()
    shop.server.let_go(1)
    newer = await within(early)
    waiting.may_look.set()
    assert (await within(late)).token == newer.token


async def test_a_late_refusal_says_nothing_of_an_authorization_that_another_has_refreshed(shop: Shop):
    """The refresh token was used up by who took over."""
    late, early = await overtaken(shop, Waiting(may_look=True))
    shop.server.let_go(1)
    newer = await within(early)
    shop.server.let_go(0)
    assert (await within(late)).token == newer.token
    assert shop.connection()["status"] == "connected"


@pytest.mark.parametrize("how", ["disconnect", "connect"])
async def test_tokens_that_come_after_a_disconnect_or_a_new_key_are_not_stored(shop: Shop, how):
    sealed = shop.store()
    shop.server.hold()
    tokens = await shop.tokens()
    refresh = asyncio.create_task(tokens.fresh(shop.merchant_id, sealed=sealed))
    await shop.server.asked(1)
    parameters = {
        "merchant_id": shop.merchant_id,
        "api_key_enc": "v1:k1:AAAA",
        "brand_id": "5f0000000000000000000abc",
        "currency": None,
        "country_code": None,
    }
    with shop.database.connect() as conn:
        conn.execute(queries[how], parameters)
    shop.server.let_go()
    with pytest.raises(TokenUnavailable, match="not connected by OAuth any more"):
        await within(refresh)
    stored = shop.connection()
    assert (stored["access_token_enc"], stored["refresh_token_enc"]) == (None, None)


async def test_tokens_that_come_after_a_new_authorization_are_not_stored_over_its_own(shop: Shop):
    sealed = shop.store()
    shop.server.hold()
    refresh = asyncio.create_task((await shop.tokens()).fresh(shop.merchant_id, sealed=sealed))
    await shop.server.asked(1)
    newer = shop.keys.encrypt("newer", merchant_id=shop.merchant_id, column="access_token_enc")
    parameters = {
        "merchant_id": shop.merchant_id,
        "access_token_enc": newer,
        "refresh_token_enc": None,
        "lifetime": None,
        "scopes": ["events.write"],
        "brand_id": "5f0000000000000000000abc",
        "currency": None,
        "country_code": None,
    }
    with shop.database.connect() as conn:
        conn.execute(queries["connect_by_oauth"], parameters)
    shop.server.let_go()
    assert (await within(refresh)).token == "newer"
    assert shop.connection()["access_token_enc"] == newer


async def test_new_tokens_are_not_lost_to_a_database_that_is_away_for_a_moment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    sealed = shop.store()
    tokens = await shop.tokens()
    run = type(tokens._database).run
    failures = iter([psycopg.OperationalError("the server closed the connection"), TimeoutError()])

    async def run_or_fail(self, name, parameters=None):
        if name == "store_refreshed" and (failure := next(failures, None)) is not None:
            raise failure
        return await run(self, name, parameters)

    monkeypatch.setattr(type(tokens._database), "run", run_or_fail)
    monkeypatch.setattr("soldt_outbox.oauth.tokens._STORE_AGAIN_AFTER", (0, 0, 0))
    assert (await tokens.fresh(shop.merchant_id, sealed=sealed)).token == shop.opened("access_token_enc")
    assert shop.server.refreshes == 1


async def test_a_process_that_was_stopped_does_not_use_a_refresh_token_late(shop: Shop):
    sealed = shop.store()
    tokens = await shop.tokens(lease=timedelta(0))
    with pytest.raises(TokenUnavailable, match="stopped for too long"):
        await tokens.fresh(shop.merchant_id, sealed=sealed)
    assert shop.server.forms == []


async def test_waiting_for_others_ends(shop: Shop):
    sealed = shop.store()
    shop.one(
        "update integrations_omnisend set refresh_lease_token = gen_random_uuid(), refresh_lease_until = now() + interval '1 hour' returning 1"
    )
    tokens = await shop.tokens(patience=timedelta(0))
    with pytest.raises(TokenUnavailable, match="for too long"):
        await tokens.fresh(shop.merchant_id, sealed=sealed)


async def test_one_caller_that_is_cancelled_does_not_end_the_refresh_for_the_others(shop: Shop):
    sealed = shop.store()
    shop.server.hold()
    tokens = await shop.tokens()
    one, other = [asyncio.create_task(tokens.fresh(shop.merchant_id, sealed=sealed)) for _ in range(2)]
    await shop.server.asked(1)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    shop.server.let_go()
    assert (await within(other)).token == shop.opened("access_token_enc")
    assert shop.server.refreshes == 1
