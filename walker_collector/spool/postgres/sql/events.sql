-- destinations
SELECT id, number FROM {schema}.destinations

-- add_destination
INSERT INTO {schema}.destinations (id)
SELECT %(id)s WHERE NOT EXISTS (SELECT FROM {schema}.destinations WHERE id = %(id)s)
ON CONFLICT DO NOTHING

-- insert_events
-- The arrays are of one length. In FROM, all their rows would be written to memory, and read again.
INSERT INTO {schema}.events (subscribers, seq, shard, at, person, body)
SELECT %s::smallint[], unnest(%s::bigint[]), unnest(%s::smallint[]), unnest(%s::bigint[]),
  unnest(%s::text[]), unnest(%s::bytea[])

-- insert_states
INSERT INTO {schema}.deliveries (seq, destination, state)
SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::smallint[])

-- ack
-- What most acknowledgements need, in one statement: events without other subscribers are deleted.
-- It may be repeated. The figures are those of before. Chunks are joined as in `claim`.
WITH chunks AS (
  SELECT first, flags FROM unnest(%(firsts)s::bigint[], %(flags)s::bytea[]) AS c (first, flags)),
gone AS (
  DELETE FROM {schema}.events e USING chunks c
  WHERE e.seq >= c.first AND e.seq < c.first + octet_length(c.flags)
    AND CASE WHEN e.seq - c.first BETWEEN 0 AND octet_length(c.flags) - 1
      THEN get_byte(c.flags, (e.seq - c.first)::int) = 1 END
    AND e.subscribers = ARRAY[%(destination)s::smallint]
  RETURNING e.seq, octet_length(e.body) AS size),
past AS (  -- of these alone: the others stay as they are, whatever comes before their turn
  DELETE FROM {schema}.deliveries WHERE destination = %(destination)s AND seq = ANY(ARRAY(
    SELECT d.seq FROM chunks c CROSS JOIN LATERAL (
      SELECT seq FROM {schema}.deliveries
      WHERE seq >= c.first AND seq < c.first + octet_length(c.flags)
        AND destination = %(destination)s OFFSET 0) d
    WHERE d.seq IN (SELECT seq FROM gone))) RETURNING 1),
cleared AS (
  UPDATE {schema}.calls SET number = 0, shards = 0, people = '{}'
  WHERE process = %(process)s AND slot = ANY(%(slots)s::int[])),
total AS MATERIALIZED (
  SELECT count(*) AS events, coalesce(sum(size), 0)::bigint AS bytes, (SELECT count(*) FROM past)
  FROM gone),
counted AS (  -- last of all: every process waits for this row
  UPDATE {schema}.delivered d SET events = d.events + t.events, bytes = d.bytes + t.bytes
  FROM total t WHERE t.events > 0)
SELECT t.events, t.bytes, a.seq, a.events - d.events, a.bytes - d.bytes, a.erasures, p.changes,
  p.stamp
FROM total t, {schema}.accepted a, {schema}.delivered d, {schema}.people_version p
WHERE a.one AND d.one AND p.one

-- delete_events
WITH gone AS (
  DELETE FROM {schema}.events
  WHERE seq = ANY(%(seqs)s::bigint[]) AND subscribers = ARRAY[%(destination)s::smallint]
  RETURNING octet_length(body) AS size)
SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone

-- delete_deliveries
DELETE FROM {schema}.deliveries
WHERE seq = ANY(%(seqs)s::bigint[]) AND destination = %(destination)s

-- unsubscribe
UPDATE {schema}.events SET subscribers = array_remove(subscribers, %(destination)s::smallint)
WHERE seq = ANY(%(seqs)s::bigint[]) AND %(destination)s::smallint = ANY(subscribers)

-- delete_finished
WITH gone AS (
  DELETE FROM {schema}.events WHERE seq = ANY(%s::bigint[]) AND subscribers = '{}'
  RETURNING octet_length(body) AS size)
SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone

-- keep_states
INSERT INTO {schema}.deliveries
  (state, attempts, due, changed, reason, parts, consent, error, seq, destination)
SELECT u.state, u.attempts, u.due, u.changed, u.reason, u.parts, u.consent, u.error, u.seq,
  u.destination
FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::bigint[], %s::smallint[])
  AS u (state, attempts, due, changed, reason, parts, consent, error, seq, destination)
WHERE EXISTS (
  SELECT FROM {schema}.events e WHERE e.seq = u.seq AND u.destination = ANY(e.subscribers))
