-- What a platform leaves in these tables, made in one go: 500 merchants with 20 due rows each, 100,000 settled rows
-- and as many log rows, 2,000 dead rows, 200,000 rows of the future for every second merchant, and two merchants with
-- 10,200 due rows: at one of them all but the last 200 are a single customer's.

insert into auth.users (id, email) values
  ('d0000000-0000-4000-8000-000000000001', 'owner@many.example'), ('d0000000-0000-4000-8000-000000000002', 'owner@one.example');

insert into public.merchants (id, owner_id, store_name, slug)
select pg_temp.merchant(n), case n when 7 then 'd0000000-0000-4000-8000-000000000002'::uuid else 'd0000000-0000-4000-8000-000000000001' end,
  'Shop ' || n, 'shop-' || n
from generate_series(1, 502) n;
insert into public.integrations_omnisend (merchant_id) select pg_temp.merchant(n) from generate_series(1, 502) n;
insert into public.integrations_omnisend_lanes (merchant_id) select pg_temp.merchant(n) from generate_series(1, 502) n;

-- History, over sixty days. Statistics are taken when there is next to none of it: those are the stale ones.
create function pg_temp.history(first int, last int) returns void language sql as $$
  insert into public.integrations_omnisend_outbox
    (merchant_id, name, dedup_key, occurred_at, expires_at, state, attempts, available_at, created_at, settled_at)
  select pg_temp.merchant(1 + n % 500), 'order_placed', 'old-' || n, at, at + interval '14 days', 'delivered', 1, at, at, at
  from generate_series(first, last) n cross join lateral (select now() - interval '60 days' * (1 - n / 100000.0) as at) t;

  insert into public.integrations_omnisend_logs
    (merchant_id, name, status_code, request, response, created_at, outbox_id, attempt, outcome, contact_hash)
  select pg_temp.merchant(1 + n % 500), 'order_placed', 202, '{"eventName": "placed order"}', '{"requests": 1}',
    now() - interval '60 days' * (1 - n / 100000.0), n, 1, 'delivered', lpad(to_hex(n % 5000), 16, '0')
  from generate_series(first, last) n
$$;
select pg_temp.history(1, 20);
analyze;
select pg_temp.history(21, 100000);

-- Dead letters of one merchant.
insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload, state, attempts, available_at, settled_at)
select pg_temp.merchant(7), 'order_placed', 'dead-' || n, pg_temp.customer(7, n), '{"id": 1}', 'dead', 3, 'infinity', now()
from generate_series(1, 2000) n;

-- The future, of even merchants.
insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload, available_at)
select pg_temp.merchant(2 * (1 + n % 250)), 'order_fulfilled', 'future-' || n, pg_temp.customer(2 * (1 + n % 250), n),
  '{"id": 1}', now() + interval '1 day' * (1 + n / 200000.0)
from generate_series(1, 200000) n;

-- What is due: two events of each of 5,000 customers.
insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload, available_at)
select pg_temp.merchant(1 + n % 500), case when n <= 5000 then 'order_placed' else 'order_paid' end, 'due-' || n,
  pg_temp.customer(1 + n % 500, n % 5000), '{"id": 1}', now() - interval '1 hour' * (1 - n / 10000.0)
from generate_series(1, 10000) n;

-- One customer with ten thousand events and 200 others who came later; and the same number of rows, each another's.
insert into public.integrations_omnisend_outbox (merchant_id, name, dedup_key, ordering_key, payload, available_at)
select pg_temp.merchant(m), 'order_placed', 'many-' || n, pg_temp.customer(m, case when n <= 10000 and m = 501 then 0 else n end),
  '{"id": 1}', now() - interval '1 hour' * (1 - n / 10200.0)
from generate_series(1, 10200) n cross join (values (501), (502)) as merchants (m);

-- 200,000 consents of 40,000 addresses, each said five times, and one who never stops changing their mind.
insert into public.integrations_omnisend_consents (merchant_id, channel, identifier, given, occurred_at, source)
select pg_temp.merchant(1 + n % 500), 'email', 'person-' || n % 40000 || '@example.com', n % 3 > 0, now() - interval '1 minute' * n, 'checkout'
from generate_series(1, 200000) n;
insert into public.integrations_omnisend_consents (merchant_id, channel, identifier, given, occurred_at, source)
select pg_temp.merchant(1), 'email', 'undecided@example.com', n % 2 = 0, now() - interval '1 minute' * n, 'checkout'
from generate_series(1, 10000) n;
