-- The catalogue: a product or a collection that changes writes a row, in the transaction that changes it, for merchants
-- with sync_catalogue. The row says which one changed; the worker reads its state after it took the row. So what waits
-- for hours leaves with the last state, and a product that is gone by then is deleted at Omnisend, whatever happened
-- to it before.
--
-- One row for many changes. A pending row stands for every change that commits before a worker takes it. So a change writes
-- no row of its own where it can make sure that a pending one will not be taken before it has committed: it locks that row
-- `for share skip locked`. The claim takes rows `for no key update skip locked`, which a share lock excludes, and passes
-- over the row until this transaction is over. Whoever takes it then reads under a later snapshot, and sees the change.
-- The races:
--   * The claim was first and has not committed: its lock makes `skip locked` find nothing, and a row is written.
--   * The claim committed after this statement's snapshot was taken: the lock follows the row to its newest version, where
--     lease_token is set. The row does not qualify, and another is written.
--   * The lease ran out: whoever held it may still be sending an old state, and settle the row as delivered. So a row
--     counts only where lease_token is null, whatever lease_until says: one never taken, handed back, to be retried, or
--     set aside.
--   * Two transactions share the row: share locks do not exclude each other. The row waits for the later one.
--   * The transaction, or a savepoint in it, is rolled back: the lock goes with it, and so does the change.
--   * A row written beside one that is leased has the same ordering key: it is taken after the other is settled, and after
--     this commit, since nobody sees it before.
-- Nobody waits: locks are taken `skip locked`, and a row's dedup key has the transaction's own id in it, so no other
-- transaction inserts the same one.
--
-- Under REPEATABLE READ and SERIALIZABLE the share lock of a row that changed since the snapshot fails with 40001, skip
-- locked or not, and would abort the shop's transaction. There a row is always written, one for each product and
-- transaction. `on conflict` then finds at most this transaction's own row, which is no serialization failure.
--
-- Triggers are for each statement, with transition tables: an import of 50,000 products is one insert of ours and one look
-- at the connection. Their queries join no transition tables: a session keeps its plans, and one that was made for a single
-- row would compare each of 50,000 with all others.

set local lock_timeout = '4s';

-- What Omnisend is told ----------------------------------------------------------------------------------------------------

-- These say what the worker is given and also which changes are worth a row: there is nothing in them that is not sent.
-- Fields are taken from the row as JSON, so a column that a shop's database lacks is null, and no column that is dropped or
-- retyped breaks a shop's update. soldt_outbox.catalogue reads them.

