-- has_layout
SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'layout')

-- layout
SELECT version, shards FROM {schema}.layout

-- set_layout
INSERT INTO {schema}.layout (version, shards) VALUES (%s, %s)
ON CONFLICT (one) DO UPDATE SET version = excluded.version
