"""One spool file for several real processes: what was promised of one holds for all of them."""

import json
import random
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.core.processes.shop import deliverer
from tests.emulator import Emulator
from tests.emulator.arrivals import doubles, inversions, number_of, numbers
from tests.forms import form
from tests.integration.moments import AFTER, BEFORE
from tests.integration.process import Event, numbered, process
from tests.integration.storm import Storm
from tests.postgres_server import PostgresServer
from tests.support import join, wait_until
from walker_dest_customerio.sandbox import Sandbox

YES, NO = True, False
GATED = {"consent": {"marketing": True}}
TAKEOVER = 2.0
"""Seconds after which another process delivers."""


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.services("PostgreSQL"))])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The setting of a spool, in a file and in a database."""
    if request.param == "file":
        return {"path": str(tmp_path / "spool.db")}
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return {"url": server.url("postgres"), "schema": server.new_schema()}


def write_flow(
    folder: Path,
    settings: dict[str, Any],
    *,
    log: bool = False,
    spool: dict[str, str] | None = None,
    **config: Any,
) -> Path:
    """Write a flow to Customer.io; `log`: and to a file, so that leases move."""
    wrapped = {
        "settings": {"timeout": 2_000, **settings},
        "mapping": {"cart": {"add": {"data": {"map": {"n": "data.n", "person": "data.person"}}}}},
        "retry": {"base": 5, "cap": 100},
        **config,
    }
    destinations = {"customerio": {"package": "customerio", "config": wrapped}}
    if log:
        settings = {"path": str(folder / "log.ndjson")}
        destinations["log"] = {"package": "file", "config": {"settings": settings}}
    flow = {
        "collector": {"spool": spool or {"path": str(folder / "spool.db")}},
        "destinations": destinations,
    }
    path = folder / "flow.json"
    path.write_text(json.dumps(flow))
    return path


def user(n: object) -> dict[str, str]:
    return {"id": f"u{n}"}


def stored(folder: Path) -> dict[str, int]:
    """Return the number of rows that are left of events and calls."""
    with sqlite3.connect(folder / "spool.db") as db:
        tables = ("events", "deliveries", "calls")
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


# --- consent -----------------------------------------------------------------------------------


def test_what_one_grants_and_another_withdraws_decides_what_arrives(
    tmp_path: Path, spool: dict[str, str]
) -> None:
    people, undecided = range(200), range(50, 75)
    with Sandbox(latency_ms=5) as sandbox, ExitStack() as stack:
        flow = write_flow(tmp_path, sandbox.settings(), spool=spool, **GATED)
        a, b, c, d = (stack.enter_context(process(flow)) for _ in range(4))

        def arrived() -> Counter[str]:
            return Counter(event["data"]["person"] for event in sandbox.events)

        assert a.push([numbered(n, user(n)) for n in people]) == 200
        b.do("consent", *[[user(n), YES] for n in range(100)])
        wait_until(lambda: arrived().total() == 100, timeout=5)

        def push(at: int) -> None:
            worker = (a, b, d)[at % 3]
            assert worker.push([numbered(1_000 * at + n, user(n)) for n in people]) == 200

        pushers = [threading.Thread(target=push, args=(at,)) for at in (1, 2, 3)]
        for thread in pushers:
            thread.start()
        at_withdrawal = {}
        for n in undecided:  # while all push on
            assert c.do("consent", [user(n), NO]) == [0]
            at_withdrawal[f"u{n}"] = arrived()[f"u{n}"]
        join(*pushers)
        granted = [f"u{n}" for n in (*range(50), *range(75, 100))]
        wait_until(lambda: all(arrived()[person] == 4 for person in granted), timeout=5)
        # A holds an event of each of these people, and others hold more.
        assert d.do("forget", user(150)) == 4
        assert d.do("forget", user(60)) == 4 - at_withdrawal["u60"]
        a.do("consent", *[[user(n), YES] for n in (60, 150)])
        assert a.do("flush", 20)
        found = arrived()
        assert {person: found[person] for person in at_withdrawal} == at_withdrawal
        assert set(found) == {*granted, *[person for person in at_withdrawal if found[person]]}
        numbers_of = defaultdict(list)
        for event in sandbox.events:
            numbers_of[event["data"]["person"]].append(event["data"]["n"])
    assert all(found[person] == 4 for person in granted)
    # Three push at once, so that the order is told by the first alone, which had been held.
    assert all(numbered_ == list(dict.fromkeys(numbered_)) for numbered_ in numbers_of.values())
    assert all(numbers_of[person][0] < 1_000 for person in numbers_of)


def test_a_claim_that_is_old_is_made_again_before_the_call(tmp_path: Path) -> None:
    with Emulator(tmp_path) as emulator, ExitStack() as stack:
        flow = write_flow(tmp_path, emulator.settings(), **GATED)
        stopped = stack.enter_context(process(flow, "has_claimed"))
        other = stack.enter_context(process(flow))
        stopped.do("consent", [user(1), YES])
        stopped.push([numbered(1, user(1))])
        stopped.until_at("has_claimed")
        assert other.do("consent", [user(1), NO]) == [1]  # it waited for a second
        stopped.go_on("has_claimed")
        wait_until(lambda: other.do("status")["held"] == 1)
        other.do("consent", [user(2), YES])
        other.push([numbered(2, user(2))])
        wait_until(lambda: numbers(emulator.accepted) == {2})


# --- order -------------------------------------------------------------------------------------

VISITORS, VISITS = 8, form(250, 3_000)


@pytest.mark.long
@pytest.mark.parametrize("seed", form([1, 2], [*range(1, 21)]))
def test_events_pushed_in_turns_arrive_in_order_where_sessions_log_in(
    tmp_path: Path, spool: dict[str, str], seed: int
) -> None:
    chance = random.Random(seed)
    signed_in: set[int] = set()
    gated = GATED if seed % 2 else {}
    with Emulator(tmp_path, latency=0.002) as emulator, ExitStack() as stack:
        flow = write_flow(tmp_path, emulator.settings(), spool=spool, **gated)
        workers = [stack.enter_context(process(flow)) for _ in range(3)]
        for n in range(VISITS):
            worker, person = chance.choice(workers), chance.randrange(VISITORS)
            session, id_ = {"session": f"s{person}"}, {"id": f"u{person}"}
            both = {**session, **id_}
            who = session
            if person in signed_in:
                who = chance.choice([session, id_, both])
            elif chance.random() < 0.05:
                signed_in.add(person)
                who = both
            event = numbered(n, who)
            event["data"]["person"] = person
            assert worker.push([event]) == 1
            if gated and chance.random() < 0.02:
                chance.choice(workers).do("consent", [who, chance.random() < 0.7])
        if gated:
            for person in range(VISITORS):
                workers[0].do("consent", [{"session": f"s{person}"}, YES])
                workers[1].do("consent", [{"id": f"u{person}"}, YES])
        wait_until(lambda: numbers(emulator.accepted) == {*range(VISITS)})
    arrived: dict[int, list[int]] = defaultdict(list)
    for operation in emulator.accepted:
        if (n := number_of(operation)) is not None:
            arrived[operation.data["person"]].append(n)
    assert {person: found for person, found in arrived.items() if found != sorted(found)} == {}
    assert doubles(emulator.accepted) == []
    assert emulator.violations == []


# --- kills -------------------------------------------------------------------------------------


@pytest.mark.long
def test_kills_of_four_processes_lose_double_and_reorder_nothing(
    tmp_path: Path, record_property: Any
) -> None:
    with Emulator(tmp_path) as emulator:
        flow = write_flow(tmp_path, emulator.settings(), log=True)
        storm = Storm(
            flow,
            emulator,
            events=form(2_000, 100_000),
            people=form(100, 1_000),
            kills=form(4, 20),
        )
        storm.run(4)
    figures = {
        "accepted": len(storm.accepted),
        "kills": storm.struck,
        "resent": len(emulator.repeated),
        "longest takeovers": sorted(storm.takeovers, key=lambda takeover: takeover[1])[-3:],
    }
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    assert emulator.violations == []
    assert storm.accepted - numbers(emulator.accepted) == set()
    assert doubles(emulator.accepted) == []
    assert inversions(emulator.accepted) == []
    assert max(delivered for _, delivered in storm.takeovers) < TAKEOVER
    assert stored(tmp_path) == {"events": 0, "deliveries": 0, "calls": 0}


PUSHING = {"has_inserted", "has_deleted", "has_committed"}
"""Moments at which pushes stop as well: in their own thread, or within a transaction."""


def of_people(first: int, last: int) -> list[Event]:
    return [numbered(10 * n + at, user(at)) for n in range(first, last) for at in range(5)]


@pytest.mark.parametrize("moment", sorted({*BEFORE, *AFTER} - {"takes_over"}))
def test_a_process_killed_at_a_moment_loses_doubles_and_reorders_nothing(
    tmp_path: Path, moment: str
) -> None:
    with Emulator(tmp_path) as emulator, ExitStack() as stack:
        flow = write_flow(tmp_path, emulator.settings(), log="abandon" in moment)
        dying = stack.enter_context(process(flow, moment))
        other = stack.enter_context(process(flow))
        if moment in PUSHING:
            dying.do("aside", "push", of_people(0, 5))
        else:
            dying.push(of_people(0, 5))
        dying.until_at(moment)
        if moment not in PUSHING:
            assert other.push(of_people(5, 8)) == 15
        dying.kill()
        killed = time.monotonic()
        again = of_people(0 if moment in PUSHING else 8, 10)
        assert other.push(again) == len(again)
        wanted = {number["data"]["n"] for number in of_people(0, 10)}
        wait_until(lambda: numbers(emulator.accepted) == wanted)
        assert time.monotonic() - killed < TAKEOVER
        assert other.do("flush", 20)
        other.close()
    assert doubles(emulator.accepted) == []
    assert inversions(emulator.accepted) == []
    assert stored(tmp_path) == {"events": 0, "deliveries": 0, "calls": 0}


def test_a_process_killed_as_it_takes_over_is_replaced(tmp_path: Path) -> None:
    with Emulator(tmp_path) as emulator, ExitStack() as stack:
        flow = write_flow(tmp_path, emulator.settings())
        first = stack.enter_context(process(flow))
        wait_until(lambda: deliverer(tmp_path / "spool.db", "customerio") == first.pid)
        heir = stack.enter_context(process(flow, "takes_over"))
        first.push(of_people(0, 5))
        first.kill()
        heir.until_at("takes_over")
        last = stack.enter_context(process(flow))
        last.push(of_people(5, 10))
        heir.kill()
        killed = time.monotonic()
        wanted = {number["data"]["n"] for number in of_people(0, 10)}
        wait_until(lambda: numbers(emulator.accepted) == wanted)
        assert time.monotonic() - killed < TAKEOVER
    assert doubles(emulator.accepted) == []
    assert inversions(emulator.accepted) == []
