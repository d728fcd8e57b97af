-- The roles of a Supabase project, as supabase/postgres makes them. Roles belong to the server, not to a database:
-- this file is run once per database and must change nothing the second time. Passwords are public sandbox ones.

do $$
declare
    wanted record;
begin
    if exists (select from pg_roles where rolname = 'postgres' and rolsuper) then
        raise exception 'The role postgres is a superuser here; on Supabase it is not, and what it may not do could not '
            'be tested. Use a server whose bootstrap superuser is another role, such as supabase_admin '
            '(docker run -e POSTGRES_USER=supabase_admin, initdb -U supabase_admin).';
    end if;
    for wanted in
        select * from (values
            ('anon', 'nologin inherit'),
            ('authenticated', 'nologin inherit'),
            ('service_role', 'nologin inherit bypassrls'),
            ('authenticator', 'login noinherit'),
            ('supabase_auth_admin', 'login noinherit createrole'),
            ('supabase_storage_admin', 'login noinherit createrole'),
            ('dashboard_user', 'nologin createdb createrole replication'),
            ('supabase_read_only_user', 'login bypassrls'),
            ('postgres', 'nosuperuser login createdb createrole replication bypassrls')
        ) as roles (name, attributes)
    loop
        if not exists (select from pg_roles where rolname = wanted.name) then
            execute format('create role %I %s', wanted.name, wanted.attributes);
            if wanted.attributes ~ '\mlogin' then
                execute format('alter role %I password %L', wanted.name, 'postgres');
            end if;
        end if;
    end loop;
end
$$;

grant anon, authenticated, service_role to authenticator;
-- postgres may act as the three API roles, and look at everything, but it is no superuser.
grant anon, authenticated, service_role, pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
grant pg_read_all_data to supabase_read_only_user;

-- A browser's statement ends after three or eight seconds; the setting of the role PostgREST logs in as holds for
-- service_role too. https://supabase.com/docs/guides/database/postgres/timeouts
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';

alter role postgres set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_storage_admin set search_path = storage;
