"""The views of a spool, as programs read them that know nothing of the collector."""

import json
import shutil
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from walker_collector.spool import (
    LEARNED,
    DeliveryState,
    NewEvent,
    PeopleUpdate,
    SpoolUpdate,
    State,
    UpdateKind,
)

VIEWS: Final = ("walker_events", "walker_held", "walker_dead", "walker_people")
AT: Final = 1_772_446_920_601
TIME: Final = "2026-03-02T10:22:00.601"
READ: Final = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.row_factory = sqlite3.Row
print(json.dumps([dict(row) for row in db.execute(sys.argv[2])]))
"""


def rows(store: Store, view: str) -> list[dict[str, Any]]:
    """Return the rows of a view, as another program reads them."""
    if store.engine == "sqlite":
        command = [sys.executable, "-c", READ, store.place, f"SELECT * FROM {view}"]
    else:
        url, schema = store.place.split()
        psql = shutil.which("psql")
        if psql is None:
            pytest.skip("psql is not installed (Debian: postgresql-client)")
        select = f"SELECT coalesce(json_agg(v), '[]') FROM {schema}.{view} v"
        command = [psql, "-AtX", "-c", f"SET timezone = 'UTC'; {select}", "-q", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def accept(process: Process, person: str, name: str, **states: State) -> int:
    event = {"name": name, "id": f"{person}-{name}", "data": {"note": "a\0b", "total": 7}}
    body = json.dumps(event).encode()
    return process.spool.append([NewEvent(person, AT, body, states)], lambda runs: None)[0]


def update(process: Process, seq: int, kind: UpdateKind, at: int = AT, **delivery: Any) -> None:
    entry = (seq, "", AT, b"{}")
    change = SpoolUpdate(entry, kind, DeliveryState(**delivery), at)
    process.spool.settle("crm", [change])


def only(found: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[column] for column in columns) for row in found)


def test_views_show_events_by_destination(store: Store, process: Process) -> None:
    accept(process, "id:ines", "page view", crm=State.WAITING, log=State.WAITING)
    accept(process, "device:d1", "order complete", crm=State.HELD)
    denied = accept(process, "device:d1", "order update", crm=State.WAITING)
    update(process, denied, UpdateKind.HELD, at=AT + 2_000)
    tried = accept(process, "id:hana", "order complete", crm=State.WAITING)
    update(process, tried, UpdateKind.RETRIED, count=2, due=AT + 1_000, reason="503")
    dead = accept(process, "id:hana", "order refund", crm=State.WAITING)
    update(process, dead, UpdateKind.DEAD, count=1, reason="no such order")
    process.spool.learn(PeopleUpdate(aliases={"device:d1": "id:ines"}))

    events = rows(store, "walker_events")
    assert only(events, "id", "destination", "state", "person", "attempts", "reason") == [
        ("device:d1-order complete", "crm", "held", "id:ines", 0, ""),
        ("device:d1-order update", "crm", "held", "id:ines", 0, ""),
        ("id:hana-order complete", "crm", "retrying", "id:hana", 2, "503"),
        ("id:hana-order refund", "crm", "dead", "id:hana", 1, "no such order"),
        ("id:ines-page view", "crm", "waiting", "id:ines", 0, ""),
        ("id:ines-page view", "log", "waiting", "id:ines", 0, ""),
    ]
    assert all(row["accepted"].startswith(TIME) for row in events)
    assert [row["next_attempt"][:23] for row in events if row["next_attempt"]] == [
        "2026-03-02T10:22:01.601"
    ]
    assert {json.loads(row["body"])["data"]["note"] for row in events} == {"a\0b"}
    assert [(row["name"], row["held"][:23]) for row in rows(store, "walker_held")] == [
        ("order complete", TIME),
        ("order update", "2026-03-02T10:22:02.601"),
    ]
    (letter,) = rows(store, "walker_dead")
    assert (letter["id"], letter["reason"]) == ("id:hana-order refund", "no such order")
    assert letter["died"].startswith(TIME)
    assert json.loads(letter["body"])["data"]["total"] == 7


def test_view_of_people_has_their_latest_consent(store: Store, process: Process) -> None:
    stamp = AT * 1_000
    ines = {
        "marketing": (True, stamp),
        LEARNED: (True, stamp + 1),
        f"{LEARNED}marketing": (False, stamp + 1),
        f"{LEARNED}analytics": (True, stamp + 1),
    }
    aliases = {"device:d1": "id:ines", "session:s1": "id:ines", "session:s2": "device:d2"}
    process.spool.learn(PeopleUpdate(consents={"id:ines": ines}, aliases=aliases))

    people = {row["person"]: row for row in rows(store, "walker_people")}
    assert people.keys() == {"id:ines", "device:d2"}
    assert json.loads(people["id:ines"]["identifiers"]) == ["device:d1", "session:s1"]
    assert json.loads(people["id:ines"]["consent"]) == {"analytics": True, "marketing": False}
    assert people["id:ines"]["consent_at"].startswith(TIME)
    assert people["device:d2"]["consent_at"] is None
    assert json.loads(people["device:d2"]["consent"]) == {}


@pytest.mark.parametrize("person", ["id:ines", "device:d1"])
def test_views_have_nothing_of_an_erased_person(
    store: Store, process: Process, person: str
) -> None:
    accept(process, person, "page view", crm=State.HELD)
    accept(process, "id:hana", "page view", crm=State.HELD)
    dead = accept(process, person, "order refund", crm=State.WAITING)
    update(process, dead, UpdateKind.DEAD, reason="refused")
    statement = {"marketing": (True, AT * 1_000)}
    consents = {"id:ines": statement, "id:hana": statement}
    process.spool.learn(PeopleUpdate(consents=consents, aliases={"device:d1": "id:ines"}))
    process.spool.erase(["id:ines", "device:d1"])
    left = json.dumps([rows(store, view) for view in VIEWS])
    assert "id:hana" in left
    assert "ines" not in left
    assert "d1" not in left


def test_damaged_row_is_shown_as_it_is(store: Store, process: Process) -> None:
    if store.engine != "sqlite":
        pytest.skip("a database checks its pages itself")
    states = {"crm": State.WAITING}
    process.spool.append([NewEvent("id:ines", AT, b'{"id', states)], lambda runs: None)
    (row,) = rows(store, "walker_events")
    assert (row["id"], row["name"], row["body"]) == (None, None, '{"id')


def test_id_that_a_sender_gives_twice_in_an_event_is_the_last(
    store: Store, process: Process
) -> None:
    body = b'{"name":"c d","name":"a b","id":"first","id":"second","name":"c d"}'
    process.spool.append([NewEvent("id:ines", AT, body, {"crm": State.HELD})], lambda runs: None)
    for view in ("walker_events", "walker_held"):
        assert only(rows(store, view), "id", "name") == [("second", "c d")]
