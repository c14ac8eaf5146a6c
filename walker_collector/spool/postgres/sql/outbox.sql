-- post
INSERT INTO {schema}.outbox (body) VALUES (%s)

-- take_outbox
-- Rows of one look are in the order of their commits where the server keeps the times of these.
SELECT number, body FROM {schema}.outbox
ORDER BY CASE WHEN current_setting('track_commit_timestamp')::boolean
  THEN pg_xact_commit_timestamp(xmin) END, number
LIMIT %s

-- lock_outbox
SELECT pg_try_advisory_lock(%s)

-- remove_outbox
DELETE FROM {schema}.outbox WHERE number = ANY(%s)
