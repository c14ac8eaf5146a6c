"""`walker spool`, `walker dead`, `walker forget`: what is stored, and what is done about it."""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from tests.core.cli_support import (
    Server,
    completed,
    consent,
    event,
    ndjson,
    objects,
    serving,
    spawned,
    to_file,
    to_server,
    walker,
    write_flow,
)
from tests.core.support import PATIENCE
from walker_collector import SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, State
from walker_collector.spool.sqlite import SqliteSpool


@define
class Shop:
    """A flow with a spool, a server, and a destination that waits for consent."""

    flow: Path
    spool: Path
    server: Server

    def run(self, *lines: dict[str, Any]) -> None:
        walker("run", self.flow, "--timeout", "2", input=ndjson(lines))

    def status(self) -> Any:
        return objects(walker("spool", "status", self.flow, "--json").stdout)[0]["destinations"]

    def dead(self) -> list[Any]:
        (found,) = objects(walker("dead", "list", self.flow, "--json").stdout)
        return list(found)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    spool = tmp_path / "spool.db"
    with serving(400) as server:
        destinations = {
            "there": to_server(server.url),
            "ads": to_file(tmp_path / "ads", consent={"marketing": True}),
        }
        yield Shop(write_flow(tmp_path, destinations, spool={"path": str(spool)}), spool, server)


# --- status ------------------------------------------------------------------------------------


def test_status_counts_what_is_held_and_dead(shop: Shop) -> None:
    shop.run(event(1), event(2), event(3, consent={"marketing": True}))
    found = shop.status()
    assert list(found) == ["ads", "there"]
    assert (found["ads"]["held"], found["ads"]["waiting"], found["ads"]["dead"]) == (2, 0, 0)
    assert (found["there"]["dead"], found["there"]["held"]) == (3, 0)
    assert found["ads"]["oldest_age"] == 0, "the age is that of the oldest waiting event"


def test_status_counts_what_waits_for_a_retry(shop: Shop) -> None:
    shop.server.status = 503
    retry = {"base": 100_000, "cap": 100_000}
    later = to_server(shop.server.url, retry=retry, breaker={"threshold": 100})
    content = json.loads(shop.flow.read_text())
    shop.flow.write_text(json.dumps({**content, "destinations": {"there": later}}))
    walker("run", shop.flow, "--timeout", "0.5", input=ndjson([event(1), event(2, "u2")]))
    found = shop.status()["there"]
    assert found["waiting"] == 2


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ({"maxEvents": 2}, "full: it holds 2 events of at most 2 (spool.maxEvents)"),
        ({"maxBytes": 1_000}, "bytes of at most 1,000 (spool.maxBytes)"),
    ],
)
def test_a_spool_without_room_is_told_with_its_bound(
    shop: Shop, bound: dict[str, int], told: str
) -> None:
    content = json.loads(shop.flow.read_text())
    content["collector"]["spool"].update(bound)
    content["destinations"].pop("there")  # the other keeps its events for consent
    shop.flow.write_text(json.dumps(content))
    run = walker("run", shop.flow, "--timeout", "2", input=ndjson([event(n) for n in range(20)]))
    assert run.exit_code == 1
    assert " not accepted" in run.stderr
    assert told in walker("spool", "status", shop.flow).stdout
    (status,) = objects(walker("spool", "status", shop.flow, "--json").stdout)
    assert told in status["full"]
    why = walker("why", shop.flow, "--event", "gone").stdout
    assert "The spool may have refused it: now it is full" in why
    assert told in why


def test_status_takes_a_spool_file_as_well(shop: Shop) -> None:
    shop.run(event(1))
    result = walker("spool", "status", shop.spool)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == str(shop.spool)
    assert lines[1].split() == ["destination", "waiting", "retrying", "held", "dead", "oldest"]
    assert lines[-1].split()[:5] == ["there", "0", "0", "0", "1"]


