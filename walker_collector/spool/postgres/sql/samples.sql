-- Figures and samples, for those who watch the spool.

-- watch
WITH gone AS (
  DELETE FROM {schema}.watchers WHERE viewer <> %(viewer)s AND until < %(until)s - 60000)
INSERT INTO {schema}.watchers (viewer, until) VALUES (%(viewer)s, %(until)s)
ON CONFLICT (viewer) DO UPDATE SET until = excluded.until

-- stop_watching
DELETE FROM {schema}.watchers WHERE viewer = %s

-- watched_until
SELECT coalesce(max(until), 0) FROM {schema}.watchers

-- publish
WITH process AS (
  INSERT INTO {schema}.process_figures (process, at, figures) VALUES (%s, %s, %s)
  ON CONFLICT (process) DO UPDATE SET at = excluded.at, figures = excluded.figures)
INSERT INTO {schema}.samples (body) SELECT * FROM unnest(%s::text[])

-- trim_samples
DELETE FROM {schema}.samples WHERE number <= (SELECT max(number) FROM {schema}.samples) - %s

-- process_figures
SELECT process, figures FROM {schema}.process_figures WHERE at >= %s

-- samples
SELECT number, body FROM {schema}.samples WHERE number > %s ORDER BY number

-- newest_sample
SELECT coalesce(max(number), 0) FROM {schema}.samples

-- delete_figures
DELETE FROM {schema}.process_figures

-- delete_samples
DELETE FROM {schema}.samples
