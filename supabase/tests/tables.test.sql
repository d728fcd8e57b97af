-- The tables: every column of the specification with its name and type, the columns added to it, keys and indexes.

begin;
set local search_path = public, extensions;
select plan(111);

select has_table('public', name::name, 'public.' || name || ' exists')
from unnest(array['integrations_omnisend', 'integrations_omnisend_logs', 'integrations_omnisend_outbox',
  'integrations_omnisend_lanes', 'integrations_omnisend_workers', 'integrations_omnisend_consents']) as name;
select has_view('public', 'integrations_omnisend_status', 'the view for admins exists');

-- The specification's: its names and types stay.
select col_type_is('public', 'integrations_omnisend', name::name, type, 'integrations_omnisend.' || name || ' is ' || type)
from (values
  ('merchant_id', 'uuid'), ('status', 'text'), ('auth_type', 'text'), ('access_token_enc', 'text'),
  ('refresh_token_enc', 'text'), ('token_expires_at', 'timestamp with time zone'), ('api_key_enc', 'text'),
  ('scopes', 'text[]'), ('created_at', 'timestamp with time zone'), ('updated_at', 'timestamp with time zone'),
  ('last_event_at', 'timestamp with time zone'), ('last_error', 'text'),
  -- added
  ('last_error_at', 'timestamp with time zone'), ('last_error_detail', 'text'), ('brand_id', 'text'),
  ('currency', 'text'), ('country_code', 'text'), ('token_refreshed_at', 'timestamp with time zone'),
  ('refresh_lease_token', 'uuid'), ('refresh_lease_until', 'timestamp with time zone'),
  ('brand_since', 'timestamp with time zone')
) as columns (name, type);
select hasnt_column('public', 'integrations_omnisend', 'api_key', 'no column holds a key in plaintext');
select col_is_pk('public', 'integrations_omnisend', 'merchant_id', 'one connection per merchant');
select fk_ok('public', 'integrations_omnisend', 'merchant_id', 'public', 'merchants', 'id', 'a connection is a merchant''s');

select col_type_is('public', 'integrations_omnisend_logs', name::name, type, 'integrations_omnisend_logs.' || name || ' is ' || type)
from (values
  ('id', 'bigint'), ('merchant_id', 'uuid'), ('direction', 'text'), ('kind', 'text'), ('name', 'text'),
  ('status_code', 'integer'), ('request', 'jsonb'), ('response', 'jsonb'), ('created_at', 'timestamp with time zone'),
  -- added
  ('outbox_id', 'bigint'), ('event_id', 'uuid'), ('attempt', 'integer'), ('outcome', 'text'), ('error', 'text'),
  ('contact_hash', 'text')
) as columns (name, type);
select col_is_pk('public', 'integrations_omnisend_logs', 'id', 'log rows are numbered');

select col_type_is('public', 'integrations_omnisend_outbox', name::name, type, 'integrations_omnisend_outbox.' || name || ' is ' || type)
from (values
  ('id', 'bigint'), ('merchant_id', 'uuid'), ('kind', 'omnisend_outbox_kind'), ('name', 'text'), ('dedup_key', 'text'),
  ('ordering_key', 'text'), ('payload', 'jsonb'), ('occurred_at', 'timestamp with time zone'),
  ('expires_at', 'timestamp with time zone'), ('state', 'omnisend_outbox_state'), ('attempts', 'integer'),
  ('rescues', 'integer'), ('available_at', 'timestamp with time zone'), ('lease_token', 'uuid'),
  ('lease_until', 'timestamp with time zone'), ('leased_by', 'text'), ('last_error', 'text'),
  ('last_status_code', 'integer'), ('created_at', 'timestamp with time zone'), ('settled_at', 'timestamp with time zone')
) as columns (name, type);
select col_is_unique('public', 'integrations_omnisend_outbox', array['merchant_id', 'dedup_key', 'name', 'kind']::name[],
  'the same occurrence exists once');
