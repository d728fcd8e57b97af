-- The Omnisend tables that some deployments made earlier, faults included: keys in plaintext that the browser reads
-- back, CHECKs narrower than today's, a dedupe table of its own. The migrations must turn these into today's tables.

create table public.integrations_omnisend (
    merchant_id uuid primary key references public.merchants (id) on delete cascade,
    status text not null default 'connected' check (status in ('connected', 'error', 'disabled')),
    auth_type text not null default 'api_key' check (auth_type in ('oauth', 'api_key')),
    access_token_enc text,
    refresh_token_enc text,
    token_expires_at timestamptz,
    api_key text,
    scopes text[],
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    last_event_at timestamptz,
    last_error text,
    last_error_at timestamptz
);

create table public.integrations_omnisend_logs (
    id bigserial primary key,
    merchant_id uuid not null references public.merchants (id) on delete cascade,
    direction text not null default 'outbound' check (direction in ('outbound')),
    kind text not null check (kind in ('event', 'contact', 'product', 'order')),
    name text,
    status_code integer,
    request jsonb,
    response jsonb,
    created_at timestamptz not null default now()
);
create index integrations_omnisend_logs_merchant_created_idx
    on public.integrations_omnisend_logs (merchant_id, created_at desc);

create table public.integrations_omnisend_dedupe (
    merchant_id uuid not null references public.merchants (id) on delete cascade,
    event_id text not null,
    event_name text,
    created_at timestamptz not null default now(),
    primary key (merchant_id, event_id)
);

alter table public.integrations_omnisend enable row level security;
alter table public.integrations_omnisend_logs enable row level security;
alter table public.integrations_omnisend_dedupe enable row level security;

create policy "Merchant admins can view omnisend integration" on public.integrations_omnisend
    for select using (
        exists (select 1 from public.merchants m where m.id = merchant_id and m.owner_id = auth.uid())
        or exists (
            select 1 from public.merchant_users mu
            where mu.merchant_id = integrations_omnisend.merchant_id and mu.user_id = auth.uid()
        )
    );
create policy "Merchant admins can insert omnisend integration" on public.integrations_omnisend
    for insert with check (
        exists (select 1 from public.merchants m where m.id = merchant_id and m.owner_id = auth.uid())
        or exists (
            select 1 from public.merchant_users mu
            where mu.merchant_id = integrations_omnisend.merchant_id and mu.user_id = auth.uid()
        )
    );
create policy "Merchant admins can update omnisend integration" on public.integrations_omnisend
    for update using (
        exists (select 1 from public.merchants m where m.id = merchant_id and m.owner_id = auth.uid())
        or exists (
            select 1 from public.merchant_users mu
            where mu.merchant_id = integrations_omnisend.merchant_id and mu.user_id = auth.uid()
        )
    );
create policy "Merchant admins can delete omnisend integration" on public.integrations_omnisend
    for delete using (
        exists (select 1 from public.merchants m where m.id = merchant_id and m.owner_id = auth.uid())
        or exists (
            select 1 from public.merchant_users mu
            where mu.merchant_id = integrations_omnisend.merchant_id and mu.user_id = auth.uid()
        )
    );
create policy "Merchant admins can view omnisend logs" on public.integrations_omnisend_logs
    for select using (
        exists (select 1 from public.merchants m where m.id = merchant_id and m.owner_id = auth.uid())
        or exists (
            select 1 from public.merchant_users mu
            where mu.merchant_id = integrations_omnisend_logs.merchant_id and mu.user_id = auth.uid()
        )
    );

grant all on
    public.integrations_omnisend, public.integrations_omnisend_logs, public.integrations_omnisend_dedupe
    to anon, authenticated, service_role;
grant all on sequence public.integrations_omnisend_logs_id_seq to anon, authenticated, service_role;
