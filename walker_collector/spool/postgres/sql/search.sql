-- search_text
SELECT e.seq, e.person, e.at, e.body, e.shard, t.id, coalesce(d.state, 0), coalesce(d.attempts, 0),
  coalesce(d.due, 0), coalesce(d.changed, e.at), coalesce(d.reason, ''), d.parts
FROM {schema}.events e CROSS JOIN unnest(e.subscribers) s (number)
JOIN {schema}.destinations t USING (number)
LEFT JOIN {schema}.deliveries d ON d.seq = e.seq AND d.destination = s.number
WHERE position(%s::bytea IN e.body) > 0 ORDER BY e.seq, t.id

-- search_people
SELECT e.seq, e.person, e.at, e.body, e.shard, t.id, coalesce(d.state, 0), coalesce(d.attempts, 0),
  coalesce(d.due, 0), coalesce(d.changed, e.at), coalesce(d.reason, ''), d.parts
FROM (
  SELECT * FROM {schema}.events WHERE person = ANY(%s::text[]) ORDER BY seq DESC LIMIT %s) e
CROSS JOIN unnest(e.subscribers) s (number) JOIN {schema}.destinations t USING (number)
LEFT JOIN {schema}.deliveries d ON d.seq = e.seq AND d.destination = s.number
ORDER BY e.seq DESC, t.id

-- search_retries
SELECT e.seq, e.person, e.at, e.body, e.shard, t.id, d.state, d.attempts, d.due,
  coalesce(d.changed, e.at), coalesce(d.reason, ''), d.parts
FROM {schema}.events e JOIN {schema}.deliveries d ON d.seq = e.seq
JOIN {schema}.destinations t ON t.number = d.destination AND t.number = ANY(e.subscribers)
WHERE e.person = ANY(%s::text[]) AND d.state = 0 AND d.due > 0 ORDER BY e.seq, t.id

-- search_counts
SELECT t.id, coalesce(d.state, 0), count(*) FROM {schema}.events e
CROSS JOIN unnest(e.subscribers) s (number) JOIN {schema}.destinations t USING (number)
LEFT JOIN {schema}.deliveries d ON d.seq = e.seq AND d.destination = s.number
WHERE e.person = ANY(%s::text[]) GROUP BY 1, 2

-- search_calls
SELECT destination, process FROM {schema}.calls WHERE people && %s::bigint[]
