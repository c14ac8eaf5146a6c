"""An event that its sender sends again is accepted as the first time, and delivered once."""

import json
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.core.sources.test_serve import delivered, ended, flow_in, post, serving
from tests.core.support import (
    MARKETING,
    WITHDRAWN,
    Clock,
    Record,
    flow,
    guarded,
    held,
    in_threads,
    one,
    plugin,
    running,
)
from tests.forms import form
from tests.support import PATIENCE, wait_until
from walker_collector import Collector, PushResult, Rejected
from walker_collector.config import RuleConfig, SpoolConfig
from walker_collector.hookspecs import Received
from walker_collector.sources.http import app
from walker_collector.spool import memory
from walker_collector.spool.sqlite import SqliteSpool

DAY = 86_400_000


def event(id_: str | None = "e1", **parts: Any) -> dict[str, Any]:
    return {"name": "order complete", **({"id": id_} if id_ else {}), **parts}


def sent(collector: Collector, *events: dict[str, Any] | Received) -> list[PushResult]:
    """Accept events as those of a source."""
    results = collector.push_from(None, list(events))
    assert all(isinstance(result, PushResult) for result in results), results
    return [result for result in results if isinstance(result, PushResult)]


def test_event_sent_again_is_answered_as_the_first_time_and_delivered_once(
    spool: Path | None,
) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        first = sent(collector, event())
        assert sent(collector, event()) == first
        assert sent(collector, event("e2"), event(), event("e2")) == [
            PushResult("e2", {"there": "accepted"}),
            *first,
            PushResult("e2", {"there": "accepted"}),
        ]
        assert collector.flush(PATIENCE)
        assert sent(collector, event()) == first
        assert collector.flush(PATIENCE)
        status = collector.status()
        assert (status.accepted, status.repeated) == (2, 4)
        assert status.destinations["there"].accepted == 2
    assert record.ids == ["e1", "e2"]


def test_every_destination_gets_it_once(spool: Path | None) -> None:
    records = {name: Record() for name in ("a", "b")}
    destinations = {
        name: (plugin(record.push), one(plugin()).destinations["there"].config)
        for name, record in records.items()
    }
    with running(flow(destinations, spool)) as collector:
        for _ in range(3):
            sent(collector, event())
        assert collector.flush(PATIENCE)
    assert [record.ids for record in records.values()] == [["e1"], ["e1"]]


def test_same_id_from_many_threads_at_once_is_delivered_once(spool: Path | None) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        start = threading.Barrier(8)

        def send() -> None:
            start.wait(PATIENCE)
            for n in range(50):
                sent(collector, event(f"e{n}"))

        in_threads(*[send] * 8)
        assert collector.flush(PATIENCE)
        assert (collector.status().accepted, collector.status().repeated) == (50, 350)
    assert sorted(record.ids) == sorted(f"e{n}" for n in range(50))


def test_event_that_became_a_dead_letter_counts_as_accepted(spool: Path | None) -> None:
    def refuse(event: Any, context: Any) -> None:
        raise Rejected("no such field")

    with running(flow(plugin(refuse), spool)) as collector:
        sent(collector, event())
        assert collector.flush(PATIENCE)
        sent(collector, event())
        assert collector.flush(PATIENCE)
        assert len(collector.dead()) == 1


def test_events_without_an_id_are_all_delivered(spool: Path | None) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        sent(collector, event(None), event(None), event(""))
        assert collector.flush(PATIENCE)
    assert len(set(record.ids)) == 3


def test_ids_of_the_process_itself_are_remembered_where_that_is_asked_for(
    spool: Path | None,
) -> None:
    def pushed(**settings: Any) -> list[str]:
        record = Record()
        with running(flow(plugin(record.push), spool, **settings)) as collector:
            for _ in range(2):
                collector.push(event("p"))
                collector.push_many([event("p")])
            assert collector.flush(PATIENCE)
        return record.ids

    assert pushed() == ["p"] * 4
    assert pushed(recent=DAY) == ["p"]


def test_zero_remembers_no_id(spool: Path | None) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool, recent=0)) as collector:
        sent(collector, event(), event())
        sent(collector, event())
        assert collector.flush(PATIENCE)
    assert record.ids == ["e1"] * 3


