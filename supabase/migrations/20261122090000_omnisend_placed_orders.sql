-- A checkout writes its row without the order in it: what was placed stands in `orders`, and a copy in every row was
-- the dearest part of the trigger (81,000 of its 269,000 instructions, and most of what it wrote to the write-ahead log).
--
-- The worker reads the order when it claims the row. An order that changes or goes while its row waits, or is dead, leaves
-- what was placed in `kept_orders`, in the transaction that changes it. So under every snapshot there is either the order as
-- it was placed or the copy of it, every attempt sends the same bytes, and neither side ever waits for the other: an
-- order's transaction locks no row of the outbox.

set local lock_timeout = '4s';

-- The same unique key with its columns in another order: after the merchant comes what differs from row to row, so an
-- insert compares two columns at each step down the tree and not four (10,000 instructions). Builds an index: on an
-- outbox of millions of rows, run this at a quiet hour.
alter table public.integrations_omnisend_outbox
  drop constraint integrations_omnisend_outbox_occurrence_key,
  add constraint integrations_omnisend_outbox_occurrence_key unique (merchant_id, dedup_key, name, kind);

comment on column public.integrations_omnisend_outbox.payload is
  'What happened, in SOLDT''s words. Emptied when the row is delivered, skipped or expired. Null of an order_placed: that is read from public.orders, or from kept_orders where the order changed since.';

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

create table omnisend_private.kept_orders (
  outbox_id bigint primary key,
  payload jsonb not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
comment on table omnisend_private.kept_orders is
  'Orders as they were placed, of order_placed rows that are not settled and whose order changed or went since. Settling removes the copy; what a change left just after, workers do within half a minute.';
-- No foreign key: checking it would lock the outbox's row. The worker may remove copies, by id, and not read them.

-- The order that a row without payload stands for, under the caller's snapshot; null for any other row. The worker reads
-- an order by a row that is to tell it, and no other.
create function omnisend_private.placed_order(p_outbox_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_merchant_id uuid;
  v_order_id public.orders.id%type;
  v_kept jsonb;
begin
  select o.merchant_id, o.dedup_key, k.payload into v_merchant_id, v_order_id, v_kept
  from public.integrations_omnisend_outbox o
  left join omnisend_private.kept_orders k on k.outbox_id = o.id
  where o.id = p_outbox_id and o.state in ('pending', 'dead')
    and o.payload is null and o.kind = 'event' and o.name = 'order_placed';
  return coalesce(v_kept, (select to_jsonb(r) from public.orders r where r.id = v_order_id and r.merchant_id = v_merchant_id));
end
$$;

create function omnisend_private.order_kept() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into omnisend_private.kept_orders (outbox_id, payload)
  select o.id, to_jsonb(old)
  from public.integrations_omnisend_outbox o
  where o.merchant_id = old.merchant_id and o.dedup_key = old.id::text and o.name = 'order_placed' and o.kind = 'event'
    and o.state in ('pending', 'dead') and o.payload is null
  on conflict do nothing;  -- kept since an earlier change
  return null;
end
$$;

-- Of any column: a corrected address or a note is not what was placed.
create trigger integrations_omnisend_order_kept
  after update or delete on public.orders
  for each row execute function omnisend_private.order_kept();

-- Removes what no row is to tell any more, a bounded number at a time; how many.
create function omnisend_private.forget_kept_orders(p_limit int) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_count bigint;
begin
  delete from omnisend_private.kept_orders
  where outbox_id = any (array(
    select k.outbox_id
    from omnisend_private.kept_orders k
    where not exists (
      select from public.integrations_omnisend_outbox o where o.id = k.outbox_id and o.state in ('pending', 'dead')
    )
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

revoke all on omnisend_private.kept_orders from public, anon, authenticated, service_role, omnisend_worker;
grant select (outbox_id), delete on omnisend_private.kept_orders to omnisend_worker;
revoke execute on function
  omnisend_private.placed_order(bigint), omnisend_private.order_kept(), omnisend_private.forget_kept_orders(int)
  from public, anon, authenticated, service_role, omnisend_worker;
grant execute on function omnisend_private.placed_order(bigint), omnisend_private.forget_kept_orders(int) to omnisend_worker;
