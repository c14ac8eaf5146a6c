-- The rights of the user, and whether two connections lead to one database.

-- rights
SELECT current_user, current_database(), n.oid IS NOT NULL,
  has_database_privilege(current_database(), 'CREATE'),
  coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
  coalesce(has_schema_privilege(n.oid, 'CREATE'), false)
FROM (SELECT %s::text AS name) AS asked LEFT JOIN pg_catalog.pg_namespace n ON nspname = name

-- closed_tables
SELECT relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relkind = 'r' AND NOT (has_table_privilege(c.oid, 'SELECT')
  AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
  AND has_table_privilege(c.oid, 'DELETE'))
ORDER BY relname

-- tables
SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s ORDER BY tablename

-- is_unlocked
SELECT pg_try_advisory_xact_lock(%s)
