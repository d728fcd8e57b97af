-- The merchants' Omnisend connections and the log of what was sent, with the columns of the specification.
--
-- Runs on SOLDT's tables alone and on a database that already holds earlier versions of these two tables,
-- and leaves the same schema behind (but for a plaintext api_key column, which
-- `soldt-outbox encrypt-credentials` moves into api_key_enc and drops; from here on no API role can read it).

set local lock_timeout = '4s';

do $$
begin
  if to_regclass('public.merchants') is null then
    raise exception 'The table public.merchants does not exist: apply SOLDT''s own migrations first, then these.'
      using errcode = 'undefined_table';
  end if;
  if to_regclass('public.orders') is null then
    raise exception 'The table public.orders does not exist: apply SOLDT''s own migrations first, then these.'
      using errcode = 'undefined_table';
  end if;
end
$$;

-- The worker's own role. It cannot log in until somebody gives it a password; where the pooler admits only
-- postgres, the worker takes it with `set local role`. Roles belong to the cluster, so it may exist already.
do $$
begin
  create role omnisend_worker nologin noinherit;
exception
  when duplicate_object or unique_violation then null;
end
$$;

do $$
begin
  if not pg_has_role(current_user, 'omnisend_worker',
                     case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end) then
    execute format('grant omnisend_worker to %I', current_user);
  end if;
end
$$;

create schema if not exists omnisend_private;
comment on schema omnisend_private is
  'Functions of the Omnisend outbox that the API must not expose: never add it to the API''s schemas.';
revoke all on schema omnisend_private from public, anon, authenticated, service_role;
grant usage on schema omnisend_private to authenticated, service_role, omnisend_worker;

create table if not exists public.integrations_omnisend (merchant_id uuid primary key);
create table if not exists public.integrations_omnisend_logs (id bigserial primary key);

-- An earlier version may have brought policies, checks, foreign keys and indexes under any name: they go, and
-- the ones below come.
do $$
declare
  item record;
begin
  for item in
    select format('drop policy %I on %s', polname, polrelid::regclass) as command
    from pg_policy
    where polrelid in ('public.integrations_omnisend'::regclass, 'public.integrations_omnisend_logs'::regclass)
    union all
    select format('alter table %s drop constraint %I', conrelid::regclass, conname)
    from pg_constraint
    where conrelid in ('public.integrations_omnisend'::regclass, 'public.integrations_omnisend_logs'::regclass)
      and contype in ('c', 'f', 'u')
    union all
    select format('alter table %s rename constraint %I to %I', conrelid::regclass, conname, relname || '_pkey')
    from pg_constraint join pg_class on pg_class.oid = conrelid
    where conrelid in ('public.integrations_omnisend'::regclass, 'public.integrations_omnisend_logs'::regclass)
      and contype = 'p' and conname <> relname || '_pkey'
    union all
    select format('drop index %s', indexrelid::regclass)
    from pg_index
    where indrelid in ('public.integrations_omnisend'::regclass, 'public.integrations_omnisend_logs'::regclass)
      and not exists (select from pg_constraint where conindid = indexrelid)
  loop
    execute item.command;
  end loop;
end
$$;

alter table public.integrations_omnisend
  add column if not exists status text,
  add column if not exists auth_type text,
  add column if not exists access_token_enc text,
  add column if not exists refresh_token_enc text,
  add column if not exists token_expires_at timestamptz,
  add column if not exists api_key_enc text,
  add column if not exists scopes text[],
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists last_event_at timestamptz,
  add column if not exists last_error text,
  add column if not exists last_error_at timestamptz,
  add column if not exists last_error_detail text,
  add column if not exists brand_id text,
  add column if not exists currency text,
  add column if not exists country_code text;

update public.integrations_omnisend set
  status = case when status in ('connected', 'error', 'disabled') then status else 'disabled' end,
  auth_type = case when auth_type in ('oauth', 'api_key') then auth_type else 'api_key' end,
  created_at = coalesce(created_at, now()),
  updated_at = coalesce(updated_at, now()),
  currency = coalesce(currency, 'ZAR'),
  country_code = coalesce(country_code, 'ZA');

-- A connection whose merchant is gone connects nobody.
delete from public.integrations_omnisend i where not exists (select from public.merchants m where m.id = i.merchant_id);

