-- Default privileges, the regime announced for new projects: run after auto_expose_on.sql, these are the revokes that
-- Supabase publishes, incomplete as they are. TRUNCATE, REFERENCES, TRIGGER and (on 17) MAINTAIN stay with the API
-- roles, and a new function stays executable through PUBLIC: a migration that relies on the defaults is wrong in both.
-- https://supabase.com/changelog/45329-breaking-change-tables-not-exposed-to-data-and-graphql-api-automatically

alter default privileges for role postgres in schema public
    revoke select, insert, update, delete on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke usage, select on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke execute on functions from anon, authenticated, service_role;
