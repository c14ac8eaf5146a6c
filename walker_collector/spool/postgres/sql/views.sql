-- The views of a spool, for people and programs that read it.
--
-- They show the rows of the tables, and keep nothing themselves. A role that may read the views
-- needs no right to the tables.

-- PostgreSQL cannot read JSON with U+0000 in it, which an event may have.
CREATE OR REPLACE FUNCTION {schema}.walker_text(body bytea, key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$SELECT replace(convert_from(body, 'UTF8'), '\u0000', '\ufffd')::json ->> key$$;

CREATE OR REPLACE VIEW {schema}.walker_events AS
SELECT e.seq AS number, {schema}.walker_text(e.body, 'id') AS id,
  {schema}.walker_text(e.body, 'name') AS name, coalesce(a.person, e.person) AS person,
  t.id AS destination,
  CASE coalesce(d.state, 0) WHEN 1 THEN 'held' WHEN 2 THEN 'dead'
    ELSE CASE WHEN d.due > 0 THEN 'retrying' ELSE 'waiting' END END AS state,
  to_timestamp(e.at / 1e3) AS accepted, coalesce(d.attempts, 0) AS attempts,
  CASE WHEN coalesce(d.state, 0) = 0 AND d.due > 0 THEN to_timestamp(d.due / 1e3) END
    AS next_attempt,
  coalesce(d.reason, '') AS reason, convert_from(e.body, 'UTF8') AS body
FROM {schema}.events e CROSS JOIN unnest(e.subscribers) s (number)
JOIN {schema}.destinations t USING (number)
LEFT JOIN {schema}.deliveries d ON d.seq = e.seq AND d.destination = s.number
LEFT JOIN {schema}.aliases a ON a.alias = e.person;

CREATE OR REPLACE VIEW {schema}.walker_held AS
SELECT e.seq AS number, {schema}.walker_text(e.body, 'id') AS id,
  {schema}.walker_text(e.body, 'name') AS name, coalesce(a.person, e.person) AS person,
  t.id AS destination, to_timestamp(e.at / 1e3) AS accepted,
  to_timestamp(coalesce(d.changed, e.at) / 1e3) AS held, convert_from(e.body, 'UTF8') AS body
FROM {schema}.deliveries d JOIN {schema}.events e USING (seq)
JOIN {schema}.destinations t ON t.number = d.destination
LEFT JOIN {schema}.aliases a ON a.alias = e.person
WHERE d.state > 0 AND d.state = 1;

CREATE OR REPLACE VIEW {schema}.walker_dead AS
SELECT e.seq AS number, {schema}.walker_text(e.body, 'id') AS id,
  {schema}.walker_text(e.body, 'name') AS name, coalesce(a.person, e.person) AS person,
  t.id AS destination, coalesce(d.reason, '') AS reason, d.attempts,
  to_timestamp(e.at / 1e3) AS accepted, to_timestamp(d.changed / 1e3) AS died,
  coalesce(d.consent, '{}') AS consent, coalesce(d.parts, '{}') AS parts,
  convert_from(e.body, 'UTF8') AS body
FROM {schema}.deliveries d JOIN {schema}.events e USING (seq)
JOIN {schema}.destinations t ON t.number = d.destination
LEFT JOIN {schema}.aliases a ON a.alias = e.person
WHERE d.state > 0 AND d.state = 2;

-- Of each key of consent the last statement, whether made by a call or by an event.
CREATE OR REPLACE VIEW {schema}.walker_people AS
WITH said AS (
  SELECT DISTINCT ON (person, ltrim(key, E'\t')) person, ltrim(key, E'\t') AS key, granted, stamp
  FROM {schema}.consents WHERE key <> E'\t'
  ORDER BY person, ltrim(key, E'\t'), stamp DESC, granted),
consent AS (
  SELECT person, json_object_agg(key, granted ORDER BY key)::text AS consent,
    to_timestamp(max(stamp) / 1e6) AS consent_at
  FROM said GROUP BY person),
identifiers AS (
  SELECT person, json_agg(alias ORDER BY alias)::text AS identifiers
  FROM {schema}.aliases GROUP BY person)
SELECT person, coalesce(identifiers, '[]') AS identifiers, coalesce(consent, '{}') AS consent,
  consent_at
FROM consent FULL JOIN identifiers USING (person);
