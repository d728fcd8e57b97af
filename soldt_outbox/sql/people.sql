-- What people ask and do through the command line: connect, look, retry.

-- name: leave_brand
-- Goes before `connect` and `connect_by_oauth`, in their transaction: where the merchant was connected to another brand, nothing
-- counts as told to this one. Its unsubscribes are read from the beginning. The connection is locked last, as settling has it.
with other as materialized (
  select merchant_id from public.integrations_omnisend where merchant_id = %(merchant_id)s and brand_id <> %(brand_id)s
),
items as materialized (
  delete from omnisend_private.told_items where merchant_id = (select merchant_id from other) returning 1
),
watermark as materialized (
  delete from omnisend_private.contact_watermarks where merchant_id = (select merchant_id from other) returning 1
)
update public.integrations_omnisend i
set brand_since = now()
from other o
where i.merchant_id = o.merchant_id and (select count(*) from items) + (select count(*) from watermark) >= 0;

-- name: connect
-- Store a verified key. Puts the integration right, forgets what went wrong, and lets waiting rows go; only a wait
-- that Omnisend itself asked for (THROTTLED) is kept, since a new key of the same brand is told the same.
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
insert into public.integrations_omnisend (merchant_id, status, auth_type, api_key_enc, brand_id, currency, country_code)
values (%(merchant_id)s, 'connected', 'api_key', %(api_key_enc)s, %(brand_id)s,
  coalesce(%(currency)s, 'ZAR'), coalesce(%(country_code)s, 'ZA'))
on conflict (merchant_id) do update set
  status = 'connected', auth_type = 'api_key', api_key_enc = excluded.api_key_enc, brand_id = excluded.brand_id,
  access_token_enc = null, refresh_token_enc = null, token_expires_at = null, token_refreshed_at = null, scopes = null,
  refresh_lease_token = null, refresh_lease_until = null,  -- tokens that are being refreshed are not stored any more
  currency = coalesce(%(currency)s, integrations_omnisend.currency),
  country_code = coalesce(%(country_code)s, integrations_omnisend.country_code),
  last_error = null, last_error_detail = null, updated_at = now()
returning (xmax = 0) as created;

-- name: configure
-- Change what is given; all of it as it stands then. Another version of the API ends the wait for a retired one.
with resumed as (
  update public.integrations_omnisend_lanes set paused_until = now()
  where merchant_id = %(merchant_id)s and %(api_version)s::text is not null and pause_reason = 'RETIRED' and paused_until > now()
)
update public.integrations_omnisend
set sync_contacts = coalesce(%(contacts)s, sync_contacts),
    sync_catalogue = coalesce(%(catalogue)s, sync_catalogue),
    ordered_products = coalesce(%(ordered_products)s, ordered_products),
    api_version = case when %(api_version)s::text = 'default' then null else coalesce(%(api_version)s, api_version) end,
    locale = coalesce(%(locale)s, locale),
    updated_at = case when coalesce(%(contacts)s::text, %(catalogue)s::text, %(ordered_products)s::text, %(api_version)s, %(locale)s) is null
      then updated_at else now() end
where merchant_id = %(merchant_id)s
returning sync_contacts as contacts, sync_catalogue as catalogue, ordered_products, api_version, locale;

-- name: disconnect
-- Wipe the credentials and stop writing events for the merchant. Gives the tokens there were, for revocation.
with old as materialized (
  select merchant_id, access_token_enc, refresh_token_enc
  from public.integrations_omnisend where merchant_id = %(merchant_id)s
  for no key update
)
update public.integrations_omnisend i
set status = 'disabled', api_key_enc = null, access_token_enc = null, refresh_token_enc = null, token_expires_at = null,
    token_refreshed_at = null, scopes = null, refresh_lease_token = null, refresh_lease_until = null,
    last_error = null, last_error_detail = null, updated_at = now()
from old where i.merchant_id = old.merchant_id
returning old.access_token_enc, old.refresh_token_enc;

-- name: skip_waiting
-- What still waits for a merchant that was disconnected is not sent, and its personal data goes. A row that a worker
-- holds at this moment is settled by that worker.
update public.integrations_omnisend_outbox
set state = 'skipped', settled_at = now(), payload = null, ordering_key = null, last_error = 'disconnected',
    lease_token = null, lease_until = null, leased_by = null
where merchant_id = %(merchant_id)s and state = 'pending' and (lease_until is null or lease_until <= now())
returning id;

-- name: find_merchant
-- The merchant with this id, or else with this slug.
select merchant_id, slug
from omnisend_private.merchant_profiles(array[coalesce(%(merchant_id)s::uuid, omnisend_private.merchant_by_slug(%(slug)s))]);

-- name: slugs
-- What to call merchants when speaking to people.
select merchant_id, slug from omnisend_private.merchant_profiles(%(merchants)s::uuid[]);

