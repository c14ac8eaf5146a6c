-- The tables of a spool.
--
-- An event is one row. It waits at each of its subscribers, the destinations that have not
-- acknowledged it, unless `deliveries` says otherwise: held, dead, or waiting after failed attempts.
-- Most events wait a moment and are delivered, and `deliveries` is empty.
--
-- `accepted` and `delivered` have one row each. An appending transaction locks that of `accepted`
-- until its commit, so that the order of numbers is the order of commits. Locks are taken in the
-- order accepted, people_version, delivered. The events in the spool are accepted less delivered.
--
-- Rows that change all the time get room on their page, so that no index has to know of it.

CREATE TABLE {schema}.layout (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), version int NOT NULL, shards smallint NOT NULL);

CREATE TABLE {schema}.accepted (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq bigint NOT NULL DEFAULT 0, events bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0,
  erasures bigint NOT NULL DEFAULT 0) WITH (fillfactor = 10);
INSERT INTO {schema}.accepted DEFAULT VALUES;

CREATE TABLE {schema}.delivered (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  events bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0) WITH (fillfactor = 10);
INSERT INTO {schema}.delivered DEFAULT VALUES;

CREATE TABLE {schema}.people_version (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint NOT NULL DEFAULT 0, changes bigint NOT NULL DEFAULT 0,
  stamp bigint NOT NULL DEFAULT 0) WITH (fillfactor = 10);
INSERT INTO {schema}.people_version DEFAULT VALUES;

-- The last commit of each process, by a number of its own.
CREATE TABLE {schema}.writers (
  process text PRIMARY KEY, number bigint NOT NULL DEFAULT 0,
  at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 10);

CREATE TABLE {schema}.destinations (
  number smallint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, id text COLLATE "C" NOT NULL UNIQUE);

CREATE TABLE {schema}.events (
  seq bigint PRIMARY KEY, shard smallint NOT NULL, at bigint NOT NULL,
  person text COLLATE "C" NOT NULL, body bytea NOT NULL, subscribers smallint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
  autovacuum_vacuum_insert_scale_factor = 0.5);
-- `seq + 0`: else a look by number alone might be taken for cheap with this index, and reads all of it.
CREATE INDEX event_shard ON {schema}.events (shard, (seq + 0));
CREATE INDEX event_person ON {schema}.events (person);

CREATE TABLE {schema}.deliveries (
  seq bigint NOT NULL, destination smallint NOT NULL, state smallint NOT NULL DEFAULT 0,
  attempts bigint NOT NULL DEFAULT 0, due bigint NOT NULL DEFAULT 0, changed bigint,
  reason text, parts text, consent text, error text, PRIMARY KEY (seq, destination));
CREATE INDEX set_aside ON {schema}.deliveries (destination, seq) WHERE state > 0;

CREATE TABLE {schema}.consents (
  person text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, granted boolean NOT NULL,
  stamp bigint NOT NULL, PRIMARY KEY (person, key));
CREATE TABLE {schema}.default_consent (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), flow text NOT NULL, current text NOT NULL);
CREATE TABLE {schema}.aliases (
  alias text COLLATE "C" PRIMARY KEY, person text COLLATE "C" NOT NULL);
CREATE INDEX alias_person ON {schema}.aliases (person);
CREATE TABLE {schema}.signed_in (
  key text COLLATE "C" PRIMARY KEY, person text COLLATE "C" NOT NULL);
CREATE INDEX signed_in_person ON {schema}.signed_in (person);
CREATE TABLE {schema}.pending_erasures (
  person text COLLATE "C" PRIMARY KEY, erasure text NOT NULL DEFAULT '');
CREATE TABLE {schema}.people_log (
  version bigint PRIMARY KEY, kind smallint NOT NULL, key text COLLATE "C" NOT NULL,
  owner text COLLATE "C");
CREATE INDEX people_log_key ON {schema}.people_log (key);
CREATE INDEX people_log_owner ON {schema}.people_log (owner) WHERE owner IS NOT NULL;

CREATE TABLE {schema}.recent (
  mark bytea PRIMARY KEY, at bigint NOT NULL, seq bigint NOT NULL, subscribers smallint[] NOT NULL,
  outcomes jsonb);
CREATE TABLE {schema}.positions (
  input text COLLATE "C" PRIMARY KEY, run text NOT NULL, "offset" bigint NOT NULL,
  checksum bigint NOT NULL);

CREATE TABLE {schema}.members (
  token text PRIMARY KEY, pid bigint NOT NULL, host text NOT NULL, since double precision NOT NULL,
  delivers text[] NOT NULL, leaving boolean NOT NULL DEFAULT false,
  signed timestamptz NOT NULL DEFAULT clock_timestamp());
-- A slot is used for one call after the other: its row is changed in place, on a page of its own.
-- `shards` has a bit for those of its people, who are looked at only if it is among the asked ones.
CREATE TABLE {schema}.calls (
  process text NOT NULL, slot int NOT NULL, number bigint NOT NULL, destination text NOT NULL,
  shards bigint NOT NULL, people bigint[] NOT NULL, PRIMARY KEY (process, slot)
) WITH (fillfactor = 10, toast_tuple_target = 8160);
CREATE TABLE {schema}.leases (
  destination text NOT NULL, shard smallint NOT NULL, token text NOT NULL, health jsonb,
  PRIMARY KEY (destination, shard));

-- Those who watch, and what processes publish for them: see `samples.py`. It may be lost in a crash.
CREATE UNLOGGED TABLE {schema}.watchers (viewer text PRIMARY KEY, until bigint NOT NULL);
CREATE UNLOGGED TABLE {schema}.process_figures (
  process text PRIMARY KEY, at bigint NOT NULL, figures text NOT NULL);
CREATE UNLOGGED TABLE {schema}.samples (
  number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, body text NOT NULL);

-- Rows that applications write in transactions of their own: see `outbox_table.py`.
-- `at` is the time of the push, in thousandths of ms.
CREATE TABLE {schema}.outbox (
  number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  at bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  body bytea NOT NULL);
