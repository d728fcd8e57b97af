-- Who may do what. Everything is revoked first and granted by name, because the platform's default privileges
-- differ between projects.

set local lock_timeout = '4s';

alter table public.integrations_omnisend enable row level security;
alter table public.integrations_omnisend_logs enable row level security;
alter table public.integrations_omnisend_outbox enable row level security;
alter table public.integrations_omnisend_lanes enable row level security;
alter table public.integrations_omnisend_workers enable row level security;

revoke all on
  public.integrations_omnisend, public.integrations_omnisend_logs, public.integrations_omnisend_outbox,
  public.integrations_omnisend_lanes, public.integrations_omnisend_workers
  from public, anon, authenticated, service_role, omnisend_worker;
revoke all on sequence public.integrations_omnisend_logs_id_seq, public.integrations_omnisend_outbox_id_seq
  from public, anon, authenticated, service_role, omnisend_worker;

-- Merchants' admins, and SOLDT's server: no credential, no payload, no key, no lease.
grant select (merchant_id, status, auth_type, token_expires_at, scopes, created_at, updated_at, last_event_at,
  last_error, last_error_at, last_error_detail, brand_id, currency, country_code)
  on public.integrations_omnisend to authenticated, service_role;
grant select (id, merchant_id, kind, name, occurred_at, expires_at, state, attempts, rescues, available_at,
  last_error, last_status_code, created_at, settled_at)
  on public.integrations_omnisend_outbox to authenticated, service_role;
grant select on public.integrations_omnisend_logs, public.integrations_omnisend_lanes to authenticated, service_role;
grant select on public.integrations_omnisend_workers to service_role;

-- The worker.
grant select, insert, update on public.integrations_omnisend to omnisend_worker;
grant select, insert, delete on public.integrations_omnisend_logs to omnisend_worker;
grant usage on sequence public.integrations_omnisend_logs_id_seq to omnisend_worker;
grant select, insert, update, delete
  on public.integrations_omnisend_outbox, public.integrations_omnisend_lanes, public.integrations_omnisend_workers
  to omnisend_worker;

create policy integrations_omnisend_worker on public.integrations_omnisend
  for all to omnisend_worker using (true) with check (true);
create policy integrations_omnisend_logs_worker on public.integrations_omnisend_logs
  for all to omnisend_worker using (true) with check (true);
create policy integrations_omnisend_outbox_worker on public.integrations_omnisend_outbox
  for all to omnisend_worker using (true) with check (true);
create policy integrations_omnisend_lanes_worker on public.integrations_omnisend_lanes
  for all to omnisend_worker using (true) with check (true);
create policy integrations_omnisend_workers_worker on public.integrations_omnisend_workers
  for all to omnisend_worker using (true) with check (true);

create policy integrations_omnisend_admin on public.integrations_omnisend
  for select to authenticated using (merchant_id in (select omnisend_private.administered_merchants()));
create policy integrations_omnisend_logs_admin on public.integrations_omnisend_logs
  for select to authenticated using (merchant_id in (select omnisend_private.administered_merchants()));
create policy integrations_omnisend_outbox_admin on public.integrations_omnisend_outbox
  for select to authenticated using (merchant_id in (select omnisend_private.administered_merchants()));
create policy integrations_omnisend_lanes_admin on public.integrations_omnisend_lanes
  for select to authenticated using (merchant_id in (select omnisend_private.administered_merchants()));

create view public.integrations_omnisend_status with (security_invoker = true) as
select merchant_id, status, auth_type, token_expires_at, scopes, created_at, updated_at, last_event_at,
  last_error, last_error_at, last_error_detail, brand_id, currency, country_code
from public.integrations_omnisend;
comment on view public.integrations_omnisend_status is
  'What a merchant''s admins may see of their connection; reads with the caller''s rights.';
revoke all on public.integrations_omnisend_status from public, anon, authenticated, service_role, omnisend_worker;
grant select on public.integrations_omnisend_status to authenticated, service_role;

-- Functions: each by name, for nobody but those who need it.
revoke execute on all functions in schema omnisend_private from public, anon, authenticated, service_role, omnisend_worker;
revoke execute on function
  public.omnisend_enqueue(uuid, text, jsonb, text, timestamptz, text, text), public.omnisend_retry(bigint[])
  from public, anon, authenticated, service_role, omnisend_worker;

grant execute on function public.omnisend_enqueue(uuid, text, jsonb, text, timestamptz, text, text) to service_role, omnisend_worker;
grant execute on function omnisend_private.enqueue(uuid, text, jsonb, text, timestamptz, text, text) to service_role, omnisend_worker;
grant execute on function public.omnisend_retry(bigint[]) to authenticated;
grant execute on function omnisend_private.retry(bigint[]) to authenticated;
grant execute on function omnisend_private.administered_merchants() to authenticated;
grant execute on function omnisend_private.merchant_profiles(uuid[]) to omnisend_worker;
grant execute on function omnisend_private.merchant_by_slug(text) to omnisend_worker;
grant execute on function omnisend_private.oldest_snapshot_seconds() to omnisend_worker;
grant execute on function omnisend_private.catalogue(uuid[], bigint[]) to omnisend_worker;
