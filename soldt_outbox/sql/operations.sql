-- What surrounds the protocol: start-up checks, what the worker looks up, maintenance, heartbeat.

-- name: check_schema
-- Which of this project's tables exist, the newest columns and functions: a schema older than the code lacks some.
select count(*) + (to_regprocedure('omnisend_private.placed_order(bigint)') is not null)::int
  + (to_regprocedure('omnisend_private.wake_workers()') is not null)::int
  + (to_regprocedure('omnisend_private.shop_products(uuid[], bigint[])') is not null)::int
  + (to_regprocedure('omnisend_private.consent_states(uuid[], text[], text[])') is not null)::int
  + (to_regprocedure('omnisend_private.write_sync(bigint, integer)') is not null)::int as present
from information_schema.columns
where table_schema = 'public' and (table_name, column_name) in (
  ('integrations_omnisend', 'last_error_detail'), ('integrations_omnisend', 'api_key_enc'),
  ('integrations_omnisend', 'refresh_lease_token'), ('integrations_omnisend', 'brand_since'),
  ('integrations_omnisend_logs', 'contact_hash'), ('integrations_omnisend_outbox', 'rescues'),
  ('integrations_omnisend_lanes', 'told_until'), ('integrations_omnisend_lanes', 'forbidden_kinds'), ('integrations_omnisend_workers', 'statistics')
);

-- name: who_am_i
-- The login role, and whether it is the worker's role or may take it.
select current_user::text as login,
  exists (select from pg_roles where rolname = 'omnisend_worker') as role_exists,
  current_user = 'omnisend_worker' as is_worker,
  coalesce((select pg_has_role(current_user, oid, 'MEMBER') from pg_roles where rolname = 'omnisend_worker'), false) as may_become_worker;

-- name: plaintext_keys
-- Whether the earlier plaintext api_key column is still there.
select exists (
  select from information_schema.columns
  where table_schema = 'public' and table_name = 'integrations_omnisend' and column_name = 'api_key'
) as present;

-- name: catalogue_granted
-- Whether the worker may look up products: revoking this function from its role switches the look-up off.
select coalesce(has_function_privilege('omnisend_worker', to_regprocedure('omnisend_private.catalogue(uuid[], bigint[])')::oid, 'execute'), false)
  and to_regclass('public.products') is not null and to_regclass('public.product_variants') is not null
  and to_regclass('public.collections') is not null and to_regclass('public.collection_products') is not null as granted;

-- name: merchants
-- Credentials and profile of merchants whose rows were claimed.
select i.merchant_id, i.status, i.auth_type, i.api_key_enc, i.access_token_enc, i.token_expires_at, i.scopes, i.currency, i.country_code, i.api_version, i.sync_contacts,
  i.ordered_products, i.locale, i.brand_id, p.slug, p.custom_domain
from public.integrations_omnisend i
left join omnisend_private.merchant_profiles(%(merchants)s::uuid[]) p on p.merchant_id = i.merchant_id
where i.merchant_id = any (%(merchants)s::uuid[]);

-- name: resume_retired
-- Lanes that pause for a version of the API that is gone: a worker that starts may speak another, and asks once more.
update public.integrations_omnisend_lanes set paused_until = now()
where pause_reason = 'RETIRED' and paused_until > now();

-- name: any_credential
-- One stored credential, to prove at start-up that the keys of the environment open what is stored.
select merchant_id, coalesce(api_key_enc, access_token_enc) as sealed,
  case when api_key_enc is not null then 'api_key_enc' else 'access_token_enc' end as stored_in
from public.integrations_omnisend where api_key_enc is not null or access_token_enc is not null order by updated_at desc limit 1;

-- name: catalogue
-- Products of line items, by (merchant, product) pairs.
select merchant_id, product_id, title, description, images, variants, collections
from omnisend_private.catalogue(%(merchants)s::uuid[], %(products)s::bigint[]);

-- name: forget_kept_orders
-- Remove copies of orders that no row is to tell any more.
select omnisend_private.forget_kept_orders(%(limit)s) as forgotten;