-- name: brand_users
-- Other merchants that send to the same brand.
with users as materialized (
  select merchant_id from public.integrations_omnisend
  where brand_id = %(brand_id)s and merchant_id <> %(merchant_id)s and status <> 'disabled'
  order by merchant_id limit 5
)
select u.merchant_id, p.slug
from users u
left join omnisend_private.merchant_profiles(array(select merchant_id from users)) p on p.merchant_id = u.merchant_id;

-- name: status
-- One line per connected merchant: connection, lane, and bounded counts (never more than 10,001 rows of a kind are counted).
-- Kind by kind, as the index has them; the orders name the index to count by: by its statistics alone a planner may take
-- the ledger's. Events are due by themselves: a long refresh keeps what is not an event due for hours, and holds up none.
-- A kind that the key may not send is named as long as it waits for its next try, and while a row of it is tried.
select i.merchant_id, p.slug, i.status, i.auth_type, i.token_expires_at, i.last_error, i.last_error_detail, i.last_event_at,
  l.paused_until, l.pause_reason, l.failures_in_row, w.forbidden_kinds, l.forbidden_until, w.waiting, w.dead,
  w.oldest_due_seconds, w.oldest_other_due_seconds
from public.integrations_omnisend i
left join public.integrations_omnisend_lanes l on l.merchant_id = i.merchant_id
left join omnisend_private.merchant_profiles(%(merchants)s::uuid[]) p on p.merchant_id = i.merchant_id
cross join lateral (
  select least(sum(k.waiting), 10001)::bigint as waiting, least(sum(k.dead), 10001)::bigint as dead,
    extract(epoch from now() - min(k.oldest_due) filter (where k.kind = 'event'))::float8 as oldest_due_seconds,
    extract(epoch from now() - min(k.oldest_due) filter (where k.kind <> 'event'))::float8 as oldest_other_due_seconds,
    coalesce(array_agg(k.kind::text order by k.kind) filter (
      where k.kind = any (l.forbidden_kinds) and (l.forbidden_until > now() or k.oldest_due is not null)
    ), '{}') as forbidden_kinds
  from (
    select kinds.kind,
      (select count(*) from (select from public.integrations_omnisend_outbox o
        where o.merchant_id = i.merchant_id and o.kind = kinds.kind and o.state = 'pending' and o.available_at < 'infinity'
        order by o.kind, o.available_at limit 10001) w) as waiting,
      (select count(*) from (select from public.integrations_omnisend_outbox o
        where o.merchant_id = i.merchant_id and o.kind = kinds.kind and o.state = 'dead' and o.available_at = 'infinity'
        order by o.kind, o.available_at limit 10001) d) as dead,
      (select o.available_at from public.integrations_omnisend_outbox o
        where o.merchant_id = i.merchant_id and o.kind = kinds.kind and o.state = 'pending' and o.available_at <= now()
        order by o.kind, o.available_at limit 1) as oldest_due
    from unnest(enum_range(null::public.omnisend_outbox_kind)) as kinds (kind)
  ) k
) w
where i.merchant_id = any (%(merchants)s::uuid[])
order by i.status = 'connected', p.slug;

-- name: connected_merchants
select merchant_id from public.integrations_omnisend
where (%(merchant_id)s::uuid is null or merchant_id = %(merchant_id)s)
order by status = 'connected', updated_at desc limit %(limit)s;

-- name: workers
select worker_id, version, started_at, last_seen_at, extract(epoch from now() - last_seen_at)::float8 as seen_seconds_ago, statistics
from public.integrations_omnisend_workers order by last_seen_at desc limit 100;

-- name: logs
-- The newest attempts, filtered by whatever is given.
select id, created_at, merchant_id, kind, name, outcome, status_code, attempt, error, outbox_id, event_id, request, response
from public.integrations_omnisend_logs
where (%(merchant_id)s::uuid is null or merchant_id = %(merchant_id)s)
  and (%(contact_hash)s::text is null or contact_hash = %(contact_hash)s)
  and (%(outcome)s::text is null or outcome = %(outcome)s)
  and (%(outbox_id)s::bigint is null or outbox_id = %(outbox_id)s)
  and (%(name)s::text is null or name = %(name)s)
  and (%(after)s::bigint is null or id > %(after)s)
order by id desc
limit %(limit)s;

-- name: dead
-- Dead letters, newest first: of one merchant from the index, kind by kind, or of all.
select id, merchant_id, kind::text, name, dedup_key, attempts, rescues, last_error, last_status_code, occurred_at, settled_at, expires_at,
  expires_at <= now() as past_expiry
from (
  select o.*
  from unnest(enum_range(null::public.omnisend_outbox_kind)) as kinds (kind)
  cross join lateral (
    select *
    from public.integrations_omnisend_outbox o
    where o.merchant_id = %(merchant_id)s and o.kind = kinds.kind and o.state = 'dead' and o.available_at = 'infinity'
    order by o.kind desc, o.available_at desc, o.id desc
    limit %(limit)s
  ) o
  union all
  select *
  from public.integrations_omnisend_outbox
  where %(merchant_id)s::uuid is null and state = 'dead' and available_at = 'infinity'
) dead
order by id desc
limit %(limit)s;