alter table public.integrations_omnisend
  alter column status set default 'connected', alter column status set not null,
  alter column auth_type set default 'api_key', alter column auth_type set not null,
  alter column created_at set default now(), alter column created_at set not null,
  alter column updated_at set default now(), alter column updated_at set not null,
  alter column currency set default 'ZAR', alter column currency set not null,
  alter column country_code set default 'ZA', alter column country_code set not null,
  add constraint integrations_omnisend_merchant_id_fkey
    foreign key (merchant_id) references public.merchants (id) on delete cascade,
  add constraint integrations_omnisend_status_check check (status in ('connected', 'error', 'disabled')),
  add constraint integrations_omnisend_auth_type_check check (auth_type in ('oauth', 'api_key')),
  add constraint integrations_omnisend_currency_check check (currency ~ '^[A-Z]{3}$'),
  add constraint integrations_omnisend_country_code_check check (country_code ~ '^[A-Z]{2}$');

comment on table public.integrations_omnisend is
  'One row per merchant connected to Omnisend. The *_enc columns are AES-256-GCM ciphertexts that only the worker''s environment can open.';
comment on column public.integrations_omnisend.status is
  'connected; error (events are still written and wait, last_error says why); disabled (nothing is written).';
comment on column public.integrations_omnisend.last_error is
  'A stable code: AUTH (key invalid or revoked), FORBIDDEN (key lacks a permission), PAYMENT, CREDENTIAL (key missing or cannot be opened).';
comment on column public.integrations_omnisend.last_error_detail is 'The same as a sentence for an admin.';
comment on column public.integrations_omnisend.currency is 'ISO 4217; what prices in payloads are in where they do not say.';
comment on column public.integrations_omnisend.country_code is 'ISO 3166-1 alpha-2; the default for phones and addresses.';

alter table public.integrations_omnisend_logs
  add column if not exists merchant_id uuid,
  add column if not exists direction text,
  add column if not exists kind text,
  add column if not exists name text,
  add column if not exists status_code int,
  add column if not exists request jsonb,
  add column if not exists response jsonb,
  add column if not exists created_at timestamptz,
  add column if not exists outbox_id bigint,
  add column if not exists event_id uuid,
  add column if not exists attempt int,
  add column if not exists outcome text,
  add column if not exists error text,
  add column if not exists contact_hash text;

update public.integrations_omnisend_logs set
  direction = coalesce(direction, 'outbound'), kind = coalesce(kind, 'event'), created_at = coalesce(created_at, now())
where direction is null or kind is null or created_at is null;
delete from public.integrations_omnisend_logs where merchant_id is null;  -- nobody could ever read it

alter table public.integrations_omnisend_logs
  alter column merchant_id set not null,
  alter column direction set default 'outbound', alter column direction set not null,
  alter column kind set default 'event', alter column kind set not null,
  alter column created_at set default now(), alter column created_at set not null,
  add constraint integrations_omnisend_logs_direction_check check (direction in ('outbound', 'inbound')),
  add constraint integrations_omnisend_logs_kind_check
    check (kind in ('event', 'contact', 'product', 'category', 'order'));

-- No foreign key to merchants: each log row would lock its merchant's row. omnisend_private.merchant_deleted cleans up.
create index integrations_omnisend_logs_merchant_idx on public.integrations_omnisend_logs (merchant_id, id desc);
create index integrations_omnisend_logs_contact_idx
  on public.integrations_omnisend_logs (merchant_id, contact_hash, id desc) where contact_hash is not null;
create index integrations_omnisend_logs_created_idx on public.integrations_omnisend_logs using brin (created_at);

comment on table public.integrations_omnisend_logs is
  'One row per attempt to tell Omnisend something, personal data masked. Merchants'' admins read their own.';
comment on column public.integrations_omnisend_logs.outcome is
  'delivered, skipped, expired, dead, retry (will be tried again) or release (handed back, the attempt uncounted).';
comment on column public.integrations_omnisend_logs.contact_hash is
  'First 16 hexadecimal digits of the SHA-256 of the trimmed, lower-cased e-mail (else the E.164 phone): finds a customer''s rows without storing who it is.';
