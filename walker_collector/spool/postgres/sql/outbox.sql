-- post
INSERT INTO {schema}.outbox (at, body) VALUES (%s, %s)

-- take_outbox
-- Rows of one look are in the order of their commits where the server keeps the times of these.
SELECT number, at, body FROM {schema}.outbox
ORDER BY CASE WHEN current_setting('track_commit_timestamp')::boolean
  THEN pg_xact_commit_timestamp(xmin) END, number
LIMIT %s

-- lock_outbox
SELECT pg_try_advisory_lock(%s)

-- remove_outbox
DELETE FROM {schema}.outbox WHERE number = ANY(%s)

-- read_outbox
SELECT number, at, body FROM {schema}.outbox WHERE number > %s ORDER BY number LIMIT %s

-- search_outbox
SELECT number, at, body FROM {schema}.outbox
WHERE position(%s::bytea IN body) > 0 ORDER BY number

-- outbox_figures
SELECT count(*), coalesce(min(at), 0) FROM {schema}.outbox