def test_id_is_remembered_for_the_time_of_the_flow(spool: Path | None) -> None:
    record, clock = Record(), Clock()
    with running(flow(plugin(record.push), spool, recent=1_000), now=clock) as collector:
        sent(collector, event())
        clock.advance(1_000)
        sent(collector, event())
        clock.advance(1)
        sent(collector, event())
        assert collector.flush(PATIENCE)
    assert record.ids == ["e1"] * 2


def test_memory_forgets_the_oldest_ids_beyond_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RECENT_MAX", 100)
    with running(flow(plugin(Record().push))) as collector:
        sent(collector, *[event(f"e{n}") for n in range(101)])
        sent(collector, event("e1"), event("e0"))
        assert collector.status().repeated == 1  # e0 was the oldest


def test_old_ids_leave_the_spool_as_new_ones_come(tmp_path: Path) -> None:
    record, clock, path = Record(), Clock(), tmp_path / "spool.db"
    with running(flow(plugin(record.push), path, recent=1_000), now=clock) as collector:
        for n in range(0, 10_000, 100):  # each group lasts a tenth of the time
            sent(collector, *[event(f"e{at}") for at in range(n, n + 100)])
            clock.advance(100)
        for n in range(1_000):
            sent(collector, event(f"single{n}"))
            clock.advance(1)
    with closing(SqliteSpool(SpoolConfig(path=str(path)), read_only=True)) as look:
        ((left,),) = look.core.rows("SELECT count(*) FROM recent")
    assert 1_000 <= left < 3_000  # those of the last second, and some that no new one came near


def test_erased_person_leaves_no_id_to_be_read_and_does_not_come_back(tmp_path: Path) -> None:
    record, path = Record(), tmp_path / "spool.db"
    with running(flow(plugin(record.push), path)) as collector:
        ines = event("order of ines", user={"id": "ines"})
        sent(collector, ines)
        assert collector.flush(PATIENCE)
        collector.forget({"id": "ines"})
        sent(collector, ines)
        assert collector.flush(PATIENCE)
    assert record.ids == ["order of ines"]
    for file in tmp_path.glob("spool.db*"):
        assert file.is_dir() or b"ines" not in file.read_bytes()


def test_outcomes_other_than_delivered_are_remembered_with_the_id(tmp_path: Path) -> None:
    rules = {
        "page": {"view": RuleConfig(ignore=True)},
        "cart": {"view": RuleConfig(ignore=True, condition=lambda event, context: True)},
    }
    path = tmp_path / "spool.db"
    with running(one(plugin(Record().push), path, mapping=rules)) as collector:
        for name in ("page view", "cart view", "order complete"):
            sent(collector, {"name": name, "id": name})
            sent(collector, {"name": name, "id": name})
        assert collector.flush(PATIENCE)
    now = time.time_ns() // 1_000_000
    with closing(SqliteSpool(SpoolConfig(path=str(path)), read_only=True)) as look:
        outcomes = {
            name: {id_: item.kind for id_, item in found.outcomes.items()}
            for name in ("page view", "cart view", "order complete", "nothing")
            if (found := look.recent_event(name, now))
        }
    assert outcomes == {
        "page view": {"there": "ignored"},
        "cart view": {"there": "ignored"},
        "order complete": {},
    }


def test_same_id_at_two_processes_at_once_is_delivered_once(tmp_path: Path) -> None:
    source = {"web": {"package": "http", "config": {"settings": {"port": 0}}}}
    flow = flow_in(tmp_path, source)
    ids = [f"e{n}" for n in range(30)]
    with (
        serving(flow, "--flow", "default") as (one, a),
        serving(flow, "--flow", "default") as (
            other,
            b,
        ),
    ):
        start, answers = threading.Barrier(2), []

        def send(url: str) -> None:
            for id_ in ids:
                start.wait(PATIENCE)
                status, answer = post(url, [event(id_), event(id_)])
                answers.append((status, *answer["ids"]))

        in_threads(lambda: send(a[0]), lambda: send(b[0]))
        assert sorted(answers) == sorted((200, id_, id_) for id_ in ids * 2)
        wait_until(lambda: len(delivered(tmp_path)) >= len(ids))
        assert ended(one) == ended(other) == 0
    assert sorted(delivered(tmp_path)) == sorted(ids)


