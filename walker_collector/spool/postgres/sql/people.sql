-- owners
SELECT alias, person FROM {schema}.aliases WHERE alias = ANY(%(keys)s::text[])
  OR alias IN (SELECT '~' || person FROM {schema}.aliases WHERE alias = ANY(%(keys)s::text[]))

-- set_aliases
INSERT INTO {schema}.aliases (alias, person) SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (alias) DO UPDATE SET person = excluded.person

-- set_signed_in
INSERT INTO {schema}.signed_in (key, person) SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (key) DO UPDATE SET person = excluded.person

-- delete_signed_in
DELETE FROM {schema}.signed_in WHERE key = ANY(%s::text[])

-- set_default_consent
INSERT INTO {schema}.default_consent (flow, current) VALUES (%s, %s)
ON CONFLICT (one) DO UPDATE SET flow = excluded.flow, current = excluded.current

-- delete_consents
DELETE FROM {schema}.consents WHERE person = ANY(%s::text[])

-- add_consents
INSERT INTO {schema}.consents (person, key, granted, stamp)
SELECT * FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::bigint[])

-- log_people
INSERT INTO {schema}.people_log (version, kind, key, owner)
SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::text[])

-- trim_log
DELETE FROM {schema}.people_log WHERE version <= %s

-- last_erased
SELECT key FROM {schema}.people_log WHERE kind = %s ORDER BY version DESC LIMIT %s

-- people_since
SELECT version, kind, key, owner FROM {schema}.people_log WHERE version > %s ORDER BY version

-- move_events
-- A join with the two arrays might read the whole index of people.
UPDATE {schema}.events
SET shard = (%(shards)s::smallint[])[array_position(%(keys)s::text[] COLLATE "C", person)]
WHERE person = ANY(%(keys)s::text[])
  AND shard <> (%(shards)s::smallint[])[array_position(%(keys)s::text[] COLLATE "C", person)]

-- link
SELECT (SELECT person FROM {schema}.aliases WHERE alias = %(key)s),
  (SELECT person FROM {schema}.signed_in WHERE key = %(key)s)

-- aliases_of
SELECT alias FROM {schema}.aliases WHERE person = %s

-- known_of
SELECT 'owner', alias, person, false, 0::bigint FROM {schema}.aliases
WHERE alias = ANY(%(keys)s::text[])
UNION ALL SELECT 'signed_in', key, person, false, 0 FROM {schema}.signed_in
WHERE key = ANY(%(keys)s::text[])
UNION ALL SELECT 'alias', person, alias, false, 0 FROM {schema}.aliases
WHERE person = ANY(%(keys)s::text[])
UNION ALL SELECT 'consent', person, key, granted, stamp FROM {schema}.consents
WHERE person = ANY(%(keys)s::text[])
UNION ALL SELECT 'claimed', '', '', false, 0
WHERE EXISTS (SELECT 1 FROM {schema}.aliases WHERE alias >= '~')
  OR EXISTS (SELECT 1 FROM {schema}.consents WHERE person >= '~')

-- consent_of
SELECT key, granted, stamp FROM {schema}.consents WHERE person = %s

-- default_consent
SELECT flow, current FROM {schema}.default_consent

-- has_consent
SELECT 1 FROM {schema}.consents LIMIT 1

-- has_claimed_people
SELECT 1 FROM {schema}.aliases WHERE alias >= '~'
UNION ALL SELECT 1 FROM {schema}.consents WHERE person >= '~' LIMIT 1