def test_spool_is_looked_at_and_changed_while_another_process_uses_it(shop: Shop) -> None:
    shop.server.status = 204
    with spawned("run", shop.flow) as process:
        assert process.stdin
        process.stdin.write(ndjson([event(1)]))
        process.stdin.flush()
        assert shop.server.came.acquire(timeout=20)
        assert shop.status()["ads"]["held"] == 1
        assert walker("dead", "list", shop.flow).exit_code == 0
        assert walker("dead", "drop", shop.flow, "--all", "--yes").exit_code == 0
        forgotten = walker("forget", shop.flow, "--user-id", "u1", "--json")
        assert objects(forgotten.stdout) == [{"events": 1, "underWay": 0}]
        assert shop.status().get("ads", {"held": 0})["held"] == 0


def add(path: str, destination: str, state: State) -> None:
    """Store an event, as a worker process does."""
    body = json.dumps({"id": "w1", "name": "order complete", "user": {}}).encode()
    with closing(SqliteSpool(SpoolConfig(path=path))) as spool:
        spool.append([NewEvent("", 1, body, {destination: state})], lambda _: None)


@pytest.mark.parametrize(
    "command",
    [
        ("spool", "status"),
        ("spool", "drop", "--yes"),
        ("dead", "list"),
        ("dead", "show"),
        ("dead", "replay", "--all"),
        ("dead", "drop", "--all"),
        ("forget", "--user-id", "u1"),
    ],
)
def test_flow_without_a_spool_is_told_how_to_have_one(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    flow = write_flow(tmp_path, {})
    result = walker(*command, flow, *(["there"] if "--yes" in command else []))
    assert result.exit_code == 1
    assert 'Add "collector": {"spool": {"path": "spool.db"}}' in result.stderr


NOTHING_RAN = "nothing has run with this flow yet: there is no "


@pytest.mark.parametrize(
    "command",
    [
        ("dead", "drop", "--all"),
        ("dead", "replay", "--all"),
        ("forget", "--device", "d"),
        ("why", "--event", "e1"),
        ("people", "--user-id", "u1"),
    ],
)
def test_spool_that_is_not_there_yet_is_told_and_not_made(
    command: tuple[str, ...], shop: Shop
) -> None:
    result = walker(*command, shop.flow)
    assert result.exit_code == 1
    assert f"{NOTHING_RAN}{shop.spool} (collector.spool.path)" in result.stderr
    assert list(shop.flow.parent.iterdir()) == [shop.flow]


def test_where_nothing_has_run_nothing_is_stored_or_dead(shop: Shop) -> None:
    letters, status = walker("dead", "list", shop.flow), walker("spool", "status", shop.flow)
    assert (letters.exit_code, status.exit_code) == (0, 0)
    assert letters.stdout.startswith(
        f"no dead letters: {NOTHING_RAN}{shop.spool} (collector.spool.path)"
    )
    assert status.stdout.startswith(f"{NOTHING_RAN}{shop.spool} (collector.spool.path)")
    assert shop.dead() == []
    assert shop.status() == {}
    assert walker("dead", "list", shop.flow, "--destination", "theer").exit_code == 1
    assert list(shop.flow.parent.iterdir()) == [shop.flow]


def test_spool_that_was_deleted_is_told_from_one_that_is_not_there_yet(shop: Shop) -> None:
    shop.run(event(1))
    shop.spool.unlink()
    result = walker("dead", "list", shop.flow)
    assert result.exit_code == 1
    assert "somebody has moved or deleted it" in result.stderr
    locks = shop.spool.with_name("spool.db.locks")
    assert "to begin anew without its events, end the processes" in result.stderr
    assert f"delete {locks} as well" in result.stderr
    shutil.rmtree(locks)
    assert walker("dead", "list", shop.flow).exit_code == 0
    shop.run(event(2))
    assert len(shop.dead()) == 1


def test_spool_path_in_a_variable_that_is_not_set_is_told(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {}, spool={"path": "$env.NOT_SET_ANYWHERE/spool.db"})
    result = walker("spool", "status", flow)
    assert result.exit_code == 1
    assert "collector.spool.path: environment variable NOT_SET_ANYWHERE is not" in result.stderr


def test_only_the_secret_of_the_spool_is_told_to_be_missing(tmp_path: Path) -> None:
    http = {"package": "http", "config": {"settings": {"url": "$secret.NOT_THIS"}}}
    flow = write_flow(tmp_path, {"crm": http}, spool={"url": "$secret.NOPE"})
    result = walker("spool", "status", flow)
    assert result.exit_code == 1
    assert "collector.spool.url: secret NOPE is not set; set the environment" in result.stderr
    assert "NOT_THIS" not in result.stderr


def test_sqlite_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mine (x)")
    result = walker("spool", "status", path)
    assert result.exit_code == 1
    assert "is not a spool" in result.stderr


@pytest.mark.parametrize("kind", ["database", "text"])
def test_refused_file_is_left_as_it_was_and_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    if kind == "text":
        path.write_text("hello\n")
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE mine (x)")
    path.chmod(0o644)
    before = path.read_bytes()
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")}, spool={"path": str(path)})
    commands = ["run"], ["dead", "drop", "--all"], ["forget", "--device", "d"]
    for command in commands:
        result = walker(*command, flow, input="")
        assert result.exit_code == 1
        assert "not a " in result.stderr
    assert {item.name for item in tmp_path.iterdir()} == {"other", "flow.json"}
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o644)


