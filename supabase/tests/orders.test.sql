-- The trigger on orders and the two functions that the API exposes.

begin;
set local search_path = public, extensions;
select plan(41);

insert into auth.users (id, email) values
  ('cafe0000-0000-4000-8000-0000000000a1', 'owner@pgtap.example'), ('cafe0000-0000-4000-8000-0000000000a2', 'other@pgtap.example');
insert into public.merchants (id, owner_id, store_name, slug) values
  ('cafe0000-0000-4000-8000-000000000001', 'cafe0000-0000-4000-8000-0000000000a1', 'Connected', 'pgtap-connected'),
  ('cafe0000-0000-4000-8000-000000000002', 'cafe0000-0000-4000-8000-0000000000a2', 'Disabled', 'pgtap-disabled'),
  ('cafe0000-0000-4000-8000-000000000003', null, 'Absent', 'pgtap-absent'),
  ('cafe0000-0000-4000-8000-000000000004', null, 'In error', 'pgtap-error');
insert into public.integrations_omnisend (merchant_id, status) values
  ('cafe0000-0000-4000-8000-000000000001', 'connected'), ('cafe0000-0000-4000-8000-000000000002', 'disabled'),
  ('cafe0000-0000-4000-8000-000000000004', 'error');

-- Orders of the shop ...001 have ids from 1 on in a range of their own, far beyond what a seed has used.
create function pg_temp.place(p_id int, p_status text, p_payment text, p_shop int default 1) returns void language sql as $$
  insert into public.orders (id, merchant_id, customer_email, customer_name, shipping_address, items, total, status, payment_status)
  values (900000000 + p_id, ('cafe0000-0000-4000-8000-00000000000' || p_shop)::uuid, 'nomsa@pgtap.example', 'Nomsa Dlamini', '{}', '[]', 10, p_status, p_payment)
$$;
create function pg_temp.told(p_id int) returns text language sql as $$
  select coalesce(string_agg(replace(name, 'order_', ''), ' ' order by id), '') from public.integrations_omnisend_outbox
  where dedup_key = (900000000 + p_id)::text and merchant_id::text like 'cafe0000%'
$$;

select has_trigger('public', 'orders', 'integrations_omnisend_order_inserted', 'new orders are looked at');
select has_trigger('public', 'orders', 'integrations_omnisend_order_updated', 'changed orders are looked at');
select has_trigger('public', 'orders', 'integrations_omnisend_order_kept', 'what was placed is kept');

-- New orders.
select pg_temp.place(id, status, payment) from (values
  (1, 'pending', 'pending'), (2, 'pending', 'awaiting_payment'), (3, 'processing', 'paid'), (4, 'shipped', 'paid'),
  (5, 'cancelled', 'failed'), (6, 'refunded', 'refunded'), (7, null, null)
) as orders (id, status, payment);
select is(pg_temp.told(id), told, 'a new order: ' || told)
from (values (1, 'placed'), (2, 'placed'), (3, 'placed paid'), (4, 'placed paid fulfilled'), (5, 'placed canceled'),
  (6, 'placed refunded'), (7, 'placed')) as orders (id, told);

-- Changes.
update public.orders set payment_status = 'paid' where id = 900000001;
select is(pg_temp.told(1), 'placed paid', 'paid');
update public.orders set payment_status = 'failed' where id = 900000001;
update public.orders set payment_status = 'paid' where id = 900000001;
select is(pg_temp.told(1), 'placed paid', 'paid twice is told once');
update public.orders set status = 'shipped' where id = 900000001;
update public.orders set status = 'delivered' where id = 900000001;
select is(pg_temp.told(1), 'placed paid fulfilled', 'shipped, then delivered, is told once');
update public.orders set status = 'cancelled' where id = 900000001;
update public.orders set payment_status = 'refunded' where id = 900000001;
update public.orders set status = 'refunded' where id = 900000001;
select is(pg_temp.told(1), 'placed paid fulfilled canceled refunded', 'refunded by either column is told once');
update public.orders set notes = 'by the gate', total = 1, customer_name = 'Other' where id = 900000002;
select is(pg_temp.told(2), 'placed', 'other columns tell nothing');

select is(payload, null, 'what was placed and never changed stands in the order alone')
from public.integrations_omnisend_outbox where dedup_key = '900000004' and name = 'order_placed';
select is(omnisend_private.placed_order(id) ->> 'customer_name', 'Nomsa Dlamini', 'what was changed since is told as it was placed')
from public.integrations_omnisend_outbox where dedup_key = '900000002' and name = 'order_placed';