@pytest.mark.long
def test_id_answered_before_a_kill_is_known_to_the_next_start(tmp_path: Path) -> None:
    flow = flow_in(tmp_path, deliver=False)
    count = form(2, 200)
    for number in range(count):
        with serving(flow) as (process, (url,)):
            if number:
                again = post(url, event(f"e{number - 1}"))
                assert (again[0], again[1]["id"]) == (200, f"e{number - 1}")
            assert post(url, event(f"e{number}"))[0] == 200
            time.sleep(number * 7 % 21 / 1000)
            process.kill()
            process.wait(PATIENCE)
    with closing(SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))) as spool:
        found = [json.loads(item.entry[3])["id"] for item in spool.load("out", 0, count * 2)]
    assert found == [f"e{number}" for number in range(count)]


def test_segments_message_id_is_the_id() -> None:
    record = Record()
    call = {"event": "Order Completed", "userId": "u1", "messageId": "m-1"}
    with running(flow(plugin(record.push))) as collector:
        for _ in range(3):
            answer = app(collector).respond("POST", "/v1/track", {}, json.dumps(call).encode())
            assert (answer[0], json.loads(answer[2])) == (200, {"success": True})
        assert collector.flush(PATIENCE)
    assert record.ids == ["m-1"]


def test_untrusted_sender_that_guesses_an_id_keeps_no_trusted_event_away(
    spool: Path | None,
) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        guessed, real = event("order-7"), event("order-7", data={"total": 55})
        for _ in range(2):
            for received in (Received(guessed, trusted=False), Received(real)):
                (result,) = collector.push_from(None, [received])
                assert isinstance(result, PushResult)
        assert collector.flush(PATIENCE)
        assert collector.status().repeated == 2
    assert [event["data"] for event in record.events] == [{}, {"total": 55}]


@pytest.mark.parametrize("time", [{}, {"timestamp": 1_700_000_060_000}], ids=["none", "ahead"])
def test_grant_that_is_sent_again_does_not_overturn_a_withdrawal(
    spool: Path | None, time: dict[str, int]
) -> None:
    record, clock = Record(), Clock()
    with running(guarded(record, spool), now=clock) as collector:
        user = {"session": "s1"}
        grant = Received(event(user=user, consent=MARKETING, **time), learn=True)
        sent(collector, grant)
        clock.advance(1_000)
        collector.consent(WITHDRAWN, user)
        clock.advance(1_000)
        sent(collector, grant)
        sent(collector, event("e2", user=user))
        assert collector.flush(PATIENCE)
        assert held(collector) == 1
    assert record.ids == ["e1"]


def test_sign_in_that_is_sent_again_does_not_overturn_a_later_one(spool: Path | None) -> None:
    with running(flow(plugin(Record().push), spool)) as collector:
        first = event("e1", user={"id": "ana", "session": "s1"})
        sent(collector, first, event("e2", user={"id": "ben", "session": "s1"}))
        sent(collector, first)
        consents = collector._life.runtime.consents
        assert consents.person_of({"session": "s1"}) == "id:ben"


def test_command_that_is_sent_again_does_not_overturn_a_later_one(spool: Path | None) -> None:
    def statement(id_: str, update: dict[str, bool]) -> dict[str, Any]:
        return {"name": "walker consent", "id": id_, "data": update, "user": {"session": "s1"}}

    record = Record()
    with running(guarded(record, spool)) as collector:
        grant = statement("c1", MARKETING)
        for command in (grant, statement("c2", WITHDRAWN), grant):
            sent(collector, command)
        sent(collector, event("c1", user={"session": "s1"}))  # no command, so another id
        assert collector.status().repeated == 1
        assert held(collector) == 1
        for _ in range(2):  # without an id it is always another one
            sent(collector, {**grant, "id": None})
        assert collector.flush(PATIENCE)
    assert record.ids == ["c1"]
