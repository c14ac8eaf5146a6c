"""The plans of the server: rows are found by an index, whatever its statistics say.

They are those of another moment: of an empty table, which fills and is not looked at for a while.
A statement that is prepared is planned once, for whatever values: as its session has it.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from psycopg.sql import SQL, Literal

from tests.core.postgres.test_commits import Open, event, ignore, spools
from walker_collector.spool.postgres.number_chunks import chunks_of
from walker_collector.spool.postgres.postgres_spool import PostgresSpool

__all__ = ["spools"]  # the fixture
EVENTS = 2_000
READ = {"destination": 1, "after": 9, "up_to": 10**9, "most": 1, "limit": 100, "held": "{t,f,t,f}"}
WAYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "waiting": (READ, "events_pkey on events"),
    "has_waiting": ({"destination": 1, "first": 10, "last": 900}, "events_pkey on events"),
    "ack": (
        chunks_of(range(100)) | {"destination": 1, "process": "", "slots": [1], "lasting": False},
        "events_pkey on events",
    ),
    "claim": (
        chunks_of(range(100))
        | {"process": "a", "slot": 1, "number": 1, "destination": "crm", "shards": 1}
        | {"version": 0, "marks": "{1,2}"},
        "events_pkey on events",
    ),
    "of_person": ({"destination": 1, "person": "id:7", "last": 10**9}, "event_person on events"),
    "move_events": ({"keys": ["id:7", "id:8"], "shards": [1, 2]}, "event_person on events"),
}


def fill(spool: PostgresSpool) -> None:
    for _ in range(EVENTS // 500):
        spool.append([event(f"id:{n}", b"x" * 500) for n in range(500)], ignore)


@pytest.mark.parametrize("name", WAYS)
def test_rows_are_found_by_an_index(spools: Open, name: str) -> None:
    spool = spools()
    values, index = WAYS[name]
    plans = [plan_of(spool, name, values)]
    fill(spool)
    plans.append(plan_of(spool, name, values))
    spool.ack("crm", [item.entry for item in spool.load("crm", 0, 10 * EVENTS)])
    analyse(spool)
    fill(spool)
    plans.append(plan_of(spool, name, values))
    analyse(spool)
    plans.append(plan_of(spool, name, values))
    for plan in plans:
        looks = plan.split(f"using {index}")[1:]
        assert len(looks) == 2
        assert all("Index Cond" in look.split("\n")[1] for look in looks)
        assert "force_generic_plan" in plan
        assert "Seq Scan on events" not in plan
        assert name != "waiting" or "Sort" not in plan


def analyse(spool: PostgresSpool) -> None:
    spool.core.ask(lambda database: database.connection.execute("VACUUM ANALYZE").rowcount)


def plan_of(spool: PostgresSpool, name: str, values: Mapping[str, Any]) -> str:
    """Return the plan for these values, and that of the prepared statement."""

    def ask(database: Any) -> Any:
        execute, query = database.connection.execute, database.queries[name]
        return [
            *execute(b"EXPLAIN " + query, values),
            *execute(b"SHOW plan_cache_mode"),
            *_prepared_plan(execute, query.decode(), values),
        ]

    return "\n".join(line for (line,) in spool.core.ask(ask))


def _prepared_plan(execute: Any, query: str, values: Mapping[str, Any]) -> list[Any]:
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", query)
    literals = SQL(", ").join([Literal(values[key]) for key in names])
    execute(f"PREPARE looked_at AS {numbered}")
    try:
        found: list[Any] = execute(
            SQL("EXPLAIN EXECUTE looked_at ({})").format(literals)
        ).fetchall()
        return found
    finally:
        execute("DEALLOCATE looked_at")
