-- Full refreshes, history, and unsubscribes read back.
--
-- The statements from count_sync to note_unsubscribed run before `settle`, in its transaction. Each takes `rows`, a JSON list
-- whose records name the outbox row they are written with and its lease token, and writes those whose token still matches: what a
-- worker says too late changes nothing. Each locks those rows, so that the token holds until `settle` has looked at it too.

-- name: count_sync
-- Add to what a sync counts.
with said as materialized (
  select r.*
  from jsonb_to_recordset(%(rows)s::jsonb) as r (
    after_id bigint, token uuid, sync bigint, sent bigint, unchanged bigint, skipped bigint, rejected bigint, put_back bigint
  )
  join public.integrations_omnisend_outbox o on o.id = r.after_id and o.lease_token = r.token and o.state = 'pending'
  for no key update of o
),
counted as materialized (
  select sync, sum(sent) as sent, sum(unchanged) as unchanged, sum(skipped) as skipped, sum(rejected) as rejected, sum(put_back) as put_back
  from said group by sync
),
locked as materialized (
  select s.id from public.integrations_omnisend_syncs s where s.id in (select sync from counted) order by s.id for no key update of s
)
update public.integrations_omnisend_syncs s
set items_sent = s.items_sent + c.sent, items_unchanged = s.items_unchanged + c.unchanged,
    items_skipped = s.items_skipped + c.skipped, items_rejected = s.items_rejected + c.rejected,
    items_put_back = s.items_put_back + c.put_back
from counted c
where s.id = c.sync and s.id in (select id from locked);

-- name: log_items
-- A log row for each item of a batch that Omnisend did not take.
with said as materialized (
  select r.*, o.merchant_id, o.attempts
  from jsonb_to_recordset(%(rows)s::jsonb) as r (
    after_id bigint, token uuid, kind text, name text, item text, batch text, status_code int, error text, event_id uuid, contact_hash text
  )
  join public.integrations_omnisend_outbox o on o.id = r.after_id and o.lease_token = r.token and o.state = 'pending'
  for no key update of o
)
insert into public.integrations_omnisend_logs
  (merchant_id, direction, kind, name, status_code, request, outbox_id, event_id, attempt, outcome, error, contact_hash)
select merchant_id, 'outbound', kind, name, status_code, jsonb_strip_nulls(jsonb_build_object('item', item, 'batch', batch)),
  after_id, event_id, attempts, 'dead', error, contact_hash
from said;

-- name: keep_told
-- Remember what Omnisend has, and forget what it no longer has: items without a digest. What was told to a brand that the merchant is
-- connected to no more says nothing of this one: for some seconds workers go on with the key they know.
with said as materialized (
  select r.*, o.merchant_id
  from jsonb_to_recordset(%(rows)s::jsonb) as r (after_id bigint, token uuid, brand text, resource text, items jsonb)
  join public.integrations_omnisend_outbox o on o.id = r.after_id and o.lease_token = r.token and o.state = 'pending'
  join public.integrations_omnisend c on c.merchant_id = o.merchant_id and c.brand_id is not distinct from r.brand
  for no key update of o
),
item as materialized (
  select distinct on (s.merchant_id, s.resource, i.key)
    s.merchant_id, s.resource, i.key as item_id, decode(i.value, 'hex') as digest
  from said s cross join lateral jsonb_each_text(s.items) as i
  order by s.merchant_id, s.resource, i.key, s.after_id desc
),
gone as (
  delete from omnisend_private.told_items t
  using item i
  where t.merchant_id = i.merchant_id and t.resource = i.resource and t.item_id = i.item_id and i.digest is null
)
insert into omnisend_private.told_items (merchant_id, resource, item_id, digest)
select merchant_id, resource, item_id, digest from item where digest is not null
on conflict (merchant_id, resource, item_id) do update set digest = excluded.digest
where told_items.digest <> excluded.digest;

