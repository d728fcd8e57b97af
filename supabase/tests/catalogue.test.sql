-- The triggers on the catalogue and the two functions the worker looks it up by.

begin;
set local search_path = public, extensions;
select plan(38);

select has_trigger('public', name::name, ('integrations_omnisend_' || name || '_' || done)::name, format('%s that are %s are looked at', name, done))
from unnest(array['products', 'product_variants', 'collections', 'collection_products']) as name
cross join unnest(array['inserted', 'updated', 'deleted']) as done;

select function_privs_are('omnisend_private', name::name, array['uuid[]', 'bigint[]'], role::name, privileges, format('%s on %s: %s', role, name, privileges))
from unnest(array['shop_products', 'shop_collections']) as name
cross join (values ('anon', '{}'::text[]), ('authenticated', '{}'), ('service_role', '{}'), ('omnisend_worker', '{EXECUTE}')) as roles (role, privileges);
select volatility_is('omnisend_private', name::name, array['uuid[]', 'bigint[]'], 'stable', name || ' reads')
from unnest(array['shop_products', 'shop_collections']) as name;

insert into public.merchants (id, store_name, slug) values
  ('cafe0000-0000-4000-8000-000000000001', 'Synced', 'pgtap-synced'), ('cafe0000-0000-4000-8000-000000000002', 'Not synced', 'pgtap-not-synced'),
  ('cafe0000-0000-4000-8000-000000000003', 'Disabled', 'pgtap-not-connected');
insert into public.integrations_omnisend (merchant_id, status, sync_catalogue) values
  ('cafe0000-0000-4000-8000-000000000001', 'connected', true), ('cafe0000-0000-4000-8000-000000000002', 'connected', false),
  ('cafe0000-0000-4000-8000-000000000003', 'disabled', true);

-- What is told since the last time it was asked, for the merchants above.
create function pg_temp.told() returns text language sql as $$
  with told as (
    delete from public.integrations_omnisend_outbox where merchant_id::text like 'cafe0000%' returning id, name, dedup_key
  )
  select coalesce(string_agg(name || ' ' || split_part(dedup_key, ':', 1), ', ' order by id), '') from told
$$;

insert into public.products (id, merchant_id, title, price, inventory)
select 900000000 + n, ('cafe0000-0000-4000-8000-00000000000' || n)::uuid, 'Mug', 50, 5 from generate_series(1, 3) n;
select is(pg_temp.told(), 'product_changed 900000001', 'a new product of the merchant who wants it told');

update public.products set inventory = 4 where id > 900000000;
select is(pg_temp.told(), '', 'an order takes one of five');
update public.products set inventory = 0 where id > 900000000;
select is(pg_temp.told(), 'product_changed 900000001', 'an order takes the last one');
update public.products set price = 60 where id > 900000000;
update public.products set price = 70 where id > 900000000;
select is(pg_temp.told(), 'product_changed 900000001', 'two prices, one row');

insert into public.product_variants (id, product_id, stock_quantity) values (900000001, 900000001, 5), (900000002, 900000002, 5);
select is(pg_temp.told(), 'product_changed 900000001', 'a new variant');
update public.product_variants set stock_quantity = 4 where id > 900000000;
select is(pg_temp.told(), '', 'an order takes one of five');
update public.product_variants set is_active = false where id > 900000000;
select is(pg_temp.told(), 'product_changed 900000001', 'a variant is not sold any more');
update public.product_variants set price = 5 where id > 900000000;
select is(pg_temp.told(), '', 'what nobody can buy may cost what it will');

insert into public.collections (id, merchant_id, name) values (900000001, 'cafe0000-0000-4000-8000-000000000001', 'Cups');
select is(pg_temp.told(), 'category_changed 900000001', 'a new collection');
update public.collections set description = 'To drink from' where id = 900000001;
select is(pg_temp.told(), '', 'its description is not sent');
insert into public.collection_products values (900000001, 900000001);
select is(pg_temp.told(), 'product_changed 900000001', 'a product is put into it');

select results_eq(
  $$ select product_id, product ->> 'title', product -> 'sold_out', variants -> 0 -> 'is_active', collections
     from omnisend_private.shop_products(array['cafe0000-0000-4000-8000-000000000001', 'cafe0000-0000-4000-8000-000000000001']::uuid[], array[900000001, 900000002]) $$,
  $$ values (900000001::bigint, 'Mug', 'true'::jsonb, 'false'::jsonb, '[900000001]'::jsonb) $$,
  'the worker finds the product with what belongs to it, and no other merchant''s');
select results_eq(
  $$ select collection_id, name from omnisend_private.shop_collections(array['cafe0000-0000-4000-8000-000000000001']::uuid[], array[900000001]) $$,
  $$ values (900000001::bigint, '"Cups"'::jsonb) $$, 'and the collection');

delete from public.collections where id = 900000001;
select is(pg_temp.told(), 'category_changed 900000001, product_changed 900000001', 'a collection is removed, and its product is out of it');
delete from public.products where id > 900000000;
select is(pg_temp.told(), 'product_changed 900000001', 'a product is removed');
select is_empty(
  $$ select * from omnisend_private.shop_products(array['cafe0000-0000-4000-8000-000000000001']::uuid[], array[900000001]) $$,
  'and is not found any more');

select * from finish();
rollback;
