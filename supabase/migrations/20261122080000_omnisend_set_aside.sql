-- Rows that wait behind many of their customer are set aside, Omnisend's own waits are remembered, an admin's retry
-- leaves disconnected merchants alone, and admins' policies can be served by an index.

set local lock_timeout = '4s';

alter table public.integrations_omnisend_lanes
  add column told_until timestamptz,
  add column aside_after timestamptz;

comment on column public.integrations_omnisend_lanes.told_until is
  'What Omnisend itself asked for with a 429: no pause ends before it, whatever ends it.';
comment on column public.integrations_omnisend_lanes.aside_after is
  'Where the next claim goes on among rows that were set aside, if there were too many customers for the last one.';
-- In the index of due rows these lie behind everything due and before the dead ones: one index serves all three.
comment on column public.integrations_omnisend_outbox.available_at is
  'Not claimed before this instant; infinity for a dead row; an instant after the year 5000 for one that was set aside: many of the same customer wait before it, and it goes as soon as they are settled.';

create or replace function omnisend_private.retry(p_outbox_ids bigint[]) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_count bigint;
begin
  if cardinality(p_outbox_ids) > 1000 then
    raise exception 'At most 1000 rows can be put back at once' using errcode = 'invalid_parameter_value';
  end if;
  update public.integrations_omnisend_outbox o
  set state = 'pending', attempts = 0, rescues = 0, available_at = now(), settled_at = null,
      lease_token = null, lease_until = null, leased_by = null
  where o.id = any (p_outbox_ids) and o.state = 'dead' and o.expires_at > now()
    and o.merchant_id in (select omnisend_private.administered_merchants())
    -- Nobody sends for a merchant that was disconnected: there the rows would only wait.
    and exists (select from public.integrations_omnisend i where i.merchant_id = o.merchant_id and i.status <> 'disabled');
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function public.omnisend_retry(bigint[]) is
  'An admin puts dead rows of their own merchants back, with fresh attempts. Returns how many; rows past their expiry, of others or of a disconnected merchant, or not dead, are left alone.';

-- An array, asked for once, and not `in (select …)`: an index on merchant_id can be searched for it. With the other, an
-- admin's list of dead letters read the whole outbox (230,000 rows for 50, against 2,000).
alter policy integrations_omnisend_admin on public.integrations_omnisend
  using (merchant_id = any (array(select omnisend_private.administered_merchants())));
alter policy integrations_omnisend_logs_admin on public.integrations_omnisend_logs
  using (merchant_id = any (array(select omnisend_private.administered_merchants())));
alter policy integrations_omnisend_outbox_admin on public.integrations_omnisend_outbox
  using (merchant_id = any (array(select omnisend_private.administered_merchants())));
alter policy integrations_omnisend_lanes_admin on public.integrations_omnisend_lanes
  using (merchant_id = any (array(select omnisend_private.administered_merchants())));
