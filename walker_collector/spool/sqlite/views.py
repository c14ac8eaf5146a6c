"""The views of a spool file, for SQLite's own shell and other programs that read it.

They show the rows of the tables, and keep nothing themselves. Nobody's program fails over a damaged
row: what is no JSON has neither id nor name.
"""

from typing import Final

_BODY: Final = "CAST(e.body AS TEXT)"


def _moment(column: str) -> str:
    """Return the SQL for a time (ms since 1970) as text; null for none."""
    text = f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1e3, 'unixepoch')"
    return f"CASE WHEN {column} > 0 THEN {text} END"


def _text_of(key: str) -> str:
    """Return the SQL for a text in an event; null where the event is no JSON.

    Of several under one key it is the last, as the collector and its destinations have it.
    """
    last = f"SELECT atom FROM json_each({_BODY}) WHERE key = '{key}' ORDER BY id DESC LIMIT 1"
    return f"CASE WHEN json_valid({_BODY}) THEN ({last}) END"


_ACCEPTED: Final = _moment("e.at")
_CHANGED: Final = _moment("d.changed")
_EVENT: Final = f"""
  e.seq AS number, {_text_of("id")} AS id, {_text_of("name")} AS name,
  coalesce((SELECT a.person FROM aliases a WHERE a.alias = e.person), e.person) AS person,
  t.id AS destination"""
_SET_ASIDE: Final = """
FROM deliveries d JOIN events e ON e.seq = d.seq JOIN destinations t ON t.number = d.destination
WHERE d.state > 0 AND d.state ="""

VIEWS: Final = f"""
CREATE VIEW walker_events AS SELECT {_EVENT},
  CASE coalesce(d.state, 0) WHEN 1 THEN 'held' WHEN 2 THEN 'dead'
    ELSE CASE WHEN d.due > 0 THEN 'retrying' ELSE 'waiting' END END AS state,
  {_ACCEPTED} AS accepted, coalesce(d.attempts, 0) AS attempts,
  CASE WHEN coalesce(d.state, 0) = 0 THEN {_moment("d.due")} END AS next_attempt,
  coalesce(d.reason, '') AS reason, {_BODY} AS body
FROM events e JOIN subscribers s ON s.number = e.subscribers
JOIN destinations t ON t.number = s.destination
LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = s.destination;
CREATE VIEW walker_held AS SELECT {_EVENT},
  {_ACCEPTED} AS accepted, {_moment("coalesce(d.changed, e.at)")} AS held, {_BODY} AS body
{_SET_ASIDE} 1;
CREATE VIEW walker_dead AS SELECT {_EVENT},
  coalesce(d.reason, '') AS reason, d.attempts AS attempts, {_ACCEPTED} AS accepted,
  {_CHANGED} AS died, coalesce(d.consent, '{{}}') AS consent, coalesce(d.parts, '{{}}') AS parts,
  {_BODY} AS body
{_SET_ASIDE} 2;
CREATE VIEW walker_people AS
WITH said AS (  -- of each key the last statement, whether made by a call or by an event
    SELECT person, ltrim(key, char(9)) AS key, granted, max(stamp) AS stamp FROM consents
    WHERE key <> char(9) GROUP BY 1, 2),
  people AS (SELECT person FROM aliases UNION SELECT person FROM consents)
SELECT p.person AS person,
  (SELECT json_group_array(alias) FROM aliases a WHERE a.person = p.person) AS identifiers,
  (SELECT json_group_object(key, json(CASE WHEN granted THEN 'true' ELSE 'false' END))
    FROM said WHERE said.person = p.person) AS consent,
  {_moment("(SELECT max(stamp) / 1000 FROM said WHERE said.person = p.person)")} AS consent_at
FROM people p;
"""
