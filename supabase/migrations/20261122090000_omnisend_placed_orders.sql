-- A checkout writes its row without the order in it: what was placed stands in `orders`, and a copy in every row was
-- the dearest part of the trigger (81,000 of its 269,000 instructions, and most of what it wrote to the write-ahead log).
--
-- The copy is made by whoever comes first: the worker's claim, which stores it in the row and so sends the same bytes
-- at every attempt; or, in its own transaction, a change or the removal of the order before that.

set local lock_timeout = '4s';

-- The same unique key with its columns in another order: after the merchant comes what differs from row to row, so an
-- insert compares two columns at each step down the tree and not four (10,000 instructions). Builds an index: on an
-- outbox of millions of rows, run this at a quiet hour.
alter table public.integrations_omnisend_outbox
  drop constraint integrations_omnisend_outbox_occurrence_key,
  add constraint integrations_omnisend_outbox_occurrence_key unique (merchant_id, dedup_key, name, kind);

comment on column public.integrations_omnisend_outbox.payload is
  'What happened, in SOLDT''s words. Emptied when the row is delivered, skipped or expired. Of an order_placed that was never claimed: null, and the order is read from public.orders.';

create or replace function omnisend_private.order_inserted() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  -- Every checkout runs this, so the common case is one statement. What it still costs beside the indexes is PostgreSQL
  -- starting a statement on a table of twenty columns (46,000), on conflict (17,000) and the look-up (19,000).
  insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key)
  select
    i.merchant_id, 'order_placed', new.id::text,
    -- omnisend_private.ordering_key(i.merchant_id, new.customer_email), written out; a test compares the two.
    to_hex(hashtextextended(lower(btrim(new.customer_email)), uuid_hash_extended(i.merchant_id, 0)))
  from public.integrations_omnisend i
  where i.merchant_id = new.merchant_id and i.status <> 'disabled'
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;

  if new.payment_status in ('paid', 'refunded') or new.status in ('shipped', 'delivered', 'cancelled', 'refunded') then
    perform omnisend_private.write_order_events(new, array_remove(array[
      case when new.payment_status = 'paid' then 'order_paid' end,
      case when new.status in ('shipped', 'delivered') then 'order_fulfilled' end,
      case when new.status = 'cancelled' then 'order_canceled' end,
      case when new.status = 'refunded' or new.payment_status = 'refunded' then 'order_refunded' end
    ], null));
  end if;
  return null;
end
$$;

-- The order of a row without payload, as the caller's snapshot has it; null where there is none, or where the row
-- holds its payload already. The worker reads an order by its waiting row, and no other.
create function omnisend_private.placed_order(p_outbox_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_merchant_id uuid;
  v_order_id public.orders.id%type;
begin
  select o.merchant_id, o.dedup_key into v_merchant_id, v_order_id
  from public.integrations_omnisend_outbox o
  where o.id = p_outbox_id and o.state = 'pending' and o.payload is null and o.kind = 'event' and o.name = 'order_placed';
  return (select to_jsonb(r) from public.orders r where r.id = v_order_id and r.merchant_id = v_merchant_id);
end
$$;
comment on function omnisend_private.placed_order(bigint) is
  'The order that a pending order_placed row without payload stands for. For the claim, which stores it in the row.';

-- Before an order changes or goes, its row keeps what was placed. A row that a claim holds at this very moment is passed
-- over: its snapshot shows the order as it was, and it stores that.
create function omnisend_private.order_kept() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update public.integrations_omnisend_outbox o
  set payload = to_jsonb(old)
  where o.id = (
    select w.id from public.integrations_omnisend_outbox w
    where w.merchant_id = old.merchant_id and w.kind = 'event' and w.name = 'order_placed'
      and w.dedup_key = old.id::text and w.state = 'pending' and w.payload is null
    for no key update skip locked
  );
  return null;
end
$$;

-- Of any column: a corrected address or a note is not what was placed.
create trigger integrations_omnisend_order_kept
  after update or delete on public.orders
  for each row execute function omnisend_private.order_kept();

revoke execute on function omnisend_private.placed_order(bigint), omnisend_private.order_kept()
  from public, anon, authenticated, service_role, omnisend_worker;
grant execute on function omnisend_private.placed_order(bigint) to omnisend_worker;
