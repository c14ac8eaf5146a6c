"""The plans of the server: rows are found by an index, whatever its statistics say.

They are those of another moment: of an empty table, which fills and is not looked at for a while.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.core.postgres.test_commits import Open, event, ignore, spools
from walker_collector.spool.postgres.postgres_spool import PostgresSpool

__all__ = ["spools"]  # the fixture
EVENTS = 2_000
READ = {"destination": 1, "after": 9, "up_to": 10**9, "most": 1, "limit": 100, "held": "{t,f,t,f}"}
WAYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "waiting": (READ, "events_pkey on events"),
    "has_waiting": ({"destination": 1, "first": 10, "last": 900}, "events_pkey on events"),
    "ack": (
        {"seqs": [*range(100)], "destination": 1, "process": "", "slots": []},
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
        assert f"using {index}" in plan
        assert "Index Cond" in plan.partition(index)[2].split("\n")[1]
        assert "Seq Scan on events" not in plan
        assert name != "waiting" or "Sort" not in plan


def analyse(spool: PostgresSpool) -> None:
    spool.core.ask(lambda database: database.connection.execute("VACUUM ANALYZE").rowcount)


def plan_of(spool: PostgresSpool, name: str, values: Mapping[str, Any]) -> str:
    def ask(database: Any) -> Any:
        return database.connection.execute(b"EXPLAIN " + database.queries[name], values).fetchall()

    return "\n".join(line for (line,) in spool.core.ask(ask))
