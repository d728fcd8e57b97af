-- SOLDT's tables as far as an outbox meets them, with its policies and triggers. Owned by postgres, like everything
-- a Supabase project's migrations make. Grants are spelled out, so that both default-privilege regimes end alike for
-- what the shop needs.

create table public.merchants (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid references auth.users (id) on delete set null,
    store_name text not null,
    business_name text,
    slug text not null unique,
    custom_domain text unique,
    logo_url text,
    onboarding_data jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index merchants_owner_id_idx on public.merchants (owner_id);

create table public.merchant_users (
    merchant_id uuid not null references public.merchants (id) on delete cascade,
    user_id uuid not null references auth.users (id) on delete cascade,
    role text not null default 'admin',
    created_at timestamptz not null default now(),
    primary key (merchant_id, user_id)
);
create index merchant_users_user_id_idx on public.merchant_users (user_id);

create table public.products (
    id bigserial primary key,
    merchant_id uuid not null references public.merchants (id) on delete cascade,
    title text not null,
    description text,
    price numeric not null default 0,
    category text,
    images text[],
    inventory integer not null default 0,
    status text not null default 'active',
    has_variants boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index products_merchant_id_idx on public.products (merchant_id);

create table public.product_variants (
    id bigserial primary key,
    product_id bigint not null references public.products (id) on delete cascade,
    price numeric, -- null: the product's
    stock_quantity integer not null default 0,
    sku text,
    image_url text,
    option_values jsonb not null default '{}',
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index product_variants_product_id_idx on public.product_variants (product_id);

create table public.collections (
    id bigserial primary key,
    merchant_id uuid not null references public.merchants (id) on delete cascade,
    name text not null,
    description text,
    image_url text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index collections_merchant_id_idx on public.collections (merchant_id);

create table public.collection_products (
    collection_id bigint not null references public.collections (id) on delete cascade,
    product_id bigint not null references public.products (id) on delete cascade,
    primary key (collection_id, product_id)
);
create index collection_products_product_id_idx on public.collection_products (product_id);

-- As loose as it really is: only what is marked so is never null, and a status may hold any word.
create table public.orders (
    id bigserial primary key,
    merchant_id uuid references public.merchants (id) on delete cascade,
    customer_email varchar not null,
    customer_name varchar not null,
    customer_phone varchar,
    shipping_address jsonb not null,
    items jsonb not null,
    subtotal numeric(10, 2),
    shipping numeric(10, 2),
    tax numeric(10, 2),
    total numeric(10, 2),
    status varchar default 'pending',
    payment_status varchar default 'pending',
    payment_reference text,
    payment_method text,
    tracking_number text,
    tracking_carrier text,
    tracking_url text,
    notes text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    constraint orders_total_check check (total >= 0)
);
create index orders_merchant_id_created_at_idx on public.orders (merchant_id, created_at desc);

-- Triggers -----------------------------------------------------------------------------------------------------------

create function public.soldt_check_customer_email() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.customer_email := lower(trim(new.customer_email));
    if new.customer_email !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' then
        raise exception 'Invalid customer email' using errcode = 'check_violation';
    end if;
    return new;
end
$$;

create trigger soldt_check_customer_email before insert on public.orders
    for each row execute function public.soldt_check_customer_email();

create function public.soldt_touch_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end
$$;

create trigger soldt_touch_updated_at before update on public.orders
    for each row execute function public.soldt_touch_updated_at();
create trigger soldt_touch_updated_at before update on public.merchants
    for each row execute function public.soldt_touch_updated_at();
create trigger soldt_touch_updated_at before update on public.products
    for each row execute function public.soldt_touch_updated_at();

-- Row level security: the catalogue is public, anybody may order, a merchant's admins see and change what is theirs ----

alter table public.merchants enable row level security;
alter table public.merchant_users enable row level security;
alter table public.products enable row level security;
alter table public.product_variants enable row level security;
alter table public.collections enable row level security;
alter table public.collection_products enable row level security;
alter table public.orders enable row level security;

create policy "members read their memberships" on public.merchant_users
    for select to authenticated
    using (user_id = (select auth.uid()));

create policy "owners and members read their merchant" on public.merchants
    for select to authenticated
    using (
        owner_id = (select auth.uid())
        or id in (select mu.merchant_id from public.merchant_users mu where mu.user_id = (select auth.uid()))
    );
create policy "owners change their merchant" on public.merchants
    for update to authenticated
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

create policy "anybody may order" on public.orders
    for insert to anon, authenticated
    with check (merchant_id is not null);
create policy "admins read their orders" on public.orders
    for select to authenticated
    using (merchant_id in (select m.id from public.merchants m));
create policy "admins change their orders" on public.orders
    for update to authenticated
    using (merchant_id in (select m.id from public.merchants m))
    with check (merchant_id in (select m.id from public.merchants m));

create policy "anybody sees active products" on public.products
    for select to anon
    using (status = 'active');
create policy "admins see drafts too" on public.products
    for select to authenticated
    using (status = 'active' or merchant_id in (select m.id from public.merchants m));
create policy "admins add products" on public.products
    for insert to authenticated
    with check (merchant_id in (select m.id from public.merchants m));
create policy "admins change products" on public.products
    for update to authenticated
    using (merchant_id in (select m.id from public.merchants m))
    with check (merchant_id in (select m.id from public.merchants m));
create policy "anybody sees active variants" on public.product_variants
    for select to anon, authenticated
    using (is_active);
create policy "anybody sees collections" on public.collections
    for select to anon, authenticated
    using (true);
create policy "anybody sees what is in a collection" on public.collection_products
    for select to anon, authenticated
    using (true);

-- Grants: a bigserial's sequence needs one of its own -----------------------------------------------------------------

grant insert on public.orders to anon;
grant select, insert, update on public.orders to authenticated;
grant usage on sequence public.orders_id_seq to anon, authenticated;
grant select on public.merchant_users to authenticated;
grant select, update on public.merchants to authenticated;
grant select on public.products, public.product_variants, public.collections, public.collection_products
    to anon, authenticated;
grant insert, update on public.products to authenticated;
grant usage on sequence public.products_id_seq to authenticated;
grant all on
    public.merchants, public.merchant_users, public.products, public.product_variants, public.collections,
    public.collection_products, public.orders
    to service_role;
grant usage, select on all sequences in schema public to service_role;