ON CONFLICT (seq, destination) DO UPDATE SET
  state = excluded.state, attempts = excluded.attempts, due = excluded.due,
  changed = excluded.changed, reason = excluded.reason, parts = excluded.parts,
  consent = excluded.consent, error = excluded.error

-- keep_parts
INSERT INTO {schema}.deliveries
  (state, attempts, due, changed, reason, parts, consent, error, seq, destination)
SELECT u.state, u.attempts, u.due, u.changed, u.reason, u.parts, u.consent, u.error, u.seq,
  u.destination
FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::bigint[], %s::smallint[])
  AS u (state, attempts, due, changed, reason, parts, consent, error, seq, destination)
WHERE EXISTS (
  SELECT FROM {schema}.events e WHERE e.seq = u.seq AND u.destination = ANY(e.subscribers))
ON CONFLICT (seq, destination) DO UPDATE SET parts = excluded.parts

-- release
UPDATE {schema}.deliveries SET state = 0, due = 0
WHERE seq = ANY(%s::bigint[]) AND destination = %s AND state = 1

-- requeue
UPDATE {schema}.deliveries d
SET state = 0, attempts = 0, due = 0, reason = NULL, error = NULL, parts = u.parts
FROM unnest(%s::bigint[], %s::smallint[], %s::text[]) AS u (seq, destination, parts)
WHERE d.seq = u.seq AND d.destination = u.destination AND d.state = 2
RETURNING d.seq, d.destination

-- still_dead
SELECT d.seq, d.destination FROM {schema}.deliveries d
JOIN unnest(%s::bigint[], %s::smallint[]) AS u (seq, destination) USING (seq, destination)
WHERE d.state = 2 ORDER BY d.seq, d.destination FOR UPDATE OF d

-- waiting
-- In the order of the primary key. The planner must not see how many rows the conditions leave: it
-- would take them for few, and read and sort all events. `array_position` hides that, and so does
-- an item of `held`, which says of each shard whether to read it.
SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent, d.state
FROM {schema}.events e
LEFT JOIN LATERAL (
  SELECT * FROM {schema}.deliveries WHERE seq = e.seq AND destination = %(destination)s OFFSET 0
) d ON true
WHERE e.seq > %(after)s AND e.seq <= %(up_to)s
  AND array_position(e.subscribers, %(destination)s::smallint) IS NOT NULL
  AND coalesce(d.state, 0) <= %(most)s
  AND (%(held)s::boolean[] IS NULL OR (%(held)s::boolean[])[e.shard + 1])
ORDER BY e.seq LIMIT %(limit)s