select hasnt_fk('public', 'integrations_omnisend_outbox', 'a checkout locks no row of another table because of the outbox');
select enum_has_labels('public', 'omnisend_outbox_kind', array['event', 'contact', 'product', 'category', 'batch'], 'the kinds');
select enum_has_labels('public', 'omnisend_outbox_state', array['pending', 'delivered', 'skipped', 'expired', 'dead'], 'the states');

select col_type_is('public', 'integrations_omnisend_lanes', name::name, type, 'integrations_omnisend_lanes.' || name || ' is ' || type)
from (values
  ('merchant_id', 'uuid'), ('theoretical_arrival_time', 'timestamp with time zone'),
  ('paused_until', 'timestamp with time zone'), ('pause_reason', 'text'), ('failures_in_row', 'integer'),
  ('last_served_at', 'timestamp with time zone'), ('told_until', 'timestamp with time zone'),
  ('aside_after', 'timestamp with time zone')
) as columns (name, type);

select col_type_is('public', 'integrations_omnisend_consents', name::name, type, 'integrations_omnisend_consents.' || name || ' is ' || type)
from (values
  ('id', 'bigint'), ('merchant_id', 'uuid'), ('channel', 'text'), ('identifier', 'text'), ('given', 'boolean'),
  ('occurred_at', 'timestamp with time zone'), ('source', 'text'), ('ip', 'inet'), ('user_agent', 'text'), ('origin', 'text'),
  ('created_at', 'timestamp with time zone')
) as columns (name, type);
select has_index('public', 'integrations_omnisend_consents', 'integrations_omnisend_consents_newest_idx', 'what holds is found by an index');
select col_type_is('omnisend_private', 'oauth_authorizations', name::name, type, 'oauth_authorizations.' || name || ' is ' || type)
from (values
  ('state_hash', 'bytea'), ('merchant_id', 'uuid'), ('code_verifier_enc', 'text'), ('redirect_uri', 'text'),
  ('scopes', 'text[]'), ('expires_at', 'timestamp with time zone')
) as columns (name, type);
select col_is_pk('omnisend_private', 'oauth_authorizations', 'state_hash', 'a state begins one authorization');
select hasnt_fk('omnisend_private', 'oauth_authorizations', 'an authorization under way locks no merchant');

-- Defaults and checks.
insert into public.merchants (id, store_name, slug) values ('cafe0000-0000-4000-8000-000000000001', 'pgTAP', 'pgtap-tables');
prepare connect as insert into public.integrations_omnisend (merchant_id) values ('cafe0000-0000-4000-8000-000000000001');
select lives_ok('connect', 'a merchant is all that a connection needs');
select results_eq(
  $$ select status, auth_type, currency, country_code from public.integrations_omnisend where merchant_id = 'cafe0000-0000-4000-8000-000000000001' $$,
  $$ values ('connected', 'api_key', 'ZAR', 'ZA') $$, 'a connection is connected by API key, in rand, in South Africa');
select throws_ok($$ update public.integrations_omnisend set status = 'paused' where merchant_id = 'cafe0000-0000-4000-8000-000000000001' $$,
  '23514', null, 'status is connected, error or disabled');
select throws_ok($$ update public.integrations_omnisend set auth_type = 'basic' where merchant_id = 'cafe0000-0000-4000-8000-000000000001' $$,
  '23514', null, 'auth_type is oauth or api_key');
select throws_ok($$ update public.integrations_omnisend set currency = 'rand' where merchant_id = 'cafe0000-0000-4000-8000-000000000001' $$,
  '23514', null, 'currency is an ISO 4217 code');
select throws_ok($$ insert into public.integrations_omnisend (merchant_id) values (gen_random_uuid()) $$,
  '23503', null, 'a connection is of a merchant that is there');
select lives_ok(format($$ insert into public.integrations_omnisend_logs (merchant_id, kind) values ('cafe0000-0000-4000-8000-000000000001', %L) $$, kind),
  'a log row can be about: ' || kind)
from unnest(array['event', 'contact', 'product', 'category', 'order']) as kind;
select throws_ok($$ insert into public.integrations_omnisend_logs (merchant_id, direction) values ('cafe0000-0000-4000-8000-000000000001', 'sideways') $$,
  '23514', null, 'direction is outbound or inbound');

select * from finish();
rollback;
