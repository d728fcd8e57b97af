-- What is in the earlier tables of a deployment that has used them: three shops' keys, logs of each kind, and dedupe
-- ids of every form that was ever stored. Needs shops.sql. The keys open nothing.

insert into public.integrations_omnisend
    (merchant_id, status, auth_type, api_key, scopes, created_at, updated_at, last_event_at, last_error, last_error_at)
values
    ('b0000000-0000-4000-8000-000000000001', 'connected', 'api_key', '5f0000000000000000000001-legacyProteaKey', '{events.write}', now() - interval '90 days', now() - interval '1 day', now() - interval '1 day', null, null),
    ('b0000000-0000-4000-8000-000000000002', 'error', 'api_key', '5f0000000000000000000002-legacyKarooKey', null, now() - interval '60 days', now() - interval '2 days', now() - interval '5 days', 'AUTH', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000003', 'disabled', 'api_key', '5f0000000000000000000003-legacyBoKaapKey', null, now() - interval '30 days', now() - interval '30 days', null, null, null);

insert into public.integrations_omnisend_logs (merchant_id, direction, kind, name, status_code, request, response, created_at)
values
    ('b0000000-0000-4000-8000-000000000001', 'outbound', 'event', 'placed order', 202, '{"eventName": "placed order", "contact": {"email": "no***@example.com"}}', '{}', now() - interval '1 day'),
    ('b0000000-0000-4000-8000-000000000001', 'outbound', 'contact', 'contacts', 200, '{"email": "no***@example.com"}', '{"contactID": "60"}', now() - interval '3 days'),
    ('b0000000-0000-4000-8000-000000000001', 'outbound', 'product', 'products', 400, '{"id": "101"}', '{"error": "bad request"}', now() - interval '4 days'),
    ('b0000000-0000-4000-8000-000000000002', 'outbound', 'event', 'started checkout', 401, '{"eventName": "started checkout"}', '{"error": "unauthorized"}', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000002', 'outbound', 'order', null, null, null, null, now() - interval '40 days');

insert into public.integrations_omnisend_dedupe (merchant_id, event_id, event_name, created_at)
values
    ('b0000000-0000-4000-8000-000000000001', 'atc:cart_sess_9c1f6f0e-7b1d-4c58-9d2e-0b6f5d1c2a3b:101:2', 'added product to cart', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000001', 'pv:sess_9c1f6f0e-7b1d-4c58-9d2e-0b6f5d1c2a3b:102', 'viewed product', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000001', 'co:cart_sess_9c1f6f0e-7b1d-4c58-9d2e-0b6f5d1c2a3b', 'started checkout', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000001', 'op:9001', 'placed order', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000001', 'paid:9001', 'paid for order', now() - interval '2 days'),
    ('b0000000-0000-4000-8000-000000000001', 'ful:9001:shipped', 'order fulfilled', now() - interval '1 day'),
    ('b0000000-0000-4000-8000-000000000001', 'ful:9001:delivered', 'order fulfilled', now() - interval '1 day'),
    ('b0000000-0000-4000-8000-000000000001', 'can:9002:cancelled', 'order canceled', now() - interval '1 day'),
    ('b0000000-0000-4000-8000-000000000001', 'ref:9003:149.50', 'order refunded', now() - interval '1 day'),
    ('b0000000-0000-4000-8000-000000000001', 'evt:order_placed:3f2a9c', null, now() - interval '20 days'),
    ('b0000000-0000-4000-8000-000000000002', 'legacy:placed_order:77aa01', 'placed order', now() - interval '50 days'),
    ('b0000000-0000-4000-8000-000000000002', 'op:9001', 'placed order', now() - interval '6 days');
