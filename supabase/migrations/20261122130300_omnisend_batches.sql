-- Full refreshes and history: a sync writes rows of kind batch, chunk by chunk; workers send them within the merchant's budget and
-- after its live events. And what surrounds it: what Omnisend confirmed, and how far its unsubscribes have been read.

set local lock_timeout = '4s';

-- Syncs ----------------------------------------------------------------------------------------------------------------

create table public.integrations_omnisend_syncs (
  id bigint generated always as identity primary key,
  merchant_id uuid not null,
  resource text collate "C" not null,
  mode text collate "C" not null,
  since timestamptz,
  state text collate "C" not null default 'writing',
  cursor text collate "C" not null default '',
  chunk_size int not null,
  chunks int not null default 0,
  items bigint not null default 0,
  items_sent bigint not null default 0,
  items_unchanged bigint not null default 0,
  items_skipped bigint not null default 0,
  items_rejected bigint not null default 0,
  items_put_back bigint not null default 0,
  requested_by uuid,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint integrations_omnisend_syncs_resource_check check (resource in ('products', 'categories', 'contacts', 'orders')),
  constraint integrations_omnisend_syncs_mode_check check (mode in ('delta', 'full')),
  constraint integrations_omnisend_syncs_state_check check (state in ('writing', 'running', 'finished', 'canceled')),
  constraint integrations_omnisend_syncs_chunk_size_check check (chunk_size between 1 and 1000)
) with (fillfactor = 70);
-- No foreign key to merchants, as for the outbox: omnisend_private.syncs_deleted cleans up.

create unique index integrations_omnisend_syncs_unfinished_key
  on public.integrations_omnisend_syncs (merchant_id, resource) where state in ('writing', 'running');
create index integrations_omnisend_syncs_merchant_idx on public.integrations_omnisend_syncs (merchant_id, id desc);

comment on table public.integrations_omnisend_syncs is
  'Full refreshes and imports of history (`soldt-outbox resync`, `backfill`): how far each is. One unfinished at a time for a merchant and resource.';
comment on column public.integrations_omnisend_syncs.mode is
  'delta: what Omnisend confirmed as it is now is left out; full: everything is sent, and what is gone from the shop is deleted.';
comment on column public.integrations_omnisend_syncs.since is 'Of orders: those placed since.';
comment on column public.integrations_omnisend_syncs.state is
  'writing: rows for more items are to be written; running: all are written and some wait; finished; canceled.';
comment on column public.integrations_omnisend_syncs.cursor is 'The last item for which a row was written, in the order of sync_ids().';
comment on column public.integrations_omnisend_syncs.items is 'Items for which rows were written. Of orders an item is an event: an order has up to five.';
comment on column public.integrations_omnisend_syncs.items_sent is 'Items that Omnisend confirmed, and categories that it had and that were handed on as a change of their own.';
comment on column public.integrations_omnisend_syncs.items_unchanged is 'Items left out because Omnisend has them as they are.';
comment on column public.integrations_omnisend_syncs.items_skipped is 'Items with nothing to send: gone since, or without an address.';
comment on column public.integrations_omnisend_syncs.items_put_back is 'How often an item was sent again, since Omnisend failed at it or it changed meanwhile.';

-- What Omnisend confirmed by batch, so that a delta leaves it out, and so that what the shop no longer has can be deleted there. Events
-- need no entry: for them the outbox is the ledger.
create table omnisend_private.told_items (
  merchant_id uuid not null,
  resource text collate "C" not null,
  item_id text collate "C" not null,
  digest bytea not null,
  primary key (merchant_id, resource, item_id)
) with (fillfactor = 90);
comment on table omnisend_private.told_items is
  'Products, categories and contacts as Omnisend last confirmed them in a batch: a digest of what was sent. A contact is known by a hash.';

create table omnisend_private.contact_watermarks (
  merchant_id uuid primary key,
  updated_from timestamptz not null
) with (fillfactor = 50);
comment on table omnisend_private.contact_watermarks is
  'From which instant on a merchant''s contacts at Omnisend are read next for people who unsubscribed there.';

create function omnisend_private.syncs_deleted() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (select from public.merchants m where m.id = old.merchant_id) then
    delete from public.integrations_omnisend_syncs where merchant_id = old.merchant_id;
    delete from omnisend_private.told_items where merchant_id = old.merchant_id;
    delete from omnisend_private.contact_watermarks where merchant_id = old.merchant_id;
  end if;
  return null;