-- name: retry_dead
-- The operator puts dead rows back, with fresh attempts; rows past their expiry stay unless they are given new time,
-- and so do those of merchants that are no longer connected: nobody would send them.
update public.integrations_omnisend_outbox o
set state = 'pending', attempts = 0, rescues = 0, available_at = now(), settled_at = null,
    expires_at = greatest(expires_at, now() + %(extend)s::interval)
where state = 'dead' and available_at = 'infinity'
  and (%(ids)s::bigint[] is null or id = any (%(ids)s::bigint[]))
  and (%(merchant_id)s::uuid is null or merchant_id = %(merchant_id)s)
  and (expires_at > now() or %(extend)s::interval > interval '0')
  and exists (select from public.integrations_omnisend i where i.merchant_id = o.merchant_id and i.status <> 'disabled')
returning id;

-- name: still_dead
-- Why dead rows of a selection stayed: bounded counts.
select count(*) filter (where not connected) as disconnected, count(*) filter (where connected and past_expiry) as past_expiry
from (
  select o.expires_at <= now() as past_expiry,
    exists (select from public.integrations_omnisend i where i.merchant_id = o.merchant_id and i.status <> 'disabled') as connected
  from public.integrations_omnisend_outbox o
  where o.state = 'dead' and o.available_at = 'infinity'
    and (%(ids)s::bigint[] is null or o.id = any (%(ids)s::bigint[]))
    and (%(merchant_id)s::uuid is null or o.merchant_id = %(merchant_id)s)
  limit 10001
) d;

-- name: prunable
-- What the retention would delete now.
select
  (select count(*) from public.integrations_omnisend_outbox
   where state <> 'pending' and settled_at < now() - %(retention)s::interval) as outbox,
  (select count(*) from public.integrations_omnisend_logs where created_at < now() - %(log_retention)s::interval) as logs;

-- name: credentials_page
-- Stored credentials in the order of merchants, for rotation.
select merchant_id, api_key_enc, access_token_enc, refresh_token_enc
from public.integrations_omnisend
where merchant_id > %(after)s::uuid and (api_key_enc is not null or access_token_enc is not null or refresh_token_enc is not null)
order by merchant_id
limit %(limit)s;

-- name: credentials_of
-- One merchant's, after another has changed them meanwhile.
select merchant_id, api_key_enc, access_token_enc, refresh_token_enc
from public.integrations_omnisend
where merchant_id = %(merchant_id)s and (api_key_enc is not null or access_token_enc is not null or refresh_token_enc is not null);

-- name: replace_credentials
-- Re-encrypted credentials, only where the old ciphertext still stands: a key saved meanwhile wins.
update public.integrations_omnisend
set api_key_enc = %(api_key_enc)s, access_token_enc = %(access_token_enc)s, refresh_token_enc = %(refresh_token_enc)s
where merchant_id = %(merchant_id)s
  and api_key_enc is not distinct from %(old_api_key_enc)s
  and access_token_enc is not distinct from %(old_access_token_enc)s
  and refresh_token_enc is not distinct from %(old_refresh_token_enc)s
returning merchant_id;

-- name: plaintext_page
-- Plaintext keys of the earlier integration, a page at a time.
select merchant_id, api_key from public.integrations_omnisend
where api_key is not null and btrim(api_key) <> '' order by merchant_id limit %(limit)s for update;

-- name: plaintext_left
select count(*) as left_over from public.integrations_omnisend where api_key is not null and btrim(api_key) <> '';

-- name: encrypt_one
-- A key saved through the new way since is newer, and stays.
update public.integrations_omnisend
set api_key_enc = coalesce(api_key_enc, %(api_key_enc)s), api_key = null, updated_at = now()
where merchant_id = %(merchant_id)s;

-- name: drop_plaintext
alter table public.integrations_omnisend drop column api_key;

-- name: forget_person
-- What is held of a person of a merchant goes; how much of each kind. For the tables' owner and service_role.
select public.omnisend_forget_person(%(merchant_id)s, %(email)s, %(phone)s) as forgotten;

-- name: enqueue
select public.omnisend_enqueue(%(merchant_id)s, %(name)s, %(payload)s::jsonb, %(dedup_key)s, %(occurred_at)s, %(ordering_key)s, %(kind)s) as id;

-- name: enqueue_many
-- One statement for many events; ids in the order given.
select public.omnisend_enqueue(e.merchant_id, e.name, e.payload, e.dedup_key, coalesce(e.occurred_at, now()), e.ordering_key, e.kind) as id
from unnest(%(merchants)s::uuid[], %(names)s::text[], %(payloads)s::jsonb[], %(dedup_keys)s::text[],
  %(occurred)s::timestamptz[], %(ordering_keys)s::text[], %(kinds)s::text[])
  with ordinality as e (merchant_id, name, payload, dedup_key, occurred_at, ordering_key, kind, position)
order by e.position;