-- name: expirable
-- Rows that wait past their time to live and that no claim will find expired: those behind a paused lane, of a kind that the key
-- may not send, or of a merchant that is disabled or whose connection is gone. A bounded number, with what says whom they are about.
--
-- Of a disconnected merchant (disabled, and without a credential) nothing may wait: `skip_waiting` passed over what a worker held
-- and what a transaction under way had written.
with waiting as materialized (
  select l.merchant_id, k.kind, i.country_code,
    i.status = 'disabled' and i.api_key_enc is null and i.access_token_enc is null as disconnected
  from public.integrations_omnisend_lanes l
  cross join unnest(enum_range(null::public.omnisend_outbox_kind)) as k (kind)
  left join public.integrations_omnisend i on i.merchant_id = l.merchant_id
  where l.paused_until > now() or i.status = 'disabled' or i.merchant_id is null
    or (l.forbidden_until > now() and k.kind = any (l.forbidden_kinds))
),
old as materialized (
  select o.id, o.kind, o.payload, w.country_code
  from waiting w
  cross join lateral (
    select o.id, o.kind, o.payload
    from public.integrations_omnisend_outbox o
    where o.merchant_id = w.merchant_id and o.kind = w.kind and o.state = 'pending' and (o.expires_at <= now() or w.disconnected)
      and o.available_at < 'infinity'  -- not through the dead ones
    order by o.kind, o.available_at
    limit %(limit)s
  ) o
  limit %(limit)s
)
select o.id, o.kind::text, case when octet_length(p.payload::text) <= 100000 then p.payload end as payload, o.country_code
from old o
cross join lateral (select coalesce(o.payload, omnisend_private.placed_order(o.id)) as payload offset 0) p;

-- name: expire_waiting
-- Expire, or skip, those of the rows given that still wait and are in nobody's hand, and log it. `contact_hash`: whom a row is about.
with given as materialized (
  select r.* from jsonb_to_recordset(%(rows)s::jsonb) as r (id bigint, contact_hash text)
),
old as materialized (
  select o.id, g.contact_hash, i.disconnected
  from given g
  join public.integrations_omnisend_outbox o on o.id = g.id
  left join lateral (
    select i.status = 'disabled' and i.api_key_enc is null and i.access_token_enc is null as disconnected
    from public.integrations_omnisend i where i.merchant_id = o.merchant_id
  ) i on true
  where o.state = 'pending' and (o.lease_until is null or o.lease_until <= now()) and (o.expires_at <= now() or i.disconnected)
  order by o.id
  for update of o skip locked
),
expired as (
  update public.integrations_omnisend_outbox o
  set state = case when old.disconnected then 'skipped' else 'expired' end::public.omnisend_outbox_state,
      settled_at = now(), payload = null, ordering_key = null,
      last_error = case when old.disconnected then 'disconnected' else coalesce(o.last_error, 'expired') end,
      lease_token = null, lease_until = null, leased_by = null
  from old where o.id = old.id
  returning o.id, o.merchant_id, o.kind, o.name, o.attempts, o.last_error, o.state::text as outcome, old.contact_hash
)
insert into public.integrations_omnisend_logs (merchant_id, kind, name, outbox_id, attempt, outcome, error, contact_hash)
select merchant_id, kind::text, name, id, attempts, outcome,
  case when outcome = 'expired' then 'waited past its time to live: ' || last_error else last_error end, contact_hash
from expired
returning outbox_id;