-- waiting_by_size
-- The same within a number of bytes.
SELECT seq, person, at, body, attempts, due, reason, parts, consent, state FROM (
  SELECT *, sum(octet_length(body)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    - octet_length(body) AS before FROM (
    SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent, d.state
    FROM {schema}.events e
    LEFT JOIN LATERAL (
      SELECT * FROM {schema}.deliveries WHERE seq = e.seq AND destination = %(destination)s OFFSET 0
    ) d ON true
    WHERE e.seq > %(after)s AND e.seq <= %(up_to)s
      AND array_position(e.subscribers, %(destination)s::smallint) IS NOT NULL
      AND coalesce(d.state, 0) <= %(most)s
      AND (%(held)s::boolean[] IS NULL OR (%(held)s::boolean[])[e.shard + 1])
    ORDER BY e.seq LIMIT %(limit)s) AS found) AS sized
WHERE before < %(bytes)s ORDER BY seq

-- waiting_in_few
-- The same for few shards, whose events may be far apart.
SELECT seq, person, at, body, attempts, due, reason, parts, consent, state FROM (
  SELECT *, sum(octet_length(body)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    - octet_length(body) AS before FROM (
    SELECT found.* FROM unnest(%(shards)s::smallint[]) s (shard) CROSS JOIN LATERAL (
      SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent, d.state
      FROM {schema}.events e
      LEFT JOIN LATERAL (
        SELECT * FROM {schema}.deliveries WHERE seq = e.seq AND destination = %(destination)s OFFSET 0
      ) d ON true
      WHERE e.shard = s.shard AND e.seq + 0 > %(after)s AND e.seq + 0 <= %(up_to)s
        AND array_position(e.subscribers, %(destination)s::smallint) IS NOT NULL
        AND coalesce(d.state, 0) <= %(most)s
      ORDER BY e.seq + 0 LIMIT %(limit)s) AS found
    ORDER BY seq LIMIT %(limit)s) AS found) AS sized
WHERE before < %(bytes)s ORDER BY seq

-- held
SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent
FROM {schema}.deliveries d JOIN {schema}.events e ON e.seq = d.seq
WHERE d.destination = %(destination)s AND d.state > 0 AND d.state = 1
  AND (%(shards)s::smallint[] IS NULL OR e.shard = ANY(%(shards)s::smallint[]))
ORDER BY d.seq

-- of_person
-- By the index of people, whatever the planner takes for cheaper: `seq + 0` hides the other one.
SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent, d.state
FROM {schema}.events e
LEFT JOIN LATERAL (
  SELECT * FROM {schema}.deliveries WHERE seq = e.seq AND destination = %(destination)s OFFSET 0
) d ON true
WHERE e.person = ANY(ARRAY(
    SELECT %(person)s UNION ALL SELECT alias FROM {schema}.aliases WHERE person = %(person)s))
  AND e.seq + 0 <= %(last)s AND %(destination)s::smallint = ANY(e.subscribers)
  AND coalesce(d.state, 0) <= 1
ORDER BY e.seq + 0

-- has_waiting
SELECT 1 FROM {schema}.events e
LEFT JOIN LATERAL (
  SELECT * FROM {schema}.deliveries WHERE seq = e.seq AND destination = %(destination)s OFFSET 0
) d ON true
WHERE e.seq BETWEEN %(first)s AND %(last)s AND %(destination)s::smallint = ANY(e.subscribers)
  AND coalesce(d.state, 0) = 0
LIMIT 1

-- fates
SELECT e.seq, coalesce(d.state, 0), coalesce(d.attempts, 0), coalesce(d.reason, '')
FROM {schema}.events e
LEFT JOIN LATERAL (
  SELECT * FROM {schema}.deliveries WHERE seq = e.seq AND destination = %(destination)s OFFSET 0
) d ON true
WHERE e.seq = ANY(%(seqs)s::bigint[]) AND %(destination)s::smallint = ANY(e.subscribers)

-- dead
SELECT d.seq, t.id, coalesce(d.reason, ''), d.attempts, e.at, coalesce(d.changed, 0),
  e.person, e.body, d.consent, d.parts, d.error
FROM {schema}.deliveries d JOIN {schema}.destinations t ON t.number = d.destination
JOIN {schema}.events e ON e.seq = d.seq
WHERE d.state > 0 AND d.state = 2 AND (%(id)s::text IS NULL OR t.id = %(id)s)
ORDER BY d.changed, d.seq LIMIT %(limit)s

-- counts
WITH stored AS (
    SELECT subscribers, count(*) AS n FROM {schema}.events WHERE seq <= %(up_to)s
    GROUP BY subscribers),
  aside AS (
    SELECT destination, state, count(*) AS n FROM {schema}.deliveries
    WHERE state > 0 AND seq <= %(up_to)s GROUP BY 1, 2),
  parts AS (
    SELECT s.destination, 0 AS state, n FROM stored CROSS JOIN unnest(subscribers) s (destination)
    UNION ALL SELECT destination, 0, -n FROM aside
    UNION ALL SELECT destination, state, n FROM aside)
SELECT t.id, state, sum(n)::bigint FROM parts JOIN {schema}.destinations t ON t.number = destination
GROUP BY 1, 2 HAVING sum(n) > 0

-- oldest
SELECT t.id, min(e.at), count(*) FILTER (WHERE d.due > 0) FROM {schema}.events e
CROSS JOIN unnest(e.subscribers) s (number) JOIN {schema}.destinations t USING (number)
LEFT JOIN {schema}.deliveries d ON d.seq = e.seq AND d.destination = s.number
WHERE coalesce(d.state, 0) = 0 GROUP BY 1

-- position
SELECT input, run, "offset", checksum FROM {schema}.positions WHERE input = %s

-- lock_position
SELECT input, run, "offset", checksum FROM {schema}.positions WHERE input = %s FOR UPDATE

-- take_over_position
INSERT INTO {schema}.positions (input, run, "offset", checksum) VALUES (%s, %s, %s, %s)
ON CONFLICT (input) DO UPDATE SET
  run = excluded.run, "offset" = excluded."offset", checksum = excluded.checksum

-- advance_positions
UPDATE {schema}.positions p SET "offset" = n."offset", checksum = n.checksum
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) n (input, run, "offset", checksum)
WHERE p.input = n.input AND p.run = n.run
RETURNING p.input