end
$$;

create trigger integrations_omnisend_syncs_deleted
  after delete on public.integrations_omnisend
  for each row execute function omnisend_private.syncs_deleted();

-- Which items there are ------------------------------------------------------------------------------------------------

-- Items of a merchant after `p_after`, in an order that does not change while they are read. An item is named:
--   products, categories  by their id
--   orders                <order>.<place>: 1 placed, 2 paid, 3 fulfilled, 4 canceled, 5 refunded, as the order stands
--   contacts              o<order>: the customer of this order, whose newest it is; c<address>: known from a consent alone
-- A customer who orders again meanwhile may be named twice, which does no harm; none is passed over. Finding customers reads
-- the merchant's orders once for each call: an index by customer would cost each checkout more than all syncs cost.
create function omnisend_private.sync_ids(p_merchant_id uuid, p_resource text, p_after text, p_limit int, p_since timestamptz)
returns table (item_id text)
language plpgsql stable set search_path = ''
as $$
declare
  v_after bigint := coalesce(substring(p_after from '^o?([0-9]+)')::bigint, -1);
  v_place int := coalesce(nullif(split_part(p_after, '.', 2), ''), '0')::int;
begin
  case p_resource
    when 'products' then
      return query
      select p.id::text from public.products p
      where p.merchant_id = p_merchant_id and p.id > v_after
      order by p.id limit p_limit;
    when 'categories' then
      return query
      select c.id::text from public.collections c
      where c.merchant_id = p_merchant_id and c.id > v_after
      order by c.id limit p_limit;
    when 'orders' then
      return query
      select o.id || '.' || e.place
      from public.orders o
      cross join lateral (values
        (1, true), (2, o.payment_status = 'paid'), (3, o.status in ('shipped', 'delivered')),
        (4, o.status = 'cancelled'), (5, o.status = 'refunded' or o.payment_status = 'refunded')
      ) as e (place, happened)
      where o.merchant_id = p_merchant_id and o.id >= v_after and (o.id, e.place) > (v_after, v_place)
        and (p_since is null or o.created_at >= p_since) and e.happened
      order by o.id, e.place limit p_limit;
    when 'contacts' then
      return query
      select n.item_id
      from (
        (select 'o' || max(o.id) as item_id, 1 as part, max(o.id) as place
         from public.orders o
         where o.merchant_id = p_merchant_id and p_after !~ '^c'
         group by lower(btrim(o.customer_email))
         having max(o.id) > v_after
         order by max(o.id) limit p_limit)
        union all
        (select 'c' || c.identifier, 2, row_number() over (order by c.identifier)
         from (
           select distinct k.identifier
           from public.integrations_omnisend_consents k
           where k.merchant_id = p_merchant_id and (p_after !~ '^c' or k.identifier > substring(p_after from 2))
             and not exists (
               select from public.orders o where o.merchant_id = p_merchant_id and lower(btrim(o.customer_email)) = k.identifier
             )
           order by k.identifier limit p_limit
         ) c)
      ) n
      order by n.part, n.place limit p_limit;
  end case;
end
$$;

-- What the shop no longer has and Omnisend was told of: each as a change of its own, which deletes it there.
create function omnisend_private.write_removed(p_merchant_id uuid, p_resource text) returns void
language plpgsql set search_path = ''
as $$
declare
  c_kind constant public.omnisend_outbox_kind := case p_resource when 'products' then 'product' else 'category' end;
  c_field constant text := case p_resource when 'products' then 'product_id' else 'collection_id' end;
  v_gone text[];
begin
  if p_resource = 'products' then
    select array_agg(t.item_id) into v_gone
    from omnisend_private.told_items t
    where t.merchant_id = p_merchant_id and t.resource = p_resource
      and not exists (select from public.products p where p.id = t.item_id::bigint and p.merchant_id = p_merchant_id);
  else
    select array_agg(t.item_id) into v_gone
    from omnisend_private.told_items t
    where t.merchant_id = p_merchant_id and t.resource = p_resource
      and not exists (select from public.collections c where c.id = t.item_id::bigint and c.merchant_id = p_merchant_id);
  end if;
  insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, ordering_key, payload, expires_at)
  select p_merchant_id, c_kind, c_kind || '_changed', g.id || ':' || pg_current_xact_id(),
    omnisend_private.ordering_key(p_merchant_id, c_kind || ':' || g.id), jsonb_build_object(c_field, g.id), now() + interval '30 days'
  from unnest(v_gone) as g (id)
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;
  delete from omnisend_private.told_items
  where merchant_id = p_merchant_id and resource = p_resource and item_id = any (v_gone);