def test_what_is_kept_for_a_destination_that_is_gone_can_be_dropped(shop: Shop) -> None:
    shop.run(event(1), event(2, consent={"marketing": True}))
    add(str(shop.spool), "ads", State.WAITING)
    content = json.loads(shop.flow.read_text())
    del content["destinations"]["ads"]
    shop.flow.write_text(json.dumps(content))
    warned = walker("run", shop.flow, input="").stderr
    assert "2 events kept for destination ads, which the flow does not have" in warned
    assert "`walker spool drop`" in warned
    refused = walker("spool", "drop", shop.flow, "ads", input="n\n")
    assert refused.exit_code == 1
    assert "Drop 2 events kept for ads for good?" in refused.stderr
    assert walker("spool", "drop", shop.flow, "ads", input="y\n").exit_code == 0
    assert shop.status().keys() == {"there"}
    again = walker("spool", "drop", shop.flow, "ads")
    assert (again.exit_code, again.stderr) == (0, "0 events dropped\n")


def test_dropping_takes_dead_letters_too(shop: Shop) -> None:
    shop.run(event(1))
    assert walker("spool", "drop", shop.flow, "there", "--yes").exit_code == 0
    assert shop.dead() == []
    assert shop.status().keys() == {"ads"}


# --- dead letters ------------------------------------------------------------------------------


def test_list_says_which_why_and_when(shop: Shop) -> None:
    shop.run({**event(1), "id": "e1"})
    (letter,) = shop.dead()
    assert (letter["id"], letter["event"], letter["destination"]) == (
        "e1",
        "order complete",
        "there",
    )
    assert "400" in letter["reason"]
    assert letter["attempts"] == 1
    assert letter["accepted"] <= letter["died"]
    table = walker("dead", "list", shop.flow, "--destination", "there").stdout
    assert "\ne1 " in table


def test_list_without_dead_letters_says_so(shop: Shop) -> None:
    shop.run(event(1))
    assert walker("dead", "list", shop.flow, "--destination", "ads").stdout == "no dead letters\n"
    found = walker("dead", "list", shop.flow, "--destination", "ads", "--json")
    assert objects(found.stdout) == [[]]


