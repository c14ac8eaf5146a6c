-- The calls that are under way.

-- claim
-- One statement, and so one transaction and one way to the server and back. Whoever changes what is
-- known of people locks the row of `people_version` first: so this waits for them, and finds their
-- version, or they wait for this, and find its call. What is read besides is as of the beginning,
-- before the wait: it is the latest, unless the version is another one.
-- A chunk is joined by its range, which the index finds in one look; the flags then tell its numbers
-- apart, within CASE, as the planner may check conditions in any order. A look into `deliveries` is
-- LATERAL with OFFSET 0, here and in `events.sql`, and so by number in every plan: one made while the
-- table was empty might else read all that has been set aside since.
WITH version AS MATERIALIZED (SELECT version FROM {schema}.people_version FOR SHARE),
noted AS (
  INSERT INTO {schema}.calls (process, slot, number, destination, shards, people)
  SELECT %(process)s, %(slot)s, %(number)s, %(destination)s, %(shards)s, %(marks)s::bigint[]
  FROM version WHERE version = %(version)s
  ON CONFLICT (process, slot) DO UPDATE SET number = excluded.number,
    destination = excluded.destination, shards = excluded.shards, people = excluded.people),
chunks AS (
  SELECT first, flags FROM unnest(%(firsts)s::bigint[], %(flags)s::bytea[]) AS c (first, flags))
SELECT version,
  -- Hardly ever: then `claim_beside` follows.
  EXISTS (SELECT FROM {schema}.pending_erasures) OR EXISTS (
    SELECT FROM {schema}.calls WHERE shards & %(shards)s <> 0 AND process <> %(process)s
      AND destination = %(destination)s),
  (SELECT count(*) FROM chunks c JOIN {schema}.events e
    ON e.seq >= c.first AND e.seq < c.first + octet_length(c.flags)
      AND CASE WHEN e.seq - c.first BETWEEN 0 AND octet_length(c.flags) - 1
        THEN get_byte(c.flags, (e.seq - c.first)::int) = 1 END
    WHERE (SELECT number FROM {schema}.destinations WHERE id = %(destination)s) = ANY(e.subscribers)
      -- Few are dead, if any: looked up by number, however many dead letters there are.
      AND e.seq <> ALL(ARRAY(
        SELECT d.seq FROM chunks c CROSS JOIN LATERAL (
          SELECT seq FROM {schema}.deliveries
          WHERE seq >= c.first AND seq < c.first + octet_length(c.flags) AND state > 1
            AND destination = (SELECT number FROM {schema}.destinations WHERE id = %(destination)s)
          OFFSET 0) d)))
FROM version

-- claim_beside
-- The same call, without the people who are being erased, or for whom another process has a call
-- under way. Nobody waits for a call that leaves them out: neither an erasure nor another process.
WITH version AS MATERIALIZED (SELECT version FROM {schema}.people_version FOR SHARE),
asked AS (
  SELECT person, mark FROM unnest(%(people)s::text[], %(marks)s::bigint[]) AS a (person, mark)),
erasing AS (
  SELECT person FROM {schema}.pending_erasures WHERE person = ANY(%(people)s::text[])),
others AS (
  SELECT DISTINCT unnest(people) AS mark FROM {schema}.calls
  WHERE destination = %(destination)s AND process <> %(process)s),
busy AS (SELECT person FROM asked JOIN others USING (mark)),
noted AS (
  UPDATE {schema}.calls SET people = ARRAY(
    SELECT mark FROM asked WHERE person NOT IN (SELECT person FROM erasing)
      AND person NOT IN (SELECT person FROM busy))
  FROM version WHERE version = %(version)s AND process = %(process)s AND slot = %(slot)s)
SELECT version, ARRAY(SELECT person FROM erasing), ARRAY(SELECT person FROM busy) FROM version

-- still_to_go
-- Which of the entries of a claim are there, where its number of them says that some are not.
SELECT e.seq FROM {schema}.events e
JOIN {schema}.destinations n ON n.number = ANY(e.subscribers) AND n.id = %(destination)s
LEFT JOIN LATERAL (
  SELECT state FROM {schema}.deliveries WHERE seq = e.seq AND destination = n.number OFFSET 0
) d ON true
WHERE e.seq = ANY(%(seqs)s::bigint[]) AND coalesce(d.state, 0) <= 1

-- clear_calls
UPDATE {schema}.calls SET number = 0, shards = 0, people = '{}' WHERE process = %s AND slot = ANY(%s::int[])

-- keep_calls
UPDATE {schema}.calls SET process = %s WHERE process = %s AND slot = ANY(%s::int[])

-- join_calls
UPDATE {schema}.calls c SET shards = -1, people = c.people || n.marks
FROM (
  SELECT process, slot, array_agg(DISTINCT o.owner) AS marks
  FROM {schema}.calls, unnest(%s::bigint[], %s::bigint[]) AS o (mark, owner)
  WHERE o.mark = ANY(people) AND o.owner <> ALL(people) GROUP BY process, slot) n
WHERE c.process = n.process AND c.slot = n.slot

-- callers
SELECT DISTINCT process FROM {schema}.calls

-- delete_calls_of
DELETE FROM {schema}.calls WHERE process = ANY(%s::text[])

-- calls
SELECT process, number FROM {schema}.calls WHERE number > 0

-- calls_of
SELECT process, number FROM {schema}.calls WHERE people && %s::bigint[]
