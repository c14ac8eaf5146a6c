"""The plans of the server: rows are found by an index, whatever its statistics say.

They are those of another moment: of an empty table, which fills and is not looked at for a while.
A statement that is prepared is planned once, for whatever values: as its session has it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from psycopg.sql import SQL, Composed, Literal

from tests.core.postgres.test_commits import Open, event, ignore, spools
from walker_collector.spool import SpoolUpdate, UpdateKind
from walker_collector.spool.postgres.number_chunks import chunks_of
from walker_collector.spool.postgres.postgres_spool import PostgresSpool

__all__ = ["spools"]  # the fixture
EVENTS = 2_000
READ = {"destination": 1, "after": 9, "up_to": 10**9, "most": 1, "limit": 100, "held": "{t,f,t,f}"}
WAYS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "waiting": (READ, "events_pkey on events"),
    "has_waiting": ({"destination": 1, "first": 10, "last": 900}, "events_pkey on events"),
    "ack": (
        chunks_of(range(100)) | {"destination": 1, "process": "", "slots": [1]},
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


ASIDE = 20_000
FIRST = ASIDE + 10
FEW = chunks_of(range(FIRST, FIRST + 100))
LOOKS: Mapping[str, Mapping[str, Any]] = {
    "claim": {**WAYS["claim"][0], **FEW},
    "still_to_go": {"destination": "crm", "seqs": [*range(FIRST, FIRST + 100)]},
    "waiting": {**READ, "after": ASIDE},
    "waiting_by_size": {**READ, "after": ASIDE, "bytes": 10**6},
    "waiting_in_few": {**READ, "after": ASIDE, "bytes": 10**6, "shards": "{1,2}"},
    "of_person": WAYS["of_person"][0],
    "has_waiting": {"destination": 1, "first": FIRST, "last": FIRST + 100},
    "fates": {"destination": 1, "seqs": [*range(FIRST, FIRST + 100)]},
    "ack": {**WAYS["ack"][0], **FEW},  # last: it deletes them
}
"""Statements that look up how deliveries of 100 events, or of one person, stand."""


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


def nothing(spool: PostgresSpool) -> None:
    assert spool.core.numbers_of(["crm"]) == {"crm": 1}


def one_event(spool: PostgresSpool) -> None:
    spool.append([event()], ignore)


def one_letter(spool: PostgresSpool) -> None:
    one_event(spool)
    (item,) = spool.load("crm", 0, 1)
    dead = SpoolUpdate(item.entry, UpdateKind.DEAD)
    spool.settle("crm", [dead])


def one_letter_of_before(spool: PostgresSpool) -> None:
    one_letter(spool)
    spool.delete_dead(spool.dead())
    analyse(spool)


@pytest.mark.parametrize("begin", [nothing, one_event, one_letter, one_letter_of_before])
def test_what_is_set_aside_is_not_read_for_other_events(
    spools: Open, begin: Callable[[PostgresSpool], None]
) -> None:
    spool = spools()
    begin(spool)
    schema = spool.core.place.schema

    def ask(database: Any) -> list[tuple[str, Any]]:
        execute, queries = database.connection.execute, database.queries
        early = [_prepared(execute, f"early_{name}", queries[name], LOOKS[name]) for name in LOOKS]
        _set_aside(execute, schema)
        late = [_prepared(execute, f"late_{name}", queries[name], LOOKS[name]) for name in LOOKS]
        explain = SQL("EXPLAIN (ANALYZE, FORMAT JSON) {}")
        ran = [(call, execute(explain.format(call)).fetchone()) for call in early + late]
        return [(call.as_string(None)[:30], plan) for call, ((plan,),) in ran]

    for call, plan in spool.core.ask(ask):
        looks = [node for node in _nodes(plan["Plan"]) if _is_look(node)]
        assert looks, call
        assert [node for node in looks if not _is_by_number(node)] == [], call


def _prepared(execute: Any, name: str, query: bytes, values: Mapping[str, Any]) -> Composed:
    """Prepare a statement, with a plan of now; return its call."""
    text, literals = _numbered(query.decode(), values)
    execute(f"PREPARE {name} AS {text}")
    call = SQL("EXECUTE {} ({})").format(SQL(name), literals)
    execute(SQL("EXPLAIN {}").format(call))
    return call


def _set_aside(execute: Any, schema: str) -> None:
    """Add dead letters, and 300 events after them that wait."""
    events = f"""
INSERT INTO {schema}.events (seq, shard, at, person, body, subscribers)
SELECT n, n % 4, 1, 'id:' || n % 500, '{{}}', '{{1}}' FROM generate_series(10, {ASIDE + 300}) n"""
    letters = f"""
INSERT INTO {schema}.deliveries (seq, destination, state)
SELECT n, 1, 2 FROM generate_series(10, {ASIDE}) n"""
    execute(events.encode())
    execute(letters.encode())


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _is_look(node: Mapping[str, Any]) -> bool:
    return node.get("Relation Name") == "deliveries" and node["Node Type"] != "ModifyTable"


def _is_by_number(look: Mapping[str, Any]) -> bool:
    rows = look["Actual Rows"] + look.get("Rows Removed by Filter", 0)
    return "seq " in look.get("Index Cond", "") and rows * look["Actual Loops"] <= 200


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
    numbered, literals = _numbered(query, values)
    execute(f"PREPARE looked_at AS {numbered}")
    try:
        found: list[Any] = execute(
            SQL("EXPLAIN EXECUTE looked_at ({})").format(literals)
        ).fetchall()
        return found
    finally:
        execute("DEALLOCATE looked_at")


def _numbered(query: str, values: Mapping[str, Any]) -> tuple[str, Composed]:
    """Return a statement as PREPARE takes it, and the values for its EXECUTE."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", query)
    return numbered, SQL(", ").join([Literal(values[key]) for key in names])
