-- schedule_erasure
INSERT INTO {schema}.pending_erasures (person, erasure) SELECT u.person, %s
FROM unnest(%s::text[]) AS u (person) ON CONFLICT DO NOTHING

-- cancel_erasure
DELETE FROM {schema}.pending_erasures WHERE erasure = %s

-- pending_erasures
SELECT person FROM {schema}.pending_erasures

-- erasures
SELECT DISTINCT erasure FROM {schema}.pending_erasures

-- adopt_erasures
UPDATE {schema}.pending_erasures SET erasure = %s WHERE erasure = ANY(%s::text[])

-- erased_by
SELECT person FROM {schema}.pending_erasures WHERE erasure = %s

-- erase_events
WITH gone AS (
  DELETE FROM {schema}.events WHERE person = ANY(%s::text[]) RETURNING seq, body, subscribers)
SELECT g.seq, g.body, t.id, coalesce(d.state, 0) FROM gone g
LEFT JOIN unnest(g.subscribers) s (number) ON true LEFT JOIN {schema}.destinations t USING (number)
LEFT JOIN {schema}.deliveries d ON d.seq = g.seq AND d.destination = s.number

-- erase_deliveries
DELETE FROM {schema}.deliveries WHERE seq = ANY(%s::bigint[])

-- erase_log
DELETE FROM {schema}.people_log WHERE key = ANY(%(keys)s::text[]) OR owner = ANY(%(keys)s::text[])

-- linked_keys
SELECT alias FROM {schema}.aliases WHERE person = ANY(%(keys)s::text[])
UNION SELECT key FROM {schema}.signed_in WHERE person = ANY(%(keys)s::text[])

-- erase_aliases
DELETE FROM {schema}.aliases WHERE person = ANY(%(keys)s::text[]) OR alias = ANY(%(keys)s::text[])

-- erase_signed_in
DELETE FROM {schema}.signed_in WHERE person = ANY(%s::text[])

-- inherit_keys
INSERT INTO {schema}.aliases (alias, person)
SELECT key, person FROM {schema}.signed_in WHERE key = ANY(%s::text[])
ON CONFLICT (alias) DO UPDATE SET person = excluded.person

-- erase_pending
DELETE FROM {schema}.pending_erasures WHERE person = ANY(%s::text[])

-- lock_erasure
SELECT pg_try_advisory_lock(%s)

-- is_erasing
SELECT NOT pg_try_advisory_xact_lock(%s)

-- end_erasure
SELECT pg_advisory_unlock(%s)