-- name: enter_events
-- Events of history that Omnisend confirmed, into the ledger: they are not written again, nor imported again. A row that was settled
-- before says what became of the live event (it expired, or went to another brand), and now says this.
with said as materialized (
  select r.*, o.merchant_id
  from jsonb_to_recordset(%(rows)s::jsonb) as r (after_id bigint, token uuid, events jsonb)
  join public.integrations_omnisend_outbox o on o.id = r.after_id and o.lease_token = r.token and o.state = 'pending'
  for no key update of o
)
insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, state, settled_at)
select e.merchant_id, 'event', e.name, e.dedup_key, 'delivered', now()
from (
  select distinct s.merchant_id, e ->> 0 as name, e ->> 1 as dedup_key
  from said s cross join lateral jsonb_array_elements(s.events) as e
) e
order by e.merchant_id, e.dedup_key, e.name
on conflict on constraint integrations_omnisend_outbox_occurrence_key do update
set state = excluded.state, settled_at = excluded.settled_at, last_error = null
where integrations_omnisend_outbox.state not in ('pending', 'dead');

-- name: note_unsubscribed
-- People who unsubscribed at Omnisend, into the table of consents.
with said as materialized (
  select r.*, o.merchant_id
  from jsonb_to_recordset(%(rows)s::jsonb) as r (after_id bigint, token uuid, channel text, identifier text, at timestamptz)
  join public.integrations_omnisend_outbox o on o.id = r.after_id and o.lease_token = r.token and o.state = 'pending'
  for no key update of o
)
select count(*) filter (where omnisend_private.note_unsubscribed(merchant_id, channel, identifier, at)) as noted from said;

-- name: move_watermark
-- How far a merchant's contacts have been read, of the brand it is connected to. Never back.
with said as materialized (
  select r.*, o.merchant_id
  from jsonb_to_recordset(%(rows)s::jsonb) as r (after_id bigint, token uuid, brand text, updated_from timestamptz)
  join public.integrations_omnisend_outbox o on o.id = r.after_id and o.lease_token = r.token and o.state = 'pending'
  join public.integrations_omnisend c on c.merchant_id = o.merchant_id and c.brand_id is not distinct from r.brand
  for no key update of o
)
insert into omnisend_private.contact_watermarks (merchant_id, updated_from)
select merchant_id, max(updated_from) from said group by merchant_id order by merchant_id
on conflict (merchant_id) do update set updated_from = greatest(contact_watermarks.updated_from, excluded.updated_from);

-- name: sync_of
-- A sync, as a worker needs to know it.
select state, mode from public.integrations_omnisend_syncs where id = %(sync)s and merchant_id = %(merchant_id)s;

-- name: sync_orders
select order_id, payload, created_at, updated_at, told
from omnisend_private.sync_orders(%(sync)s, %(orders)s::bigint[]);

-- name: told_items
-- What Omnisend has of these.
select item_id, encode(digest, 'hex') as digest
from omnisend_private.told_items
where merchant_id = %(merchant_id)s and resource = %(resource)s and item_id = any (%(items)s::text[]);

-- name: watermark
select updated_from from omnisend_private.contact_watermarks where merchant_id = %(merchant_id)s;

-- name: forget_polls
-- Of a merchant's walks over contacts only the last hour's are kept: there are a hundred a day, and their keys, quarters that are
-- over, are in nobody's way.
delete from public.integrations_omnisend_outbox
where id in (
  select o.id
  from public.integrations_omnisend i
  cross join lateral (
    select o.id
    from public.integrations_omnisend_outbox o
    where o.merchant_id = i.merchant_id and o.kind = 'batch' and o.name = 'contacts_poll'
      and o.state in ('delivered', 'skipped', 'expired') and o.settled_at < now() - interval '1 hour'
    order by o.dedup_key
    limit 100
  ) o
  where i.sync_contacts
);

-- name: write_polls
-- A row for each merchant with contacts switched on, every quarter of an hour, each merchant at a second of its own: for the next
-- such second, whose quarter is the key, so that two workers write one row. None while an earlier one waits or goes on. It occurs
-- when it falls due: no walk begins before that.
insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, payload, occurred_at, available_at, expires_at)
select i.merchant_id, 'batch', 'contacts_poll', q.quarter::text, '{}', due.at, due.at, now() + interval '1 day'
from public.integrations_omnisend i
cross join lateral (select (hashtextextended(i.merchant_id::text, 0) & 1023) * 900 / 1024 as second) s
cross join lateral (select floor((extract(epoch from now()) - s.second) / 900)::bigint + 1 as quarter) q
cross join lateral (select to_timestamp(q.quarter * 900 + s.second) as at) due
where i.sync_contacts and i.status <> 'disabled'
  and not exists (
    select from public.integrations_omnisend_outbox o
    where o.merchant_id = i.merchant_id and o.kind = 'batch' and o.state = 'pending' and o.name = 'contacts_poll'
  )