-- The grace for the tracking number.
select pg_temp.place(10, 'pending', 'pending');
update public.orders set status = 'shipped' where id = 900000010;
select is(available_at, now() + interval '2 minutes', 'without a tracking number it waits two minutes')
from public.integrations_omnisend_outbox where dedup_key = '900000010' and name = 'order_fulfilled';
update public.orders set tracking_number = 'TRK-1' where id = 900000010;
select is(available_at, now(), 'a tracking number makes it due')
from public.integrations_omnisend_outbox where dedup_key = '900000010' and name = 'order_fulfilled';
select is(payload ->> 'tracking_number', 'TRK-1', 'and goes with it')
from public.integrations_omnisend_outbox where dedup_key = '900000010' and name = 'order_fulfilled';

-- Whose.
select pg_temp.place(20, 'pending', 'paid', 2), pg_temp.place(21, 'pending', 'paid', 3), pg_temp.place(22, 'pending', 'paid', 4);
select is(pg_temp.told(20), '', 'a disabled shop: nothing');
select is(pg_temp.told(21), '', 'a shop that never was connected: nothing');
select is(pg_temp.told(22), 'placed paid', 'a shop in error: its events wait');

-- Together or not at all.
select throws_ok(
  $$ insert into public.orders (id, merchant_id, customer_email, customer_name, shipping_address, items, total)
     values (900000030, 'cafe0000-0000-4000-8000-000000000001', 'nomsa@pgtap.example', 'N', '{}', '[]', -1) $$,
  '23514', null, 'an order that a constraint refuses');
select is(pg_temp.told(30), '', 'leaves no row');
delete from public.orders where id = 900000003;
select pg_temp.place(3, 'pending', 'paid');
select is(pg_temp.told(3), 'placed paid', 'an order written again is told once');

-- omnisend_enqueue.
set local role service_role;
select isnt(public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'viewed_product', '{"id": 1}', 'pgtap-1'), null, 'an event is written');
select is(public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'product_viewed', '{"id": 1}', 'pgtap-1'), null, 'once, by any of its names');
select is(public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000002', 'product_viewed', '{"id": 1}'), null, 'not for a disabled shop');
select is(public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000003', 'product_viewed', '{"id": 1}'), null, 'not for a shop that is not connected');
select throws_ok(call, '22023', null, call)
from unnest(array[
  $$ select public.omnisend_enqueue(null, 'order_placed', '{}') $$,
  $$ select public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', '', '{}') $$,
  $$ select public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'order_placed', '[]') $$,
  $$ select public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'order_placed', null) $$,
  $$ select public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'order_placed', '{}', repeat('x', 401)) $$,
  $$ select public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'order_placed', '{}', p_kind => 'order') $$
]) as call;
reset role;
select is(expires_at - occurred_at, interval '6 hours', 'a product view is worth telling for six hours')
from public.integrations_omnisend_outbox where dedup_key = 'pgtap-1' and merchant_id = 'cafe0000-0000-4000-8000-000000000001';

-- omnisend_retry.
update public.integrations_omnisend_outbox
set state = 'dead', available_at = 'infinity', attempts = 9,
  expires_at = case when dedup_key = '900000002' then now() else expires_at end
where dedup_key in ('900000002', '900000005');
create temporary table ids as
  select array_agg(id) as ids from public.integrations_omnisend_outbox where merchant_id::text like 'cafe0000%';
grant select on ids to authenticated;
select set_config('request.jwt.claims', '{"sub": "cafe0000-0000-4000-8000-0000000000a2", "role": "authenticated"}', true);
set local role authenticated;
select is(public.omnisend_retry(ids), 0::bigint, 'another shop''s owner puts nothing back') from ids;
select set_config('request.jwt.claims', '{"sub": "cafe0000-0000-4000-8000-0000000000a1", "role": "authenticated"}', true);
select is(public.omnisend_retry(ids), 2::bigint, 'the owner puts dead rows back, not those past their expiry') from ids;
select is(public.omnisend_retry(ids), 0::bigint, 'and pending ones are left alone') from ids;
reset role;
select results_eq(
  $$ select distinct state::text, attempts from public.integrations_omnisend_outbox where dedup_key = '900000005' $$,
  $$ values ('pending', 0) $$, 'with fresh attempts');

select * from finish();
rollback;