end
$$;

-- Write rows for up to `p_chunks` chunks and move the cursor, in one transaction: whoever is killed in between, and whoever else
-- calls it at the same time, goes on where it was. Whether more remains.
create function omnisend_private.write_sync(p_sync_id bigint, p_chunks int) returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_sync public.integrations_omnisend_syncs;
  v_ids text[];
begin
  select * into v_sync from public.integrations_omnisend_syncs where id = p_sync_id for update;
  if v_sync.state is distinct from 'writing' then
    return false;
  end if;
  if not exists (select from public.integrations_omnisend i where i.merchant_id = v_sync.merchant_id and i.status <> 'disabled') then
    update public.integrations_omnisend_syncs set state = 'canceled', finished_at = now() where id = p_sync_id;
    return false;
  end if;

  select array_agg(s.item_id order by s.place) into v_ids
  from omnisend_private.sync_ids(v_sync.merchant_id, v_sync.resource, v_sync.cursor, p_chunks * v_sync.chunk_size, v_sync.since)
    with ordinality as s (item_id, place);

  insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, payload, expires_at)
  select v_sync.merchant_id, 'batch', 'batch_submit', v_sync.id || ':' || v_sync.chunks + c.number,
    jsonb_build_object('sync', v_sync.id, 'resource', v_sync.resource,
      'ids', to_jsonb(v_ids[(c.number - 1) * v_sync.chunk_size + 1 : c.number * v_sync.chunk_size])),
    now() + omnisend_private.time_to_live('batch', 'batch_submit')
  from generate_series(1, ceil(cardinality(v_ids)::numeric / v_sync.chunk_size)::int) as c (number)
  order by c.number;

  update public.integrations_omnisend_syncs
  set cursor = coalesce(v_ids[cardinality(v_ids)], cursor),
      chunks = chunks + coalesce(ceil(cardinality(v_ids)::numeric / chunk_size)::int, 0),
      items = items + coalesce(cardinality(v_ids), 0),
      state = case when cardinality(v_ids) = p_chunks * chunk_size then 'writing' else 'running' end
  where id = p_sync_id
  returning * into v_sync;
  if v_sync.state = 'running' and v_sync.mode = 'full' and v_sync.resource in ('products', 'categories') then
    perform omnisend_private.write_removed(v_sync.merchant_id, v_sync.resource);
  end if;
  return v_sync.state = 'writing';
end
$$;

-- What the worker looks up ---------------------------------------------------------------------------------------------

-- Orders of a sync's merchant as they stand, and which of their events the ledger has. By a sync of orders or of the contacts in
-- them, and not otherwise.
create function omnisend_private.sync_orders(p_sync_id bigint, p_order_ids bigint[])
returns table (order_id bigint, payload jsonb, created_at timestamptz, updated_at timestamptz, told text[])
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select o.id::bigint, to_jsonb(o), coalesce(o.created_at, s.created_at), coalesce(o.updated_at, o.created_at, s.created_at),
    array(
      select x.name::text from public.integrations_omnisend_outbox x
      where x.merchant_id = s.merchant_id and x.dedup_key = o.id::text and x.kind = 'event'
    )
  from public.integrations_omnisend_syncs s
  join public.orders o on o.merchant_id = s.merchant_id and o.id = any (p_order_ids)
  where s.id = p_sync_id and s.resource in ('orders', 'contacts');
end
$$;

-- A person unsubscribed at Omnisend: recorded as a consent withdrawn, at their own instant, where that is news. Whether it was.
-- What cannot be recorded (an address that is none) is passed over: it must not keep the others from being.
create function omnisend_private.note_unsubscribed(p_merchant_id uuid, p_channel text, p_identifier text, p_at timestamptz) returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  -- What was withdrawn in the shop comes back from Omnisend a millisecond later, as it was told.
  if exists (
    select from omnisend_private.consent_states(array[p_merchant_id], array[p_channel],
      array[case p_channel when 'email' then lower(btrim(p_identifier)) else btrim(p_identifier) end]) s
    where s.status = 'unsubscribed' and s.since >= p_at - interval '1 second'
  ) then
    return false;
  end if;
  return omnisend_private.record_consent(
    p_merchant_id, p_channel, p_identifier, false, 'omnisend', p_at, null, null, null, 'omnisend') is not null;
