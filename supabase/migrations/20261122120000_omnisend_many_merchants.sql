-- Many merchants at once: rows have classes, a lane's pauses are on record, and new rows can wake the workers.

set local lock_timeout = '4s';

-- The order of this type's values is the order in which a merchant's rows are taken: live events before contact changes
-- before the catalogue before batches, which carry history and full refreshes. See `claim` for how the last are not starved.
alter type public.omnisend_outbox_kind add value 'batch';
comment on type public.omnisend_outbox_kind is
  'What a row is about, in the order in which a merchant''s due rows are taken.';

-- With the kind before the instant, each class of a merchant is a queue of its own: ten thousand batches that are due cost a
-- claim of live events nothing. Costs an order 200 instructions of 167,000. Builds an index on what is pending and dead.
create index integrations_omnisend_outbox_classes_idx
  on public.integrations_omnisend_outbox (merchant_id, kind, available_at, id) where state in ('pending', 'dead');
drop index public.integrations_omnisend_outbox_due_idx;
alter index public.integrations_omnisend_outbox_classes_idx rename to integrations_omnisend_outbox_due_idx;

-- A lane that is paused, and one that goes on, are told to the merchant's admins where they read of their events. Checked
-- for the rows there are by the next migration, which need not lock anybody out for it.
alter table public.integrations_omnisend_logs
  drop constraint integrations_omnisend_logs_kind_check,
  add constraint integrations_omnisend_logs_kind_check
    check (kind in ('event', 'contact', 'product', 'category', 'batch', 'order', 'lane')) not valid;
comment on column public.integrations_omnisend_logs.outcome is
  'delivered, skipped, expired, dead, retry (will be tried again) or release (handed back, the attempt uncounted); of kind lane: paused or resumed.';

-- Wakes workers that listen. Off unless an operator enables the trigger (`soldt-outbox wake-up on`; disabled it costs an order
-- 1,700 instructions): committing a notification takes a lock that all committing transactions share. Therefore only one of the transactions under way at a time notifies; an order never waits for
-- another, and workers look once more a moment after they were woken.
create function omnisend_private.wake_workers() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if pg_try_advisory_xact_lock(8245927401226051429) then
    perform pg_notify('omnisend_outbox', new.merchant_id::text);
  end if;
  return null;
end
$$;
revoke execute on function omnisend_private.wake_workers() from public, anon, authenticated, service_role, omnisend_worker;

create trigger integrations_omnisend_wake_workers
  after insert on public.integrations_omnisend_outbox
  for each row when (new.kind = 'event')
  execute function omnisend_private.wake_workers();
alter table public.integrations_omnisend_outbox disable trigger integrations_omnisend_wake_workers;
