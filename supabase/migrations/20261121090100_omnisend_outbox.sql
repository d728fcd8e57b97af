-- The outbox, the merchants' lanes and the workers that are alive.

set local lock_timeout = '4s';

-- Enums and not CHECKs: a check's expression is parsed again for every statement that inserts, and every checkout
-- would pay for it (measured: 10 of 60 microseconds).
create type public.omnisend_outbox_kind as enum ('event', 'contact', 'product', 'category');
create type public.omnisend_outbox_state as enum ('pending', 'delivered', 'skipped', 'expired', 'dead');

create table public.integrations_omnisend_outbox (
  id bigint generated always as identity primary key,
  merchant_id uuid not null,
  kind public.omnisend_outbox_kind not null default 'event',
  name text collate "C" not null,
  dedup_key text collate "C" not null,
  ordering_key text collate "C",
  payload jsonb,
  occurred_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '14 days',
  state public.omnisend_outbox_state not null default 'pending',
  attempts int not null default 0,
  rescues int not null default 0,
  available_at timestamptz not null default now(),
  lease_token uuid,
  lease_until timestamptz,
  leased_by text,
  last_error text,
  last_status_code int,
  created_at timestamptz not null default now(),
  settled_at timestamptz,
  constraint integrations_omnisend_outbox_occurrence_key unique (merchant_id, kind, name, dedup_key)
) with (
  -- A claim rewrites the row in place (HOT) only where its page has room.
  fillfactor = 75,
  -- Each row is written three times within seconds: vacuum by count, not by a share of the 30 days of history.
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_insert_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0
);
-- No foreign key to merchants: a checkout would lock its merchant's row once more.
-- Lease columns stand in no index and no index predicate, so that taking a lease is a HOT update.

-- Claim: a merchant's due rows, oldest first; rows of the future lie behind them and cost nothing. Dead rows have
-- available_at = infinity and so lie behind everything: one index serves the claim and the dead letters.
create index integrations_omnisend_outbox_due_idx
  on public.integrations_omnisend_outbox (merchant_id, available_at, id) where state in ('pending', 'dead');
-- Order: is there an earlier pending row of the same customer? (The key has the merchant in it.)
create index integrations_omnisend_outbox_order_idx
  on public.integrations_omnisend_outbox (ordering_key, id) where state = 'pending' and ordering_key is not null;

comment on table public.integrations_omnisend_outbox is
  'What Omnisend is to be told, written in the transaction in which it happened. Settled rows stay 30 days as the ledger against duplicates, without personal data.';
comment on column public.integrations_omnisend_outbox.dedup_key is
  'Names the occurrence within (merchant, kind, name): written any number of times, it exists once.';
comment on column public.integrations_omnisend_outbox.ordering_key is
  'Hash of the customer, by omnisend_private.ordering_key(). Rows with the same key are delivered in the order of their ids; null waits for nobody.';
comment on column public.integrations_omnisend_outbox.payload is
  'What happened, in SOLDT''s words. Emptied when the row is delivered, skipped or expired.';
comment on column public.integrations_omnisend_outbox.expires_at is
  'Past this instant the row is expired, not sent: old news does harm. The default is an order''s time to live.';
comment on column public.integrations_omnisend_outbox.available_at is 'Not claimed before this instant; infinity for a dead row.';
comment on column public.integrations_omnisend_outbox.rescues is 'How often a lease ran out, that is, how often a worker died or stalled with this row in hand.';
comment on column public.integrations_omnisend_outbox.lease_token is
  'The fence: new at each claim; only a result that carries it may settle the row.';

create table public.integrations_omnisend_lanes (
  merchant_id uuid primary key,
  -- Not -infinity: PostgreSQL 15 cannot subtract from it, nor can Python read it.
  theoretical_arrival_time timestamptz not null default 'epoch',
  throttled_until timestamptz,
  paused_until timestamptz,
  pause_reason text,
  failures_in_row int not null default 0,
  last_served_at timestamptz not null default 'epoch'
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);

comment on table public.integrations_omnisend_lanes is
  'One row per merchant that was ever claimed, written by workers only; an order''s transaction never touches it.';
comment on column public.integrations_omnisend_lanes.theoretical_arrival_time is
  'The budget, as a generic cell rate algorithm: when the requests granted so far would all have been sent at the steady rate.';
comment on column public.integrations_omnisend_lanes.throttled_until is 'After a 429 the rate is halved until then.';
comment on column public.integrations_omnisend_lanes.paused_until is
  'Nothing is claimed before this instant; after it one row goes out as a probe until an answer shows that the lane is healthy.';

create table public.integrations_omnisend_workers (
  worker_id text primary key,
  started_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  version text not null,
  statistics jsonb not null default '{}'
) with (fillfactor = 50);

comment on table public.integrations_omnisend_workers is
  'The heartbeat: one row per boot of a worker, renewed every few seconds, removed on an orderly stop.';
