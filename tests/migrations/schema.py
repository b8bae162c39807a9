"""What a database's schema is, as lines: from the catalogue, so that every PostgreSQL can say it."""

from __future__ import annotations

import asyncpg

QUERIES = (
    "SELECT 'extension ' || extname FROM pg_extension ORDER BY 1",
    """SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'matview' WHEN 'S' THEN 'sequence' ELSE 'table' END
           || ' ' || c.relname || ' ' || c.relkind::text || c.relpersistence::text
           || coalesce(array_to_string(c.reloptions, ','), '')
           || coalesce(pg_get_viewdef(CASE WHEN c.relkind IN ('v', 'm') THEN c.oid END), '')
       FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
       ORDER BY 1""",
    """SELECT 'column ' || c.relname || '.' || a.attnum || ' ' || a.attname || ' '
           || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
           || a.attidentity::text || a.attgenerated::text || a.attstorage::text
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
           AND NOT a.attisdropped ORDER BY c.relname, a.attnum""",
    """SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
       FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1""",
    "SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    """SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p
       LEFT JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
       WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p') AND d.objid IS NULL ORDER BY 1""",
    """SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
       WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace ORDER BY 1""",
    """SELECT 'type ' || t.typname || ' ' || t.typtype::text || coalesce((
           SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), '')
       FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd', 'r') ORDER BY 1""",
    """SELECT 'sequence ' || s.seqrelid::regclass || format(' %s %s %s %s %s', seqtypid::regtype, seqstart,
           seqincrement, seqcache, seqcycle) FROM pg_sequence s ORDER BY 1""",
    "SELECT 'applied ' || version || ' ' || name || ' ' || checksum FROM schema_migrations ORDER BY version",
)


async def dump_schema(connection: asyncpg.Connection) -> list[str]:
    lines: list[str] = []
    for query in QUERIES:
        lines += [row[0] for row in await connection.fetch(query)]
    return lines
