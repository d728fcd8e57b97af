-- Connections by OAuth: authorizations that are under way, and what lets one worker at a time refresh a merchant's tokens.

set local lock_timeout = '4s';

alter table public.integrations_omnisend
  add column token_refreshed_at timestamptz,
  add column refresh_lease_token uuid,
  add column refresh_lease_until timestamptz;
comment on column public.integrations_omnisend.token_expires_at is
  'Of an OAuth connection: when its access token ends. Null: with its revocation alone, as Omnisend''s reference says of them all.';
comment on column public.integrations_omnisend.scopes is
  'Of an OAuth connection: what its admin granted. Null of an API key, of which Omnisend does not say what it may do.';
comment on column public.integrations_omnisend.token_refreshed_at is 'When the access token that is stored was given.';
comment on column public.integrations_omnisend.refresh_lease_token is
  'Whose turn it is to refresh: new tokens are stored only while this is still the refresher''s own. A new connection clears it.';
comment on column public.integrations_omnisend.refresh_lease_until is 'When another worker may take the turn over.';

-- The new columns are for the worker alone, which holds the whole table; API roles hold columns by name, and not these.
revoke select (token_refreshed_at, refresh_lease_token, refresh_lease_until),
  insert (token_refreshed_at, refresh_lease_token, refresh_lease_until),
  update (token_refreshed_at, refresh_lease_token, refresh_lease_until)
  on public.integrations_omnisend from public, anon, authenticated, service_role;

-- No foreign key to merchants: a row lives for a quarter of an hour, and none may lock a merchant's row.
create table omnisend_private.oauth_authorizations (
  state_hash bytea primary key check (octet_length(state_hash) = 32),
  merchant_id uuid not null,
  code_verifier_enc text not null,
  redirect_uri text not null,
  scopes text[] not null,
  expires_at timestamptz not null
);
comment on table omnisend_private.oauth_authorizations is
  'Authorizations that were begun and not completed. A row is deleted by the first redirect that brings its state, or once it has run out.';
comment on column omnisend_private.oauth_authorizations.state_hash is 'SHA-256: the state itself is with the admin''s browser alone.';
comment on column omnisend_private.oauth_authorizations.code_verifier_enc is
  'The PKCE verifier, AES-256-GCM with the merchant and the redirect URI as associated data.';
alter table omnisend_private.oauth_authorizations enable row level security;
revoke all on omnisend_private.oauth_authorizations from public, anon, authenticated, service_role, omnisend_worker;
grant select, insert, delete on omnisend_private.oauth_authorizations to omnisend_worker;
create policy oauth_authorizations_worker on omnisend_private.oauth_authorizations
  for all to omnisend_worker using (true) with check (true);
