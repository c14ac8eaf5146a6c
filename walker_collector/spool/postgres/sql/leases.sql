-- Members and leases. Every lock is an advisory one of the session that holds the leases of a
-- process: the server gives it up with the session, however the process ends.

-- backend
SELECT pg_backend_pid()

-- set_all
SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)

-- lock
SELECT pg_try_advisory_lock(%s)

-- unlock
SELECT pg_advisory_unlock(%s)

-- unlock_all
SELECT pg_advisory_unlock_all()

-- locks
SELECT pid, (classid::bigint << 32) | objid::bigint FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database = (
  SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())

-- locks_digest
SELECT coalesce(bit_xor(hashint8extended((classid::bigint << 32) | objid::bigint, pid)), 0)
FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database = (
  SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())

-- sign
INSERT INTO {schema}.members (token, pid, host, since, delivers, leaving)
VALUES (%(token)s, %(pid)s, %(host)s,
  coalesce(%(since)s::double precision, extract(epoch FROM clock_timestamp())),
  %(delivers)s::text[], %(leaving)s)
ON CONFLICT (token) DO UPDATE SET signed = clock_timestamp(), leaving = excluded.leaving
RETURNING since

-- members
SELECT token, pid, host, since, delivers, leaving,
  extract(epoch FROM clock_timestamp())::double precision - since,
  extract(epoch FROM clock_timestamp() - signed)::double precision
FROM {schema}.members

-- delete_members
DELETE FROM {schema}.members WHERE token = ANY(%s::text[])

-- note_lease
INSERT INTO {schema}.leases AS l (destination, shard, token) VALUES (%s, %s, %s)
ON CONFLICT (destination, shard) DO UPDATE SET token = excluded.token
RETURNING l.health::text

-- set_health
UPDATE {schema}.leases SET health = %s::jsonb WHERE destination = %s AND token = %s

-- leases_of
SELECT shard, health::text FROM {schema}.leases WHERE destination = %s ORDER BY shard
