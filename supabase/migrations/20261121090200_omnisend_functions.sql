-- Writing rows, putting dead ones back, and what the worker may know of SOLDT's tables.

set local lock_timeout = '4s';

-- Who is an admin of a merchant: its owner, or a member in merchant_users. SOLDT may replace this one function
-- (create or replace), and every policy and function here follows.
create function omnisend_private.administered_merchants() returns setof uuid
language sql stable security definer set search_path = ''
as $$
  select m.id from public.merchants m where m.owner_id = (select auth.uid())
  union
  select u.merchant_id from public.merchant_users u where u.user_id = (select auth.uid())
$$;
comment on function omnisend_private.administered_merchants() is
  'The merchants whose admin the caller is. SOLDT may replace it: policies and omnisend_retry() follow.';

-- Whose events must stay in order. A hash, so that neither an index nor a ledger row holds an e-mail address;
-- seeded with the merchant, so that one person at two shops is not the same value twice. Every checkout computes it:
-- a hash of PostgreSQL's own needs no conversion that could fail and costs 4 % less of the trigger than sha256 (11,000
-- of 297,000 instructions). Two customers of one shop with the same 64 bits would merely wait for each other.
create function omnisend_private.ordering_key(p_merchant_id uuid, p_customer text) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return to_hex(hashtextextended(lower(btrim(p_customer)), uuid_hash_extended(p_merchant_id, 0)));
end
$$;
comment on function omnisend_private.ordering_key(uuid, text) is
  'The ordering key of a customer (e-mail, else phone, else Omnisend contact id, else cart) of a merchant; null for null.';

