-- Who may do what: policies, grants per role, columns that are hidden, functions.

begin;
set local search_path = public, extensions;
select plan(136);

-- Row level security -----------------------------------------------------------------------------------------------------

select ok(relrowsecurity, relname || ' has row level security')
from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' and relname like 'integrations\_omnisend%' order by relname;
select policies_are('public', 'integrations_omnisend', array['integrations_omnisend_admin', 'integrations_omnisend_worker']);
select policies_are('public', 'integrations_omnisend_logs', array['integrations_omnisend_logs_admin', 'integrations_omnisend_logs_worker']);
select policies_are('public', 'integrations_omnisend_outbox', array['integrations_omnisend_outbox_admin', 'integrations_omnisend_outbox_worker']);
select policies_are('public', 'integrations_omnisend_lanes', array['integrations_omnisend_lanes_admin', 'integrations_omnisend_lanes_worker']);
select policies_are('public', 'integrations_omnisend_consents', array['integrations_omnisend_consents_admin', 'integrations_omnisend_consents_worker']);
select policy_cmd_is('public', 'integrations_omnisend_consents', 'integrations_omnisend_consents_worker', 'insert', 'the worker adds consents');
select policies_are('public', 'integrations_omnisend_workers', array['integrations_omnisend_workers_worker']);
select policy_cmd_is('public', name::name, (name || '_admin')::name, 'select', 'admins only read ' || name)
from unnest(array['integrations_omnisend', 'integrations_omnisend_logs', 'integrations_omnisend_outbox', 'integrations_omnisend_lanes',
  'integrations_omnisend_consents']) as name;
select policy_roles_are('public', name::name, (name || '_admin')::name, array['authenticated'], 'only who has signed in reads ' || name)
from unnest(array['integrations_omnisend', 'integrations_omnisend_logs', 'integrations_omnisend_outbox', 'integrations_omnisend_lanes',
  'integrations_omnisend_consents']) as name;

-- Grants -----------------------------------------------------------------------------------------------------------------

select table_privs_are('public', name::name, 'anon', '{}', 'a visitor holds nothing on ' || name)
from unnest(array['integrations_omnisend', 'integrations_omnisend_logs', 'integrations_omnisend_outbox',
  'integrations_omnisend_lanes', 'integrations_omnisend_workers', 'integrations_omnisend_status', 'integrations_omnisend_consents']) as name;
select table_privs_are('public', name::name, role::name, privileges, format('%s on %s: %s', role, name, privileges))
from (values
  ('integrations_omnisend', '{}'::text[]), ('integrations_omnisend_outbox', '{}'),  -- by column, below
  ('integrations_omnisend_logs', '{SELECT}'), ('integrations_omnisend_lanes', '{SELECT}'), ('integrations_omnisend_status', '{SELECT}')
) as grants (name, privileges)
cross join unnest(array['authenticated', 'service_role']) as role;
select table_privs_are('public', 'integrations_omnisend_workers', 'authenticated', '{}', 'admins do not see the workers');
select table_privs_are('public', 'integrations_omnisend_consents', role::name, privileges, format('%s on integrations_omnisend_consents: %s', role, privileges))
from (values ('authenticated', '{SELECT}'::text[]), ('service_role', '{}'), ('omnisend_worker', '{}')) as roles (role, privileges);
select column_privs_are('public', 'integrations_omnisend_consents', name::name, 'omnisend_worker', privileges, 'the worker on a consent''s ' || name)
from (values ('identifier', '{INSERT}'::text[]), ('origin', '{INSERT}'), ('id', '{}'), ('created_at', '{}')) as columns (name, privileges);
select table_privs_are('public', name::name, 'omnisend_worker', privileges, 'the worker on ' || name)
from (values
  ('integrations_omnisend', array['SELECT', 'INSERT', 'UPDATE']), ('integrations_omnisend_logs', array['SELECT', 'INSERT', 'DELETE']),
  ('integrations_omnisend_outbox', array['SELECT', 'INSERT', 'UPDATE', 'DELETE']), ('orders', '{}'), ('merchants', '{}')
) as grants (name, privileges);

select column_privs_are('public', 'integrations_omnisend', name::name, role::name, '{}', format('%s does not read %s', role, name))
from unnest(array['api_key_enc', 'access_token_enc', 'refresh_token_enc',
  'token_refreshed_at', 'refresh_lease_token', 'refresh_lease_until']) as name
