-- Connections by OAuth: authorizations that are under way, and tokens. Ciphertexts come and go; time is the database's.

-- name: begin_authorization
-- Remember an authorization that begins, and forget those that have run out.
with gone as (
  delete from omnisend_private.oauth_authorizations where expires_at <= now()
)
insert into omnisend_private.oauth_authorizations (state_hash, merchant_id, code_verifier_enc, redirect_uri, scopes, expires_at)
values (%(state_hash)s, %(merchant_id)s, %(code_verifier_enc)s, %(redirect_uri)s, %(scopes)s, now() + %(lifetime)s::interval);

-- name: forget_authorizations
-- Those that have run out where no other begins.
delete from omnisend_private.oauth_authorizations where expires_at <= now();

-- name: take_authorization
-- The authorization with this state, which is used up by it: of two redirects at once one finds it.
delete from omnisend_private.oauth_authorizations
where state_hash = %(state_hash)s
returning state_hash, merchant_id, code_verifier_enc, redirect_uri, scopes, expires_at > now() as in_time;

-- name: connect_by_oauth
-- Store the tokens of an authorization. As `connect`: puts the integration right, forgets what went wrong, and lets waiting
-- rows go; only a wait that Omnisend itself asked for (THROTTLED) is kept.
with paused as materialized (
  select pause_reason from public.integrations_omnisend_lanes
  where merchant_id = %(merchant_id)s and pause_reason <> 'THROTTLED'
),
recorded as (
  insert into public.integrations_omnisend_logs (merchant_id, kind, name, outcome, error)
  select %(merchant_id)s, 'lane', pause_reason, 'resumed', 'connected again: what waits is sent' from paused
),
lane as (
  update public.integrations_omnisend_lanes
  set paused_until = case when told_until > now() then told_until when pause_reason = 'THROTTLED' then paused_until end,
      pause_reason = case when told_until > now() or pause_reason = 'THROTTLED' then 'THROTTLED' end,
      failures_in_row = 0, forbidden_kinds = '{}', forbidden_until = null
  where merchant_id = %(merchant_id)s
)
insert into public.integrations_omnisend (merchant_id, status, auth_type, access_token_enc, refresh_token_enc, token_expires_at,
  token_refreshed_at, scopes, brand_id, currency, country_code)
values (%(merchant_id)s, 'connected', 'oauth', %(access_token_enc)s, %(refresh_token_enc)s, now() + %(lifetime)s::interval,
  now(), %(scopes)s, %(brand_id)s, coalesce(%(currency)s, 'ZAR'), coalesce(%(country_code)s, 'ZA'))
on conflict (merchant_id) do update set
  status = 'connected', auth_type = 'oauth', api_key_enc = null, access_token_enc = excluded.access_token_enc,
  refresh_token_enc = excluded.refresh_token_enc, token_expires_at = excluded.token_expires_at,
  token_refreshed_at = excluded.token_refreshed_at, scopes = excluded.scopes, brand_id = excluded.brand_id,
  refresh_lease_token = null, refresh_lease_until = null,
  currency = coalesce(%(currency)s, integrations_omnisend.currency),
  country_code = coalesce(%(country_code)s, integrations_omnisend.country_code),
  last_error = null, last_error_detail = null, updated_at = now()
returning (xmax = 0) as created, token_expires_at;

-- name: stored_tokens
-- A merchant's tokens. `due`: the access token is good for less than a minute, or, of one that lives for less than two,
-- for less than half its life. `ended`: it is good no more. `young`: it was given within the last minute.
select access_token_enc, refresh_token_enc, token_expires_at,
  coalesce(token_expires_at < now() + least(interval '1 minute', (token_expires_at - token_refreshed_at) / 2), false) as due,
  coalesce(token_expires_at <= now(), false) as ended,
  coalesce(token_refreshed_at > now() - interval '1 minute', false) as young
from public.integrations_omnisend
where merchant_id = %(merchant_id)s and auth_type = 'oauth' and status <> 'disabled' and access_token_enc is not null;

-- name: take_refresh_lease
-- Whose turn it is to refresh a merchant's tokens: nobody else's, until it has run out, and only while the token that is to be
-- replaced is the one that is stored.
update public.integrations_omnisend
set refresh_lease_token = %(lease_token)s, refresh_lease_until = now() + %(lease)s::interval
where merchant_id = %(merchant_id)s and auth_type = 'oauth' and status <> 'disabled'
  and access_token_enc = %(access_token_enc)s and refresh_token_enc is not null
  and (refresh_lease_until is null or refresh_lease_until <= now())
returning refresh_token_enc;

-- name: store_refreshed
-- The new tokens in the old ones' place, while the turn is still the refresher's. Without a new refresh token the old one stays.
update public.integrations_omnisend
set access_token_enc = %(access_token_enc)s, refresh_token_enc = coalesce(%(refresh_token_enc)s, refresh_token_enc),
    token_expires_at = now() + %(lifetime)s::interval, token_refreshed_at = now(),
    scopes = coalesce(%(scopes)s::text[], scopes), refresh_lease_token = null, refresh_lease_until = null, updated_at = now()
where merchant_id = %(merchant_id)s and refresh_lease_token = %(lease_token)s
returning token_expires_at;

-- name: give_refresh_back
-- The refresh failed for now: somebody may try again.
update public.integrations_omnisend
set refresh_lease_token = null, refresh_lease_until = null
where merchant_id = %(merchant_id)s and refresh_lease_token = %(lease_token)s;

-- name: authorization_lost
-- Omnisend knows the refresh token no more: an admin must connect again. The token stays, so that a mistake on Omnisend's
-- side passes by itself with the next probe of the lane.
update public.integrations_omnisend
set status = 'error', last_error = 'AUTH', last_error_detail = %(detail)s, last_error_at = now(),
    refresh_lease_token = null, refresh_lease_until = null, updated_at = now()
where merchant_id = %(merchant_id)s and refresh_lease_token = %(lease_token)s
returning merchant_id;