-- The customer in a payload, in any of the shapes that are written: an order row, or {contact, properties}.
-- Of a phone the last nine digits count: 082 123 4567 and +27 82 123 4567 are one person.
create function omnisend_private.customer_of(p_payload jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return coalesce(
    nullif(btrim(p_payload ->> 'customer_email'), ''),
    nullif(btrim(p_payload -> 'contact' ->> 'email'), ''),
    nullif(right(regexp_replace(coalesce(p_payload ->> 'customer_phone', p_payload -> 'contact' ->> 'phone', ''), '\D', '', 'g'), 9), ''),
    nullif(btrim(p_payload -> 'contact' ->> 'id'), ''),
    nullif(btrim(p_payload -> 'properties' ->> 'cartID'), '')
  );
end
$$;

-- SOLDT's browsers call some events by other names; the outbox knows each by one.
create function omnisend_private.canonical_name(p_name text) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case p_name
    when 'added_to_cart' then 'product_added_to_cart'
    when 'add_to_cart' then 'product_added_to_cart'
    when 'added_product_to_cart' then 'product_added_to_cart'
    when 'started_checkout' then 'checkout_started'
    when 'placed_order' then 'order_placed'
    when 'paid_for_order' then 'order_paid'
    when 'viewed_product' then 'product_viewed'
    else p_name
  end;
end
$$;

-- How long an event is worth telling. An "added to cart" that arrives two days late mails someone who has bought since.
create function omnisend_private.time_to_live(p_kind text, p_name text) returns interval
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_kind <> 'event' then interval '30 days'
    when p_name = 'product_viewed' then interval '6 hours'
    when p_name in ('product_added_to_cart', 'checkout_started') then interval '12 hours'
    when p_name in ('order_placed', 'order_paid', 'order_fulfilled', 'order_canceled', 'order_refunded') then interval '14 days'
    else interval '3 days'
  end;
end
$$;

-- One part of a dedup key: lower-cased, what is outside a-z0-9._- replaced by _ (the rule of SOLDT's present ids).
-- Under "C" lower() knows ASCII alone: the same in every database, whatever its locale, and in soldt_outbox.events.
create function omnisend_private.dedup_part(p_value text) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return nullif(regexp_replace(lower(btrim(p_value) collate "C"), '[^a-z0-9._-]', '_', 'g'), '');
end
$$;

-- The same of a value in a payload: of text or a number; anything else names nothing.
create function omnisend_private.dedup_part(p_value jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case when jsonb_typeof(p_value) in ('string', 'number') then omnisend_private.dedup_part(p_value #>> '{}') end;
end
$$;

-- The dedup key where the caller names none: SOLDT's present rules, and where the payload lacks what they need,
-- a hash of the payload and its instant. soldt_outbox.events has the same rules; a test compares them.
create function omnisend_private.default_dedup_key(p_name text, p_payload jsonb, p_occurred_at timestamptz) returns text
language plpgsql stable set search_path = ''
as $$
declare
  c_null constant jsonb := 'null';
  v_properties jsonb := coalesce(p_payload -> 'properties', p_payload);
  v_item jsonb := case
    when jsonb_typeof(v_properties -> 'addedItem') = 'object' then v_properties -> 'addedItem'
    when jsonb_typeof(v_properties -> 'lineItems') = 'array' and jsonb_typeof(v_properties #> '{lineItems,-1}') = 'object'
      then v_properties #> '{lineItems,-1}'
    else v_properties
  end;
  v_cart text := omnisend_private.dedup_part(v_properties -> 'cartID');
  v_product text := omnisend_private.dedup_part(
    coalesce(nullif(v_item -> 'productID', c_null), v_properties -> 'product' -> 'id'));
  v_quantity text := omnisend_private.dedup_part(
    coalesce(nullif(v_item -> 'productQuantity', c_null), nullif(v_item -> 'quantity', c_null), '1'));
  v_session text := omnisend_private.dedup_part(
    coalesce(nullif(v_properties -> 'sessionID', c_null), p_payload -> 'sessionID'));
  v_order text := omnisend_private.dedup_part(
    coalesce(nullif(p_payload -> 'id', c_null), v_properties -> 'orderID'));
  v_key text;
begin
  v_key := case p_name
    when 'checkout_started' then v_cart
    when 'product_added_to_cart' then v_cart || ':' || v_product || ':' || v_quantity
    when 'product_viewed' then v_session || ':' || v_product
    when 'order_placed' then v_order
    when 'order_paid' then v_order
    when 'order_fulfilled' then v_order
    when 'order_canceled' then v_order
    when 'order_refunded' then v_order
  end;
  if v_key is null or length(v_key) > 400 then
    v_key := 'sha256:' || encode(sha256(convert_to(p_payload::text || extract(epoch from p_occurred_at)::text, 'UTF8')), 'hex');
  end if;
  return v_key;
end
$$;

create function omnisend_private.enqueue(
  p_merchant_id uuid, p_name text, p_payload jsonb, p_dedup_key text, p_occurred_at timestamptz, p_ordering_key text, p_kind text
) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_id bigint;
  v_name text := omnisend_private.canonical_name(btrim(p_name));
  v_occurred_at timestamptz := least(coalesce(p_occurred_at, now()), now());  -- nothing happens in the future
begin
  if p_merchant_id is null then
    raise exception 'p_merchant_id is null: an event belongs to a merchant' using errcode = 'invalid_parameter_value';
  elsif v_name is null or length(v_name) not between 1 and 100 then
    raise exception 'p_name must have 1 to 100 characters' using errcode = 'invalid_parameter_value';
  elsif p_payload is null or jsonb_typeof(p_payload) <> 'object' then
    raise exception 'p_payload must be a JSON object' using errcode = 'invalid_parameter_value';
  elsif pg_column_size(p_payload) > 1048576 then
    raise exception 'p_payload has % bytes; at most 1048576 are taken', pg_column_size(p_payload)
      using errcode = 'invalid_parameter_value';
  elsif length(p_dedup_key) not between 1 and 400 then
    raise exception 'p_dedup_key must have 1 to 400 characters' using errcode = 'invalid_parameter_value';
  elsif p_kind is null or p_kind not in ('event', 'contact', 'product', 'category') then
    raise exception 'p_kind must be event, contact, product or category' using errcode = 'invalid_parameter_value';
  elsif not isfinite(v_occurred_at) then
    raise exception 'p_occurred_at must be an instant' using errcode = 'invalid_parameter_value';
  end if;

  insert into public.integrations_omnisend_outbox
    (merchant_id, kind, name, dedup_key, ordering_key, payload, occurred_at, expires_at)
  select
    i.merchant_id, p_kind::public.omnisend_outbox_kind, v_name,
    coalesce(p_dedup_key, omnisend_private.default_dedup_key(v_name, p_payload, v_occurred_at)),
    omnisend_private.ordering_key(i.merchant_id, coalesce(p_ordering_key, omnisend_private.customer_of(p_payload))),
    p_payload, v_occurred_at, v_occurred_at + omnisend_private.time_to_live(p_kind, v_name)
  from public.integrations_omnisend i
  where i.merchant_id = p_merchant_id and i.status <> 'disabled'
  on conflict on constraint integrations_omnisend_outbox_occurrence_key do nothing
  returning id into v_id;
  return v_id;
end
$$;

-- The public face: runs as its caller, so that no function the API exposes runs with more rights than that.
create function public.omnisend_enqueue(
  p_merchant_id uuid, p_name text, p_payload jsonb, p_dedup_key text default null,
  p_occurred_at timestamptz default now(), p_ordering_key text default null, p_kind text default 'event'
) returns bigint
language plpgsql set search_path = ''
as $$
begin
  return omnisend_private.enqueue(p_merchant_id, p_name, p_payload, p_dedup_key, p_occurred_at, p_ordering_key, p_kind);
end
$$;
comment on function public.omnisend_enqueue(uuid, text, jsonb, text, timestamptz, text, text) is
  'Writes one outbox row in the caller''s transaction. Returns its id, or null when the occurrence is already there or the merchant is not connected. For service_role.';

create function omnisend_private.retry(p_outbox_ids bigint[]) returns bigint
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
    and o.merchant_id in (select omnisend_private.administered_merchants());
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

create function public.omnisend_retry(p_outbox_ids bigint[]) returns bigint
language plpgsql set search_path = ''
as $$
begin
  return omnisend_private.retry(p_outbox_ids);
end
$$;
comment on function public.omnisend_retry(bigint[]) is
  'An admin puts dead rows of their own merchants back, with fresh attempts. Returns how many; rows past their expiry, of others, or not dead are left alone.';

-- Personal data of a merchant that is gone goes too. The connection alone being deleted keeps the ledger.
create function omnisend_private.merchant_deleted() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (select from public.merchants m where m.id = old.merchant_id) then
    delete from public.integrations_omnisend_outbox where merchant_id = old.merchant_id;
    delete from public.integrations_omnisend_logs where merchant_id = old.merchant_id;
    delete from public.integrations_omnisend_lanes where merchant_id = old.merchant_id;
  end if;
  return null;
end
$$;

create trigger integrations_omnisend_merchant_deleted
  after delete on public.integrations_omnisend
  for each row execute function omnisend_private.merchant_deleted();

-- What the worker needs of SOLDT's tables, and no more: it has no rights on the tables themselves.
create function omnisend_private.merchant_profiles(p_merchant_ids uuid[])
returns table (merchant_id uuid, slug text, custom_domain text)
language sql stable security definer set search_path = ''
as $$
  select m.id, m.slug::text, m.custom_domain::text from public.merchants m where m.id = any (p_merchant_ids)
$$;

-- The merchant an operator names by its slug.
create function omnisend_private.merchant_by_slug(p_slug text) returns uuid
language sql stable security definer set search_path = ''
as $$
  select m.id from public.merchants m where m.slug = p_slug
$$;

-- How many seconds ago the oldest transaction that still holds a snapshot began. The worker's role sees of others'
-- sessions only that they exist; the owner is a member of pg_monitor.
create function omnisend_private.oldest_snapshot_seconds() returns double precision
language sql stable security definer set search_path = ''
as $$
  select max(extract(epoch from now() - a.xact_start))::double precision
  from pg_catalog.pg_stat_activity a
  where a.backend_xmin is not null and a.pid <> pg_backend_pid()
    and a.datname = current_database() and a.backend_type = 'client backend'
$$;

-- Products of merchants' line items, by (merchant, product) pairs, with variants and collections. Revoke execute
-- from omnisend_worker, and line items go out with what the payload itself holds. The body is not checked when
-- it is made, so a database without these tables can still be migrated.
create function omnisend_private.catalogue(p_merchant_ids uuid[], p_product_ids bigint[])
returns table (merchant_id uuid, product_id bigint, title text, description text, images jsonb, variants jsonb, collections jsonb)
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select p.merchant_id, p.id::bigint, p.title::text, left(p.description::text, 1000), to_jsonb(p.images),
    (select jsonb_agg(jsonb_build_object('id', v.id, 'sku', v.sku, 'image_url', v.image_url, 'option_values', v.option_values) order by v.id)
     from public.product_variants v where v.product_id = p.id),
    (select jsonb_agg(jsonb_build_object('id', c.id, 'title', c.name) order by c.id)
     from public.collection_products cp join public.collections c on c.id = cp.collection_id
     where cp.product_id = p.id and c.merchant_id = p.merchant_id)
  from unnest(p_merchant_ids, p_product_ids) as wanted (merchant_id, product_id)
  join public.products p on p.id = wanted.product_id and p.merchant_id = wanted.merchant_id;
end
$$;