cross join unnest(array['anon', 'authenticated', 'service_role']) as role;
select column_privs_are('public', 'integrations_omnisend_outbox', name::name, 'authenticated', '{}', 'an admin does not read ' || name)
from unnest(array['payload', 'dedup_key', 'ordering_key', 'lease_token', 'lease_until', 'leased_by']) as name;
select column_privs_are('public', 'integrations_omnisend_outbox', name::name, 'authenticated', '{SELECT}', 'an admin reads ' || name)
from unnest(array['name', 'state', 'attempts', 'last_error', 'available_at']) as name;

select table_privs_are('omnisend_private', 'oauth_authorizations', role::name, '{}', role || ' holds nothing on authorizations under way')
from unnest(array['anon', 'authenticated', 'service_role']) as role;
select table_privs_are('omnisend_private', 'oauth_authorizations', 'omnisend_worker', array['SELECT', 'INSERT', 'DELETE'],
  'the worker on authorizations under way');
select policies_are('omnisend_private', 'oauth_authorizations', array['oauth_authorizations_worker']);
select ok(relrowsecurity, 'authorizations under way have row level security')
from pg_class where oid = 'omnisend_private.oauth_authorizations'::regclass;

-- Functions --------------------------------------------------------------------------------------------------------------

select function_privs_are('public', 'omnisend_enqueue', array['uuid', 'text', 'jsonb', 'text', 'timestamptz', 'text', 'text'], role::name, privileges,
  format('%s on omnisend_enqueue: %s', role, privileges))
from (values ('anon', '{}'::text[]), ('authenticated', '{}'), ('service_role', '{EXECUTE}')) as roles (role, privileges);
select function_privs_are('public', 'omnisend_retry', array['bigint[]'], role::name, privileges, format('%s on omnisend_retry: %s', role, privileges))
from (values ('anon', '{}'::text[]), ('authenticated', '{EXECUTE}'), ('service_role', '{}')) as roles (role, privileges);
select function_privs_are('public', 'omnisend_record_consent',
  array['uuid', 'text', 'text', 'boolean', 'text', 'timestamptz', 'jsonb', 'text', 'text', 'text'], role::name, '{EXECUTE}', role || ' records consents')
from unnest(array['anon', 'authenticated', 'service_role', 'omnisend_worker']) as role;
select function_privs_are('omnisend_private', 'record_consent',
  array['uuid', 'text', 'text', 'boolean', 'text', 'timestamptz', 'jsonb', 'text', 'text', 'text'], role::name, privileges,
  format('%s on saying everything of a consent: %s', role, privileges))
from (values ('anon', '{}'::text[]), ('authenticated', '{}'), ('service_role', '{EXECUTE}'), ('omnisend_worker', '{EXECUTE}')) as roles (role, privileges);
select function_privs_are('public', 'omnisend_contact_changed', array['uuid', 'jsonb', 'timestamptz'], role::name, privileges,
  format('%s on omnisend_contact_changed: %s', role, privileges))
from (values ('anon', '{}'::text[]), ('authenticated', '{}'), ('service_role', '{EXECUTE}')) as roles (role, privileges);
select function_privs_are(schema::name, name::name, array['uuid', 'text', 'text'], role::name, privileges, format('%s on %s', role, name))
from (values ('public', 'omnisend_forget_person'), ('omnisend_private', 'forget_person')) as functions (schema, name)
cross join (values ('anon', '{}'::text[]), ('authenticated', '{}'), ('service_role', '{EXECUTE}'), ('omnisend_worker', '{}')) as roles (role, privileges);
select schema_privs_are('omnisend_private', 'anon', '{USAGE}', 'a visitor''s consent passes through the private schema');
select is_empty(
  $$ select p.oid::regprocedure from pg_proc p
     where (p.pronamespace = 'omnisend_private'::regnamespace or p.proname like 'omnisend\_%')
       and p.proconfig is distinct from array['search_path=""'] $$,
  'every function has a fixed, empty search path');
select is_empty(
  $$ select p.oid::regprocedure from pg_proc p
     where p.prosecdef and p.pronamespace = 'public'::regnamespace and p.proname like 'omnisend\_%' $$,
  'no function that the API exposes runs with more rights than its caller');