-- name: prune_outbox
-- Delete settled rows older than the retention, a bounded number at a time, oldest ids first. Dead rows go with it,
-- and with them their payload.
--
-- edge: ids rise with time, so halving finds in some thirty probes where rows become too young; without it a batch that
-- is not full would read the whole table.
with recursive edge as (
  select coalesce(min(id), 0) as low, coalesce(max(id), 0) + 1 as high from public.integrations_omnisend_outbox
  union all
  select case when p.old then p.id + 1 else e.low end, case when p.old then e.high else (e.low + e.high) / 2 end
  from edge e
  cross join lateral (
    select o.id, o.created_at < now() - %(retention)s::interval as old
    from public.integrations_omnisend_outbox o
    where o.id >= (e.low + e.high) / 2
    order by o.id
    limit 1
  ) p
  where e.low < e.high
),
old as materialized (
  select id
  from public.integrations_omnisend_outbox
  where id > %(after)s and id < (select max(low) from edge)
    and state <> 'pending' and settled_at < now() - %(retention)s::interval
  order by id
  limit %(limit)s
  for update skip locked
)
delete from public.integrations_omnisend_outbox o where o.id = any (array(select id from old)) returning o.id;

-- name: prune_logs
-- Delete log rows older than the retention, a bounded number at a time, the oldest first. As above.
with recursive edge as (
  select coalesce(min(id), 0) as low, coalesce(max(id), 0) + 1 as high from public.integrations_omnisend_logs
  union all
  select case when p.old then p.id + 1 else e.low end, case when p.old then e.high else (e.low + e.high) / 2 end
  from edge e
  cross join lateral (
    select l.id, l.created_at < now() - %(retention)s::interval as old
    from public.integrations_omnisend_logs l
    where l.id >= (e.low + e.high) / 2
    order by l.id
    limit 1
  ) p
  where e.low < e.high
),
old as materialized (
  select id
  from public.integrations_omnisend_logs
  where id < (select max(low) from edge) and created_at < now() - %(retention)s::interval
  order by id
  limit %(limit)s
)
delete from public.integrations_omnisend_logs l where l.id = any (array(select id from old)) returning l.id;

-- name: beat
-- The heartbeat; also removes the rows of workers that have not been seen for a day.
with gone as (
  delete from public.integrations_omnisend_workers where last_seen_at < now() - interval '1 day'
)
insert into public.integrations_omnisend_workers (worker_id, version, statistics)
values (%(worker_id)s, %(version)s, %(statistics)s)
on conflict (worker_id) do update set last_seen_at = now(), statistics = excluded.statistics;

-- name: sign_off
delete from public.integrations_omnisend_workers where worker_id = %(worker_id)s;

-- name: health
-- What slows a claim down: the oldest snapshot anybody holds, dead tuples that vacuum has not removed, updates that had to
-- write every index since the row's page was full, and indexes that are missing, broken, or were never used in a million updates.
select omnisend_private.oldest_snapshot_seconds() as oldest_snapshot_seconds,
  t.n_dead_tup as dead_tuples, t.n_live_tup as live_tuples, t.n_tup_upd as updates, t.n_tup_hot_upd as updates_in_place,
  array(
    select needed.name
    from unnest(array['integrations_omnisend_outbox_due_idx', 'integrations_omnisend_outbox_order_idx',
      'integrations_omnisend_outbox_occurrence_key', 'integrations_omnisend_outbox_pkey']) as needed (name)
    left join pg_index x on x.indexrelid = to_regclass('public.' || needed.name) and x.indisvalid
    left join pg_stat_user_indexes u on u.indexrelid = x.indexrelid
    where x.indexrelid is null or (u.idx_scan = 0 and t.n_tup_upd > 1000000)
  ) as idle_indexes
from pg_stat_user_tables t
where t.relid = 'public.integrations_omnisend_outbox'::regclass;

-- name: notify
select pg_notify(%(channel)s, %(word)s);

-- name: wake_ups
-- Whether an event's commit notifies workers that listen.
select tgenabled <> 'D' from pg_trigger
where tgrelid = to_regclass('public.integrations_omnisend_outbox') and tgname = 'integrations_omnisend_wake_workers';

-- name: enable_wake_ups
alter table public.integrations_omnisend_outbox enable trigger integrations_omnisend_wake_workers;

-- name: disable_wake_ups
alter table public.integrations_omnisend_outbox disable trigger integrations_omnisend_wake_workers;
