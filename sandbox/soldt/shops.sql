-- Three shops with owners, members, and something to sell. The ids are fixed, and sandbox/shops.py names them.

insert into auth.users (id, aud, role, email, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
select id, 'authenticated', 'authenticated', email, now(), '{"provider": "email"}', '{}', now(), now()
from (values
    ('a0000000-0000-4000-8000-000000000001'::uuid, 'thandi@protea.example'),
    ('a0000000-0000-4000-8000-000000000002'::uuid, 'pieter@karoo.example'),
    ('a0000000-0000-4000-8000-000000000003'::uuid, 'aisha@bokaap.example'),
    ('a0000000-0000-4000-8000-000000000011'::uuid, 'sipho@protea.example'),
    ('a0000000-0000-4000-8000-000000000099'::uuid, 'stranger@nowhere.example')
) as users (id, email);

insert into public.merchants (id, owner_id, store_name, business_name, slug, custom_domain, logo_url) values
    ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Protea & Co', 'Protea and Company (Pty) Ltd', 'protea', 'shop.protea.example', 'https://cdn.soldt.example/protea/logo.png'),
    ('b0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000002', 'Karoo Leather', null, 'karoo-leather', null, null),
    ('b0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000003', 'Bo-Kaap Spices', 'Bo-Kaap Spice Traders', 'bo-kaap-spices', null, null);

-- The stranger above belongs to no shop; Sipho is a member of the first without owning it.
insert into public.merchant_users (merchant_id, user_id) values
    ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000011');

insert into public.products (id, merchant_id, title, description, price, category, images, inventory, status, has_variants) values
    (101, 'b0000000-0000-4000-8000-000000000001', 'Linen shirt', 'Washed linen, cut wide', 899.00, 'Clothing', '{https://cdn.soldt.example/protea/shirt-1.jpg,https://cdn.soldt.example/protea/shirt-2.jpg}', 40, 'active', true),
    (102, 'b0000000-0000-4000-8000-000000000001', 'Enamel mug', 'Holds 350 ml', 149.50, 'Kitchen', '{https://cdn.soldt.example/protea/mug.jpg}', 200, 'active', false),
    (103, 'b0000000-0000-4000-8000-000000000001', 'Gift card', null, 500.00, null, null, 0, 'draft', false),
    (201, 'b0000000-0000-4000-8000-000000000002', 'Veldskoen', 'Vegetable-tanned, hand-stitched', 1250.00, 'Shoes', '{https://cdn.soldt.example/karoo/veldskoen.jpg}', 25, 'active', true),
    (202, 'b0000000-0000-4000-8000-000000000002', 'Belt', null, 420.00, 'Accessories', '{}', 60, 'active', false),
    (301, 'b0000000-0000-4000-8000-000000000003', 'Rooibos masala', 'Ground this week', 85.99, 'Spices', '{https://cdn.soldt.example/bokaap/masala.jpg}', 500, 'active', false);

insert into public.product_variants (id, product_id, price, stock_quantity, sku, image_url, option_values) values
    (1011, 101, null, 12, 'SHIRT-S', null, '{"Size": "S"}'),
    (1012, 101, null, 20, 'SHIRT-M', 'https://cdn.soldt.example/protea/shirt-m.jpg', '{"Size": "M"}'),
    (1013, 101, 949.00, 8, 'SHIRT-XL', null, '{"Size": "XL"}'),
    (2011, 201, null, 10, 'VELD-8', null, '{"Size": "8", "Colour": "Tan"}'),
    (2012, 201, null, 15, 'VELD-9', null, '{"Size": "9", "Colour": "Tan"}');

insert into public.collections (id, merchant_id, name, description) values
    (11, 'b0000000-0000-4000-8000-000000000001', 'Summer', 'Light things'),
    (12, 'b0000000-0000-4000-8000-000000000001', 'Under R200', null),
    (21, 'b0000000-0000-4000-8000-000000000002', 'Leather', null),
    (31, 'b0000000-0000-4000-8000-000000000003', 'Blends', null);

insert into public.collection_products (collection_id, product_id) values
    (11, 101), (11, 102), (12, 102), (21, 201), (21, 202), (31, 301);

select setval('public.products_id_seq', 1000);
select setval('public.product_variants_id_seq', 10000);
select setval('public.collections_id_seq', 1000);