def test_show_keeps_data_back_unless_asked_for(shop: Shop) -> None:
    secret = {"email": "ann@example.com", "id": "u1"}
    shop.run({**event(1), "id": "e1", "user": secret}, {**event(2), "id": "e2"})
    shown = walker("dead", "show", shop.flow, "--id", "e1").stdout
    assert "ann@example.com" not in shown
    assert "id:u1" in shown
    assert "e2" not in shown
    assert not shown.endswith("\n\n")
    assert walker("dead", "show", shop.flow).stdout.count("\n\n") == 1
    opened = objects(walker("dead", "show", shop.flow, "--data", "--json").stdout)
    assert [letter["body"]["id"] for letter in opened] == ["e1", "e2"]
    assert (opened[0]["person"], opened[0]["consent"]) == ("id:u1", {})
    assert opened[0]["body"]["user"] == secret
    assert "ann@example.com" in walker("dead", "show", shop.flow, "--data").stdout


def test_replay_delivers_again_under_the_same_ids(shop: Shop) -> None:
    shop.run({**event(1), "id": "e1"}, {**event(2), "id": "e2"})
    shop.server.status = 204
    shop.server.bodies.clear()
    result = walker("dead", "replay", shop.flow, "--id", "e2", "--json")
    assert result.exit_code == 0
    (told,) = objects(result.stdout)
    assert told["destinations"]["there"]["delivered"] == 1
    assert told.keys() == {"signal", "destinations"}
    assert [body["id"] for body in shop.server.bodies] == ["e2"]
    assert walker("dead", "replay", shop.flow, "--destination", "there").exit_code == 0
    assert [body["id"] for body in shop.server.bodies] == ["e2", "e1"]
    assert shop.dead() == []


def test_replay_that_fails_again_says_so(shop: Shop) -> None:
    shop.run(event(1))
    result = walker("dead", "replay", shop.flow, "--all")
    assert result.exit_code == 1
    assert "delivering 1 dead letter again" in result.stderr
    assert "there: 1 dead: " in result.stderr
    assert len(shop.dead()) == 1


def test_drop_removes_what_is_named(shop: Shop) -> None:
    shop.run({**event(1), "id": "e1"}, {**event(2), "id": "e2"})
    assert walker("dead", "drop", shop.flow, "--id", "e1", "--yes").exit_code == 0
    assert [letter["id"] for letter in shop.dead()] == ["e2"]


def test_drop_asks_before(shop: Shop) -> None:
    shop.run(event(1))
    refused = walker("dead", "drop", shop.flow, "--all", input="n\n")
    assert refused.exit_code == 1
    assert len(shop.dead()) == 1
    agreed = walker("dead", "drop", shop.flow, "--all", input="y\n")
    assert agreed.exit_code == 0
    assert "1 dead letter dropped" in agreed.stderr
    assert shop.dead() == []


@pytest.mark.parametrize("command", ["show", "replay", "drop"])
def test_event_that_is_not_dead_is_told(command: str, shop: Shop) -> None:
    shop.run({**event(1), "id": "e1"})
    result = walker("dead", command, shop.flow, "--id", "e1", "--id", "nope")
    assert result.exit_code == 1
    assert "no dead letter of event nope" in result.stderr
    assert len(shop.dead()) == 1


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_which_letters_must_be_said(command: str, shop: Shop) -> None:
    result = walker("dead", command, shop.flow)
    assert result.exit_code == 2
    assert "say which: --all, --destination or --id" in result.stderr


def test_letters_of_a_destination_can_be_dropped(shop: Shop) -> None:
    shop.run(event(1))
    add(str(shop.spool), "ads", State.DEAD)
    result = walker("dead", "drop", shop.flow, "--destination", "there", "--yes")
    assert result.exit_code == 0
    assert [letter["destination"] for letter in shop.dead()] == ["ads"]


@pytest.mark.parametrize(
    "command",
    [
        ("dead", "list", "--destination", "theer"),
        ("dead", "show", "--destination", "theer"),
        ("dead", "replay", "--destination", "theer"),
        ("dead", "drop", "--destination", "theer", "--yes"),
        ("spool", "drop", "--yes", "theer"),
    ],
)
def test_destination_that_nobody_knows_is_an_error(command: tuple[str, ...], shop: Shop) -> None:
    shop.run(event(1))
    result = walker(*command[:2], shop.flow, *command[2:])
    assert result.exit_code == 1
    assert "there is no destination theer; did you mean there?" in result.stderr
    assert len(shop.dead()) == 1