exception
  when invalid_parameter_value or check_violation then return false;
end
$$;

-- Orders of the last days without an event in the ledger ----------------------------------------------------------------

-- Up to `p_limit` orders after `p_after` that lack events since their merchant was connected, and which. With `p_write` those are
-- written by what the orders' trigger writes with, at the order's own instants.
create function omnisend_private.reconcile(p_merchant_id uuid, p_since timestamptz, p_after bigint, p_limit int, p_write boolean)
returns table (order_id bigint, names text[])
language plpgsql security definer set search_path = ''
as $$
declare
  v_found record;
  v_order public.orders;
begin
  for v_found in
    select o.id, m.names
    from public.integrations_omnisend i
    join public.orders o on o.merchant_id = i.merchant_id and o.created_at >= greatest(i.created_at, p_since)
    cross join lateral (
      select array_agg(e.name order by e.place) as names
      from (values
        (1, 'order_placed', true), (2, 'order_paid', o.payment_status = 'paid'),
        (3, 'order_fulfilled', o.status in ('shipped', 'delivered')), (4, 'order_canceled', o.status = 'cancelled'),
        (5, 'order_refunded', o.status = 'refunded' or o.payment_status = 'refunded')
      ) as e (place, name, happened)
      where e.happened and not exists (
        select from public.integrations_omnisend_outbox x
        where x.merchant_id = i.merchant_id and x.dedup_key = o.id::text and x.name = e.name and x.kind = 'event'
      )
    ) m
    where i.merchant_id = p_merchant_id and i.status <> 'disabled' and o.id > p_after and m.names is not null
    order by o.id
    limit p_limit
  loop
    if p_write then
      select * into v_order from public.orders o where o.id = v_found.id;
      perform omnisend_private.write_order_events(v_order, v_found.names);
      update public.integrations_omnisend_outbox x
      set occurred_at = coalesce(case x.name when 'order_placed' then v_order.created_at else v_order.updated_at end, x.occurred_at)
      where x.merchant_id = p_merchant_id and x.dedup_key = v_order.id::text and x.kind = 'event' and x.name = any (v_found.names)
        and x.created_at = now();
    end if;
    order_id := v_found.id;
    names := v_found.names;
    return next;
  end loop;
end
$$;

-- Who may do what ------------------------------------------------------------------------------------------------------

alter table public.integrations_omnisend_syncs enable row level security;
revoke all on public.integrations_omnisend_syncs, omnisend_private.told_items, omnisend_private.contact_watermarks
  from public, anon, authenticated, service_role, omnisend_worker;
revoke all on sequence public.integrations_omnisend_syncs_id_seq from public, anon, authenticated, service_role, omnisend_worker;

grant select on public.integrations_omnisend_syncs to authenticated, service_role;
grant select, insert, update on public.integrations_omnisend_syncs to omnisend_worker;
grant select, insert, update, delete on omnisend_private.told_items, omnisend_private.contact_watermarks to omnisend_worker;

create policy integrations_omnisend_syncs_worker on public.integrations_omnisend_syncs
  for all to omnisend_worker using (true) with check (true);
create policy integrations_omnisend_syncs_admin on public.integrations_omnisend_syncs
  for select to authenticated using (merchant_id = any (array(select omnisend_private.administered_merchants())));

revoke execute on function
  omnisend_private.syncs_deleted(), omnisend_private.sync_ids(uuid, text, text, int, timestamptz),
  omnisend_private.write_removed(uuid, text), omnisend_private.write_sync(bigint, int),
  omnisend_private.sync_orders(bigint, bigint[]), omnisend_private.note_unsubscribed(uuid, text, text, timestamptz),
  omnisend_private.reconcile(uuid, timestamptz, bigint, int, boolean)
  from public, anon, authenticated, service_role, omnisend_worker;
grant execute on function
  omnisend_private.write_sync(bigint, int), omnisend_private.sync_orders(bigint, bigint[]),
  omnisend_private.note_unsubscribed(uuid, text, text, timestamptz),
  omnisend_private.reconcile(uuid, timestamptz, bigint, int, boolean)
  to omnisend_worker;
