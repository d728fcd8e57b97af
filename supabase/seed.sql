-- Two shops to try things in: each with its owner, one of them connected, one with an order. Safe wherever it runs:
-- no password and no credential, addresses that lead nowhere, and nothing that is already there is changed.
-- The owners have no password: sign in through a link, which the local stack's mail page (port 54324) shows.

insert into auth.users (
  instance_id, id, aud, role, email, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
  confirmation_token, recovery_token, email_change_token_new, email_change  -- Supabase Auth cannot read nulls here
)
select '00000000-0000-0000-0000-000000000000', id, 'authenticated', 'authenticated', email, now(),
  '{"provider": "email", "providers": ["email"]}', '{}', now(), now(), '', '', '', ''
from (values
  ('5eed0000-0000-4000-8000-0000000000a1'::uuid, 'owner@fynbos.example'),
  ('5eed0000-0000-4000-8000-0000000000a2'::uuid, 'owner@highveld.example')
) as owners (id, email)
on conflict do nothing;

insert into public.merchants (id, owner_id, store_name, slug) values
  ('5eed0000-0000-4000-8000-0000000000b1', '5eed0000-0000-4000-8000-0000000000a1', 'Fynbos Tea', 'seed-fynbos-tea'),
  ('5eed0000-0000-4000-8000-0000000000b2', '5eed0000-0000-4000-8000-0000000000a2', 'Highveld Wool', 'seed-highveld-wool')
on conflict do nothing;

-- Connected, but the key is still to come: `soldt-outbox connect --merchant 5eed0000-0000-4000-8000-0000000000b1`.
-- The other shop is not connected, so its orders write nothing.
insert into public.integrations_omnisend (merchant_id) values ('5eed0000-0000-4000-8000-0000000000b1')
on conflict do nothing;

insert into public.orders (
  merchant_id, customer_email, customer_name, customer_phone, shipping_address, items,
  subtotal, shipping, tax, total, payment_method, payment_reference
)
select
  '5eed0000-0000-4000-8000-0000000000b1', 'nomsa@customer.example', 'Nomsa Dlamini', '082 123 4567',
  '{"address": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001"}',
  '[{"product_id": 1, "variant_id": null, "title": "Rooibos", "variant_title": null, "quantity": 2, "price": 64.5, "subtotal": 129}]',
  129.00, 60.00, 0.00, 189.00, 'card', 'seed-order'
where not exists (select from public.orders where payment_reference = 'seed-order');