def test_destination_without_dead_letters_is_known(shop: Shop) -> None:
    shop.run(event(1))
    assert walker("dead", "list", shop.flow, "--destination", "ads").exit_code == 0
    assert walker("dead", "list", shop.spool, "--destination", "there").exit_code == 0
    assert walker("dead", "list", shop.spool, "--destination", "nope").exit_code == 1


def test_damaged_spool_is_told_from_a_flow_file(shop: Shop) -> None:
    shop.run(event(1))
    damaged = shop.spool.with_name("damaged.db")
    damaged.write_bytes(b"\xff" * 16 + shop.spool.read_bytes()[16:])
    result = walker("spool", "status", damaged)
    assert result.exit_code == 1
    assert "is neither a flow file, which is text, nor a spool" in result.stderr


# --- forget ------------------------------------------------------------------------------------


def test_person_is_erased_on_disk_and_nothing_is_delivered_meanwhile(shop: Shop) -> None:
    shop.server.status = 503
    ann = {"id": "u1", "email": "ann@example.com"}
    shop.run(
        {**event(1), "user": {"session": "s1", "email": "ann@example.com"}},
        {**event(2), "user": {**ann, "session": "s1"}},
        consent("u1", analytics=True),
        event(3, "u2"),
    )
    assert b"ann@example.com" in stored(shop.spool)
    shop.server.status = 204
    shop.server.bodies.clear()
    result = walker("forget", shop.flow, "--user-id", "u1")
    assert result.exit_code == 0
    assert result.stdout == "2 events removed\n"
    assert result.stderr == "also removed: 1 consent statement, 1 other identifier\n"
    assert b"ann@example.com" not in stored(shop.spool)
    assert shop.server.bodies == []
    assert shop.status()["there"]["waiting"] == 1


def stored(spool: Path) -> bytes:
    return b"".join(
        path.read_bytes() for path in spool.parent.glob(f"{spool.name}*") if path.is_file()
    )


def test_file_that_cannot_be_written_anew_is_told_with_what_is_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run(event(1), event(2, "u2"))

    def full(spool: SqliteSpool) -> None:
        raise SpoolError("the disk is full")

    monkeypatch.setattr(SqliteSpool, "compact", full)
    result = walker("forget", shop.flow, "--user-id", "u2")
    assert result.exit_code == 1
    assert "1 event removed, but the file could not be written anew" in result.stderr
    assert "the disk is full" in result.stderr
    monkeypatch.undo()
    assert walker("forget", shop.flow, "--user-id", "u2").stdout == "0 events removed\n"


def test_forgotten_events_are_counted_as_json(shop: Shop) -> None:
    shop.run(event(1), event(2, "u2"))
    result = walker("forget", shop.spool, "--user-id", "u2", "--json")
    assert objects(result.stdout) == [{"events": 1, "underWay": 0}]
    assert len(shop.dead()) == 1


def test_somebody_must_be_named(shop: Shop) -> None:
    assert walker("forget", shop.flow).exit_code == 2


def test_flow_from_a_pipe_is_read_once(shop: Shop, tmp_path: Path) -> None:
    shop.run(event(1))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(shop.flow.read_bytes()))
    writer.start()
    result = walker("spool", "status", pipe, "--json")
    writer.join(PATIENCE)
    assert result.exit_code == 0, result.output
    assert objects(result.stdout)[0]["spool"] == str(shop.spool)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_device_is_neither_a_flow_nor_a_spool(device: str) -> None:
    for command in (("spool", "status", device), ("forget", device, "--user-id", "u")):
        process = completed(*command, timeout=PATIENCE)
        assert process.returncode in (1, 2)
        assert "Traceback" not in process.stderr
