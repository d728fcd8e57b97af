"""What a database's catalogs say about this project's objects, as plain sorted lines that can be compared.

Column order is left out: it says in which order columns came, and nothing that works depends on it.
"""

from __future__ import annotations

from typing import Final

import psycopg

OWN_TABLES: Final = (
    "integrations_omnisend",
    "integrations_omnisend_logs",
    "integrations_omnisend_outbox",
    "integrations_omnisend_lanes",
    "integrations_omnisend_workers",
    "integrations_omnisend_consents",
    "integrations_omnisend_syncs",
)
API_ROLES: Final = ("anon", "authenticated", "service_role")

# Whatever of SOLDT's or the platform's has these names in it would be ours by mistake: that is the point.
_RELATIONS = """
    with relation as (
        select c.* from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relname like 'integrations\\_omnisend%'
    ),
    routine as (
        select p.* from pg_proc p
        where p.pronamespace = 'omnisend_private'::regnamespace
            or (p.pronamespace = 'public'::regnamespace and p.proname like 'omnisend%')
    )
"""

_ASPECTS: Final = {
    "relations": """
        select format('%s %s %s rls=%s force=%s owner=%s %s %s', relname, relkind, relpersistence, relrowsecurity,
            relforcerowsecurity, relowner::regrole, coalesce(array_to_string(reloptions, ' '), ''), obj_description(oid, 'pg_class'))
        from relation where relkind <> 'S'
    """,
    "columns": """
        select format('%s.%s %s null=%s default=%s identity=%s generated=%s collation=%s comment=%s', c.relname, a.attname,
            format_type(a.atttypid, a.atttypmod), not a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
            a.attgenerated, nullif(a.attcollation, 0)::regcollation, col_description(c.oid, a.attnum))
        from relation c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relkind in ('r', 'v')
    """,
    "constraints": """
        select format('%s %s %s valid=%s', c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated)
        from relation c join pg_constraint k on k.conrelid = c.oid
    """,
    "indexes": """
        select format('%s valid=%s', pg_get_indexdef(i.indexrelid), i.indisvalid)
        from relation c join pg_index i on i.indrelid = c.oid
    """,
    "policies": """
        select format('%s %s %s %s to %s using %s check %s', c.relname, p.polname, p.polcmd, p.polpermissive,
            array(select case when r = 0 then 'public' else r::regrole::text end from unnest(p.polroles) r order by 1),
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        from relation c join pg_policy p on p.polrelid = c.oid
    """,
    "grants": """
        select format('%s %s to %s by %s%s', c.relname, g.privilege_type,
            case when g.grantee = 0 then 'public' else g.grantee::regrole::text end, g.grantor::regrole, g.is_grantable)
        from relation c
        cross join lateral aclexplode(coalesce(c.relacl,
            acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) g
        where c.relkind in ('r', 'v', 'S')
    """,
    "column grants": """
        select format('%s.%s %s to %s', c.relname, a.attname, g.privilege_type,
            case when g.grantee = 0 then 'public' else g.grantee::regrole::text end)
        from relation c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
        cross join lateral aclexplode(a.attacl) g
    """,
    "sequences": """
        select format('%s of %s.%s as %s start %s', s.relname, t.relname, a.attname, q.seqtypid::regtype, q.seqstart)
        from relation s join pg_sequence q on q.seqrelid = s.oid
        left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype in ('a', 'i')
        left join pg_class t on t.oid = d.refobjid
        left join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
    """,
    "view": "select pg_get_viewdef(oid) from relation where relkind = 'v'",
    "functions": """
        select format('%s.%s(%s) returns %s %s definer=%s %s owner=%s %s %s %s', p.pronamespace::regnamespace, p.proname,
            pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.provolatile, p.prosecdef,
            array_to_string(p.proconfig, ' '), p.proowner::regrole, md5(p.prosrc), p.proparallel, obj_description(p.oid, 'pg_proc'))
        from routine p
    """,
    "function grants": """
        select format('%s(%s) to %s', p.proname, pg_get_function_identity_arguments(p.oid),
            case when g.grantee = 0 then 'public' else g.grantee::regrole::text end)
        from routine p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
    """,
    "triggers": """
        select format('%s %s', pg_get_triggerdef(t.oid), t.tgenabled)
        from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where not t.tgisinternal and (
            p.pronamespace = 'omnisend_private'::regnamespace or t.tgrelid in (select oid from relation))
    """,
    "types": """
        select format('%s %s', t.typname, array(select e.enumlabel from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder))
        from pg_type t where t.typnamespace = 'public'::regnamespace and t.typname like 'omnisend%' and t.typtype = 'e'
    """,
    "schema": """
        select format('%s %s to %s', n.nspname, g.privilege_type,
            case when g.grantee = 0 then 'public' else g.grantee::regrole::text end)
        from pg_namespace n cross join lateral aclexplode(n.nspacl) g where n.nspname = 'omnisend_private'
    """,
    "publications": """
        select format('%s in %s', p.tablename, p.pubname) from pg_publication_tables p
        where p.tablename like 'integrations\\_omnisend%'
    """,
}


def snapshot(conn: psycopg.Connection) -> dict[str, list[str]]:
    """Everything that this project's objects are, by aspect."""
    conn.execute("set search_path = ''")
    return {
        aspect: sorted(str(line) for (line,) in conn.execute(_RELATIONS + query))  # type: ignore[call-overload]
        for aspect, query in _ASPECTS.items()
    }