select is_empty(
  $$ select p.oid::regprocedure from pg_proc p
     where p.pronamespace = 'omnisend_private'::regnamespace
       and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('public', p.oid, 'execute'))
       and p.proname <> 'record_consent_in_browser' $$,
  'no other private function can be called by a visitor');

-- Rows -------------------------------------------------------------------------------------------------------------------

insert into auth.users (id, email) values
  ('cafe0000-0000-4000-8000-0000000000a1', 'owner@pgtap.example'), ('cafe0000-0000-4000-8000-0000000000a2', 'other@pgtap.example');
insert into public.merchants (id, owner_id, store_name, slug) values
  ('cafe0000-0000-4000-8000-000000000001', 'cafe0000-0000-4000-8000-0000000000a1', 'pgTAP', 'pgtap-access');
insert into public.integrations_omnisend (merchant_id) values ('cafe0000-0000-4000-8000-000000000001');
select isnt(public.omnisend_enqueue('cafe0000-0000-4000-8000-000000000001', 'order_placed', '{"id": 1}'), null, 'an event is written');

select isnt(public.omnisend_record_consent('cafe0000-0000-4000-8000-000000000001', 'email', 'somebody@pgtap.example'), null, 'a consent is recorded');
select throws_ok('update public.integrations_omnisend_consents set given = false', '55000', null, 'not even the owner of the table changes one');
select throws_ok('delete from public.integrations_omnisend_consents', '55000', null, 'nor removes one');

create function pg_temp.sign_in(p_user uuid) returns void language sql as $$
  select set_config('request.jwt.claims', jsonb_build_object('sub', p_user, 'role', 'authenticated')::text, true),
    set_config('role', 'authenticated', true)
$$;

select pg_temp.sign_in('cafe0000-0000-4000-8000-0000000000a1');
select isnt_empty('select name from public.integrations_omnisend_outbox where merchant_id = ''cafe0000-0000-4000-8000-000000000001''',
  'the owner sees their row');
select isnt_empty('select * from public.integrations_omnisend_status where merchant_id = ''cafe0000-0000-4000-8000-000000000001''',
  'the owner sees their connection');
select isnt_empty('select * from public.integrations_omnisend_consents where merchant_id = ''cafe0000-0000-4000-8000-000000000001''',
  'the owner sees who agreed');
select throws_ok('select payload from public.integrations_omnisend_outbox', '42501', null, 'the owner does not see what it holds');
select throws_ok('select * from public.integrations_omnisend', '42501', null, 'nor, by *, the credentials');
select throws_ok('update public.integrations_omnisend set status = ''disabled''', '42501', null, 'nor may they write');

select pg_temp.sign_in('cafe0000-0000-4000-8000-0000000000a2');
select is_empty('select name from public.integrations_omnisend_outbox where merchant_id = ''cafe0000-0000-4000-8000-000000000001''',
  'somebody else does not see it');
select is_empty('select * from public.integrations_omnisend_consents where merchant_id = ''cafe0000-0000-4000-8000-000000000001''',
  'nor who agreed');
select throws_ok($$ select public.omnisend_record_consent('cafe0000-0000-4000-8000-000000000001', 'email', 'somebody@pgtap.example', false) $$,
  '42501', null, 'nor may they say that somebody no longer does');
reset role;

set local role anon;
select throws_ok('select name from public.integrations_omnisend_outbox', '42501', null, 'a visitor may not even ask');
select throws_ok('select identifier from public.integrations_omnisend_consents', '42501', null, 'nor for consents');
select isnt(public.omnisend_record_consent('cafe0000-0000-4000-8000-000000000001', 'email', 'visitor@pgtap.example'), null, 'but gives theirs');
reset role;

-- A person forgotten -----------------------------------------------------------------------------------------------------

select is(
  public.omnisend_forget_person('cafe0000-0000-4000-8000-000000000001', 'Somebody@pgtap.example') ->> 'consents', '1', 'a person is forgotten');
select results_eq('select identifier collate "default" from public.integrations_omnisend_consents where merchant_id = ''cafe0000-0000-4000-8000-000000000001''',
  array['visitor@pgtap.example'], 'and nobody else');

select * from finish();
rollback;