order by i.merchant_id
on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing
returning id;

-- name: start_sync
-- A new sync, unless one of this merchant and resource is not finished: then that one. `fresh`: whether it is new.
with made as (
  insert into public.integrations_omnisend_syncs (merchant_id, resource, mode, since, chunk_size)
  values (%(merchant_id)s, %(resource)s, %(mode)s, %(since)s, %(chunk_size)s)
  on conflict (merchant_id, resource) where state in ('writing', 'running') do nothing
  returning *, true as fresh
)
select * from made
union all
select s.*, false from public.integrations_omnisend_syncs s
where s.merchant_id = %(merchant_id)s and s.resource = %(resource)s and s.state in ('writing', 'running')
limit 1;

-- name: write_sync
select omnisend_private.write_sync(%(sync)s, %(chunks)s) as more;

-- name: unwritten_syncs
-- Syncs whose rows are not all written: by a command that was killed, or not yet.
select id from public.integrations_omnisend_syncs where state = 'writing' order by id limit 100;

-- name: finish_syncs
-- Syncs of which nothing waits any more are finished. A row that is settled and those that follow from it change in one
-- transaction, so there is no moment in between at which nothing waits.
update public.integrations_omnisend_syncs s
set state = 'finished', finished_at = now()
where s.state = 'running' and not exists (
  select from public.integrations_omnisend_outbox o
  where o.merchant_id = s.merchant_id and o.kind = 'batch' and o.state = 'pending'
    and o.name in ('batch_submit', 'batch_follow') and o.payload ->> 'sync' = s.id::text
)
returning s.id;

-- name: sync_by_id
select * from public.integrations_omnisend_syncs where id = %(sync)s;

-- name: cancel_sync
-- Nothing more is sent of a sync. What a worker holds at this moment it settles; it begins nothing after that.
with canceled as (
  update public.integrations_omnisend_syncs set state = 'canceled', finished_at = now()
  where id = %(sync)s and state in ('writing', 'running')
  returning id, merchant_id
)
update public.integrations_omnisend_outbox o
set state = 'skipped', settled_at = now(), payload = null, last_error = 'its sync was canceled',
    lease_token = null, lease_until = null, leased_by = null
from canceled c
where o.merchant_id = c.merchant_id and o.kind = 'batch' and o.state = 'pending' and o.name in ('batch_submit', 'batch_follow')
  and o.payload ->> 'sync' = c.id::text and (o.lease_until is null or o.lease_until <= now())
returning o.id;

-- name: sending_state
-- Whether a merchant is connected and sent for, and whether a worker is alive.
select i.status, i.api_version, l.paused_until > now() as paused, l.pause_reason,
  coalesce('batch' = any (l.forbidden_kinds) and l.forbidden_until > now(), false) as forbidden,
  exists (select from public.integrations_omnisend_workers w where w.last_seen_at > now() - interval '1 minute') as worker_alive
from public.integrations_omnisend i
left join public.integrations_omnisend_lanes l on l.merchant_id = i.merchant_id
where i.merchant_id = %(merchant_id)s;

-- name: reconcile
select order_id, names
from omnisend_private.reconcile(%(merchant_id)s, now() - %(since)s::interval, %(after)s, %(limit)s, %(write)s);

-- name: reconcilable
-- Whose orders can be looked at.
select merchant_id from public.integrations_omnisend
where status <> 'disabled' and (%(merchant_id)s::uuid is null or merchant_id = %(merchant_id)s)
order by merchant_id;

-- name: last_sync
-- The merchant's latest sync of this resource.
select * from public.integrations_omnisend_syncs
where merchant_id = %(merchant_id)s and resource = %(resource)s
order by id desc limit 1;
