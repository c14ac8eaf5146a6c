-- known_marks
SELECT mark, seq, at FROM {schema}.recent WHERE mark = ANY(%s::bytea[]) AND seq >= 0

-- came_before
SELECT mark FROM {schema}.recent
WHERE mark = ANY(%s::bytea[]) AND at BETWEEN %s AND %s AND seq >= 0

-- keep_marks
INSERT INTO {schema}.recent (mark, at, seq, subscribers, outcomes)
SELECT u.mark, u.at, u.seq, u.subscribers::smallint[], u.outcomes::jsonb
FROM unnest(%s::bytea[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
  AS u (mark, at, seq, subscribers, outcomes)
ON CONFLICT (mark) DO UPDATE SET at = excluded.at, seq = excluded.seq,
  subscribers = excluded.subscribers, outcomes = excluded.outcomes

-- keep_unstored
INSERT INTO {schema}.recent AS r (mark, at, seq, subscribers, outcomes)
SELECT u.mark, u.at, -1, '{}', u.outcomes::jsonb
FROM unnest(%s::bytea[], %s::bigint[], %s::text[]) AS u (mark, at, outcomes)
ON CONFLICT (mark) DO UPDATE SET at = excluded.at, outcomes = excluded.outcomes
WHERE r.seq = -1

-- forget_marks
DELETE FROM {schema}.recent WHERE mark > %(mark)s AND at NOT BETWEEN %(since)s AND %(until)s
  AND mark <= (
    SELECT mark FROM (
      SELECT mark FROM {schema}.recent WHERE mark > %(mark)s ORDER BY mark LIMIT %(count)s
    ) AS beside ORDER BY mark DESC LIMIT 1)

-- note_outcomes
UPDATE {schema}.recent r SET outcomes = coalesce(r.outcomes, '{}') || u.outcomes::jsonb
FROM unnest(%s::bytea[], %s::bigint[], %s::text[]) AS u (mark, seq, outcomes)
WHERE r.mark = u.mark AND r.seq = u.seq

-- recent_event
SELECT r.at, r.seq, r.outcomes::text,
  ARRAY(SELECT id FROM {schema}.destinations WHERE number = ANY(r.subscribers))
FROM {schema}.recent r WHERE r.mark = ANY(%s::bytea[]) AND r.at BETWEEN %s AND %s
ORDER BY r.at DESC LIMIT 1