-- Whether a stock is used up; null where none is kept. An order that takes a shirt from five to four changes nothing here.
create function omnisend_private.sold_out(p_stock jsonb) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return case when jsonb_typeof(p_stock) = 'number' then (p_stock #>> '{}')::numeric <= 0 end;
end
$$;

-- The same of a row before and after where no more than a stock and updated_at changed, and the stock was not used up by
-- it. That is what an order does: the trigger costs it 28 microseconds so, and 48 where it compares all facts at once
-- (PostgreSQL 17; the update itself takes 17).
create function omnisend_private.fingerprint(p_row jsonb, p_stock text) returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  return hashtextextended(
    (p_row - array[p_stock, 'updated_at'])::text || coalesce(omnisend_private.sold_out(p_row -> p_stock), false)::text, 0);
end
$$;

-- Without updated_at, which is sent and changes with every counter.
create function omnisend_private.product_facts(p_product jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'title', p_product -> 'title', 'description', p_product -> 'description', 'price', p_product -> 'price',
    'compare_at_price', p_product -> 'compare_at_price', 'compareAtPrice', p_product -> 'compareAtPrice',
    'old_price', p_product -> 'old_price', 'category', p_product -> 'category', 'vendor', p_product -> 'vendor',
    'tags', p_product -> 'tags', 'images', p_product -> 'images',
    'status', case when p_product ? 'status' then p_product -> 'status' else '"active"' end,
    'visibility', p_product -> 'visibility', 'is_visible', p_product -> 'is_visible',
    'created_at', p_product -> 'created_at',
    'sold_out', omnisend_private.sold_out(p_product -> 'inventory')
  );
end
$$;

-- Of an inactive variant that it is inactive, and no more.
create function omnisend_private.variant_facts(p_variant jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return case when p_variant ->> 'is_active' = 'false' then jsonb '{"is_active": false}'
    else jsonb_build_object(
      'is_active', true, 'option_values', p_variant -> 'option_values', 'price', p_variant -> 'price',
      'compare_at_price', p_variant -> 'compare_at_price', 'compareAtPrice', p_variant -> 'compareAtPrice',
      'old_price', p_variant -> 'old_price', 'sku', p_variant -> 'sku', 'image_url', p_variant -> 'image_url',
      'sold_out', omnisend_private.sold_out(p_variant -> 'stock_quantity')
    )
  end;
end
$$;

-- Looked up by the worker --------------------------------------------------------------------------------------------------

-- A shop's database may have no variants or no collections. Bodies are not checked when they are made.
create function omnisend_private.product_variants(p_product_id bigint) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  if to_regclass('public.product_variants') is null then
    return null;
  end if;
  return (
    select jsonb_agg(jsonb_build_object('id', v.id) || omnisend_private.variant_facts(to_jsonb(v)) order by v.id)
    from public.product_variants v where v.product_id = p_product_id
  );
end
$$;

create function omnisend_private.product_collections(p_merchant_id uuid, p_product_id bigint) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  if to_regclass('public.collections') is null or to_regclass('public.collection_products') is null then
    return null;
  end if;
  return (
    select jsonb_agg(c.id order by c.id)
    from public.collection_products cp join public.collections c on c.id = cp.collection_id
    where cp.product_id = p_product_id and c.merchant_id = p_merchant_id
  );
end
$$;

-- By (merchant, product) pairs. A pair that is not returned does not exist: the product is gone, or another merchant's.
-- Fails where there is no table of products, since that says nothing about any product.
create function omnisend_private.shop_products(p_merchant_ids uuid[], p_product_ids bigint[])
returns table (merchant_id uuid, product_id bigint, product jsonb, variants jsonb, collections jsonb)
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select p.merchant_id, p.id::bigint,
    omnisend_private.product_facts(to_jsonb(p)) || jsonb_build_object('updated_at', to_jsonb(p) -> 'updated_at'),
    omnisend_private.product_variants(p.id::bigint), omnisend_private.product_collections(p.merchant_id, p.id::bigint)
  from (
    select distinct w.merchant_id, w.product_id from unnest(p_merchant_ids, p_product_ids) as w (merchant_id, product_id)
  ) wanted
  join public.products p on p.id = wanted.product_id and p.merchant_id = wanted.merchant_id;
end
$$;

create function omnisend_private.shop_collections(p_merchant_ids uuid[], p_collection_ids bigint[])
returns table (merchant_id uuid, collection_id bigint, name jsonb)
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select c.merchant_id, c.id::bigint, to_jsonb(c) -> 'name'
  from (
    select distinct w.merchant_id, w.collection_id
    from unnest(p_merchant_ids, p_collection_ids) as w (merchant_id, collection_id)
  ) wanted
  join public.collections c on c.id = wanted.collection_id and c.merchant_id = wanted.merchant_id;
end
$$;

-- Written by the shop's transactions ---------------------------------------------------------------------------------------

-- A row for each product or collection that has none which will do. One that has less than half of its time left will
-- not do: it may expire while its merchant is paused, and the change with it.
create function omnisend_private.write_catalogue_changes(
  p_kind public.omnisend_outbox_kind, p_merchant_ids uuid[], p_ids text[]
) returns void
language plpgsql set search_path = ''
as $$
declare
  c_name constant text := p_kind || '_changed';
  c_field constant text := case p_kind when 'product' then 'product_id' else 'collection_id' end;
  c_lives constant interval := omnisend_private.time_to_live(p_kind::text, c_name);
  c_may_share constant boolean := current_setting('transaction_isolation') in ('read committed', 'read uncommitted');
  v_synced uuid[];
begin
  if p_ids is null then
    return;
  end if;
  select array_agg(m.merchant_id) into v_synced
  from (select distinct u.merchant_id from unnest(p_merchant_ids) as u (merchant_id)) m
  cross join lateral (
    select from public.integrations_omnisend i
    where i.merchant_id = m.merchant_id and i.sync_catalogue and i.status <> 'disabled'
    limit 1
  ) i;
  if v_synced is null then
    return;
  end if;

  insert into public.integrations_omnisend_outbox (merchant_id, kind, name, dedup_key, ordering_key, payload, expires_at)
  select c.merchant_id, p_kind, c_name, c.id || ':' || pg_current_xact_id(), k.ordering_key,
    jsonb_build_object(c_field, c.id), now() + c_lives
  from unnest(p_merchant_ids, p_ids) as c (merchant_id, id)
  cross join lateral (
    select omnisend_private.ordering_key(c.merchant_id, p_kind || ':' || c.id) as ordering_key
    offset 0  -- computed once
  ) k
  left join lateral (
    select o.id
    from public.integrations_omnisend_outbox o
    where c_may_share and o.ordering_key = k.ordering_key and o.state = 'pending' and o.lease_token is null
      and o.expires_at > now() + c_lives / 2
      -- Not with `=`: other indexes begin with the merchant, and a plan that used one would read all that waits for it.
      and o.merchant_id is not distinct from c.merchant_id and o.kind is not distinct from p_kind
      and o.name = c_name and o.payload ->> c_field = c.id
    limit 1
    for share skip locked
  ) waiting on true
  where c.merchant_id = any (v_synced) and waiting.id is null
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing;
end
$$;

create function omnisend_private.products_changed() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_merchant_ids uuid[];
  v_ids text[];
begin
  if tg_op = 'INSERT' then
    select array_agg(n.merchant_id), array_agg(n.id::text) into v_merchant_ids, v_ids from new_rows n;
  elsif tg_op = 'DELETE' then
    select array_agg(o.merchant_id), array_agg(o.id::text) into v_merchant_ids, v_ids from old_rows o;
  else
    perform
    from (
      select o.merchant_id, o.id, omnisend_private.fingerprint(to_jsonb(o), 'inventory') as print from old_rows o
      union all
      select n.merchant_id, n.id, omnisend_private.fingerprint(to_jsonb(n), 'inventory') from new_rows n
    ) v
    group by v.merchant_id, v.id
    having count(*) = 1 or min(v.print) <> max(v.print)
    limit 1;
    if not found then
      return null;
    end if;
    -- What is told before and after; with one of the two alone, the product changed its merchant or its id.
    select array_agg(c.merchant_id), array_agg(c.id::text) into v_merchant_ids, v_ids
    from (
      select v.merchant_id, v.id
      from (
        select o.merchant_id, o.id, hashtextextended(omnisend_private.product_facts(to_jsonb(o))::text, 0) as facts
        from old_rows o
        union all
        select n.merchant_id, n.id, hashtextextended(omnisend_private.product_facts(to_jsonb(n))::text, 0)
        from new_rows n
      ) v
      group by v.merchant_id, v.id
      having count(*) = 1 or min(v.facts) <> max(v.facts)
    ) c;
  end if;
  perform omnisend_private.write_catalogue_changes('product', v_merchant_ids, v_ids);
  return null;
end
$$;

-- The products of variants and of collections' contents. A product that is gone with them says so itself.
create function omnisend_private.write_parts_changes(p_product_ids bigint[]) returns void
language plpgsql set search_path = ''
as $$
declare
  v_merchant_ids uuid[];
  v_ids text[];
begin
  if p_product_ids is null then
    return;
  end if;
  select array_agg(p.merchant_id), array_agg(c.id::text) into v_merchant_ids, v_ids
  from (select distinct u.id from unnest(p_product_ids) as u (id)) c
  cross join lateral (select p.merchant_id from public.products p where p.id = c.id limit 1) p;
  perform omnisend_private.write_catalogue_changes('product', v_merchant_ids, v_ids);
end
$$;

create function omnisend_private.product_variants_changed() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_product_ids bigint[];
begin
  if tg_op = 'INSERT' then
    select array_agg(n.product_id) into v_product_ids from new_rows n;
  elsif tg_op = 'DELETE' then
    select array_agg(o.product_id) into v_product_ids from old_rows o;
  else
    perform
    from (
      select o.product_id, o.id, omnisend_private.fingerprint(to_jsonb(o), 'stock_quantity') as print from old_rows o
      union all
      select n.product_id, n.id, omnisend_private.fingerprint(to_jsonb(n), 'stock_quantity') from new_rows n
    ) v
    group by v.product_id, v.id
    having count(*) = 1 or min(v.print) <> max(v.print)
    limit 1;
    if not found then
      return null;
    end if;
    select array_agg(c.product_id) into v_product_ids
    from (
      select v.product_id
      from (
        select o.product_id, o.id, hashtextextended(omnisend_private.variant_facts(to_jsonb(o))::text, 0) as facts
        from old_rows o
        union all
        select n.product_id, n.id, hashtextextended(omnisend_private.variant_facts(to_jsonb(n))::text, 0)
        from new_rows n
      ) v
      group by v.product_id, v.id
      having count(*) = 1 or min(v.facts) <> max(v.facts)
    ) c;
  end if;
  perform omnisend_private.write_parts_changes(v_product_ids);
  return null;
end
$$;

create function omnisend_private.collection_products_changed() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_product_ids bigint[];
begin
  if tg_op = 'INSERT' then
    select array_agg(n.product_id) into v_product_ids from new_rows n;
  elsif tg_op = 'DELETE' then
    select array_agg(o.product_id) into v_product_ids from old_rows o;
  else
    -- Of a pair that stays, nothing is sent: a product's place in its collection may change.
    select array_agg(c.product_id) into v_product_ids
    from (
      select v.product_id
      from (
        select o.product_id, o.collection_id from old_rows o
        union all
        select n.product_id, n.collection_id from new_rows n
      ) v
      group by v.product_id, v.collection_id
      having count(*) = 1
    ) c;
  end if;
  perform omnisend_private.write_parts_changes(v_product_ids);
  return null;
end
$$;

create function omnisend_private.collections_changed() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_merchant_ids uuid[];
  v_ids text[];
begin
  if tg_op = 'INSERT' then
    select array_agg(n.merchant_id), array_agg(n.id::text) into v_merchant_ids, v_ids from new_rows n;
  elsif tg_op = 'DELETE' then
    select array_agg(o.merchant_id), array_agg(o.id::text) into v_merchant_ids, v_ids from old_rows o;
  else
    select array_agg(c.merchant_id), array_agg(c.id::text) into v_merchant_ids, v_ids
    from (
      select v.merchant_id, v.id
      from (
        select o.merchant_id, o.id, to_jsonb(o) ->> 'name' as name from old_rows o
        union all
        select n.merchant_id, n.id, to_jsonb(n) ->> 'name' from new_rows n
      ) v
      group by v.merchant_id, v.id
      having count(*) = 1 or count(distinct coalesce(v.name, '')) > 1
    ) c;
  end if;
  perform omnisend_private.write_catalogue_changes('category', v_merchant_ids, v_ids);
  return null;
end
$$;

-- Makes the triggers on those of SOLDT's tables that exist. Where one comes later, its owner calls this again. Variants, and
-- what is in a collection, belong to a merchant by way of their product.
create function omnisend_private.watch_catalogue() returns void
language plpgsql set search_path = ''
as $$
declare
  v_new record;
begin
  for v_new in
    select t.name, e.event, e.done, e.rows
    from unnest(array['products', 'product_variants', 'collections', 'collection_products']) as t (name)
    cross join (values
      ('insert', 'inserted', 'new table as new_rows'),
      ('update', 'updated', 'old table as old_rows new table as new_rows'),
      ('delete', 'deleted', 'old table as old_rows')
    ) as e (event, done, rows)
    where exists (
        select from pg_catalog.pg_class c where c.oid = to_regclass('public.' || t.name) and c.relkind in ('r', 'p')
      )
      and (t.name = 'collections' or to_regclass('public.products') is not null)
  loop
    execute format(
      'create or replace trigger %I after %s on public.%I referencing %s for each statement '
      'execute function omnisend_private.%I()',
      'integrations_omnisend_' || v_new.name || '_' || v_new.done, v_new.event, v_new.name, v_new.rows,
      v_new.name || '_changed');
  end loop;
end
$$;
select omnisend_private.watch_catalogue();

revoke execute on function
  omnisend_private.sold_out(jsonb), omnisend_private.fingerprint(jsonb, text),
  omnisend_private.product_facts(jsonb), omnisend_private.variant_facts(jsonb),
  omnisend_private.product_variants(bigint), omnisend_private.product_collections(uuid, bigint),
  omnisend_private.shop_products(uuid[], bigint[]), omnisend_private.shop_collections(uuid[], bigint[]),
  omnisend_private.write_catalogue_changes(public.omnisend_outbox_kind, uuid[], text[]),
  omnisend_private.write_parts_changes(bigint[]), omnisend_private.products_changed(), omnisend_private.product_variants_changed(),
  omnisend_private.collection_products_changed(), omnisend_private.collections_changed(), omnisend_private.watch_catalogue()
  from public, anon, authenticated, service_role, omnisend_worker;
grant execute on function
  omnisend_private.shop_products(uuid[], bigint[]), omnisend_private.shop_collections(uuid[], bigint[])
  to omnisend_worker;
