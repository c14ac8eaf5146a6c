-- has_schema
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s)

-- has_layout
SELECT count(*) = 2 FROM pg_catalog.pg_tables
WHERE schemaname = %s AND tablename IN ('layout', 'people_version')

-- layout
SELECT version, shards FROM {schema}.layout

-- set_layout
INSERT INTO {schema}.layout (version, shards) VALUES (%s, %s)
ON CONFLICT (one) DO UPDATE SET version = excluded.version

-- figures
SELECT a.seq, a.events - d.events, a.bytes - d.bytes, a.erasures, p.changes, p.stamp
FROM {schema}.accepted a, {schema}.delivered d, {schema}.people_version p
WHERE a.one AND d.one AND p.one  -- one row each, which the planner cannot know otherwise

-- begin
BEGIN

-- set_for_now
SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s (name, value)

-- take_numbers
UPDATE {schema}.accepted SET seq = seq + %(count)s, events = events + %(count)s,
  bytes = bytes + %(size)s
RETURNING seq - %(count)s

-- give_back
UPDATE {schema}.accepted SET seq = seq - %(count)s, events = events - %(count)s,
  bytes = bytes - %(size)s

-- set_erasures
UPDATE {schema}.accepted SET erasures = %s

-- lock_people
SELECT version FROM {schema}.people_version FOR UPDATE

-- change_people
UPDATE {schema}.people_version SET version = version + %(count)s, changes = changes + %(told)s,
  stamp = greatest(stamp, %(stamp)s)

-- count_delivered
UPDATE {schema}.delivered SET events = events + %s, bytes = bytes + %s

-- commit
COMMIT

-- notify
SELECT pg_notify(%s, %s)

-- add_writer
WITH gone AS (DELETE FROM {schema}.writers WHERE at < now() - interval '30 days')
INSERT INTO {schema}.writers (process) VALUES (%s) ON CONFLICT DO NOTHING

-- note_commit
INSERT INTO {schema}.writers (process, number) VALUES (%s, %s)
ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = excluded.at

-- last_commit
SELECT number FROM {schema}.writers WHERE process = %s FOR UPDATE NOWAIT

-- delete_writer
DELETE FROM {schema}.writers WHERE process = %s

-- others_there
SELECT count(*) FROM pg_stat_activity
WHERE application_name = current_setting('application_name')
  AND datname = current_database() AND pid <> pg_backend_pid()

-- takes_no_writes
SELECT current_setting('transaction_read_only')::boolean

-- newest
SELECT seq FROM {schema}.accepted

-- vacuum
VACUUM {schema}.events, {schema}.deliveries, {schema}.recent, {schema}.people_log,
  {schema}.aliases, {schema}.signed_in, {schema}.consents, {schema}.pending_erasures
