"""Damaged rows: what is wrong with one event costs that event, and nobody else's."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import completed
from tests.core.support import MARKETING, PATIENCE, Record, config, event, flow, plugin, until
from walker_collector import Collector, DestinationDown, RetryLater
from walker_collector.config import RetryConfig

EVENTS = 6
BAD = 3
"""The number of the event that is damaged."""


def down(event: Any, context: Any) -> None:
    raise DestinationDown("not yet")


def busy(event: Any, context: Any) -> None:
    raise RetryLater("busy")


def open_shop(spool: Path, one: type, other: type) -> Collector:
    """Open a collector with a destination that takes everything and one that wants consent."""
    destinations = {"one": (one, config()), "other": (other, config(consent=MARKETING))}
    return Collector(flow(destinations, spool))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool in which events wait for one destination and are held for the other."""
    path = tmp_path / "spool.db"
    collector = open_shop(path, plugin(down), plugin(down))
    for n in range(1, EVENTS + 1):
        collector.push(event(n, f"u{n}"))
    until(lambda: collector.status_of("one").state == "down")
    collector.close(timeout=0)
    return path


def damaged(spool: Path, sql: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(spool, isolation_level=None)) as db:
        assert db.execute(sql, values).rowcount >= 1


BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"name": "a b", "id": "\xff"}',
    "no object": b"[1]",
    "null": b"null",
    "number": 5,
    "text": "no JSON either",
    "data": b'{"name": "a b", "id": "1", "data": []}',
    "user": b'{"name": "a b", "id": "1", "user": "u1"}',
    "consent": b'{"name": "a b", "id": "1", "consent": [1]}',
    "name": b'{"name": 5, "id": "1"}',
    "null data": b'{"name": "a b", "id": "1", "data": null}',
    "deep": b"[" * 100_000,
}
COLUMNS: dict[str, tuple[str, object]] = {
    "person": ("person", b"\xff"),
    "person number": ("person", b"id:u1"),
    "time": ("at", "yesterday"),
    "time blob": ("at", b"1"),
    "time float": ("at", 1.5),
}
DAMAGE: dict[str, tuple[str, object]] = {
    **{f"body: {name}": ("body", value) for name, value in BODIES.items()},
    **COLUMNS,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_event_is_a_dead_letter_and_the_others_are_delivered(
    kind: str, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    column, value = DAMAGE[kind]
    damaged(spool, f"UPDATE events SET {column} = ? WHERE seq = ?", value, BAD)
    one, other = Record(), Record()
    with open_shop(spool, plugin(one.push), plugin(other.push)) as collector:
        collector.consent(MARKETING)
        assert collector.flush(PATIENCE)
        others = [n for n in range(1, EVENTS + 1) if n != BAD]
        assert (one.numbers, sorted(other.numbers)) == (others, others)
        letters = collector.dead()
        assert {(letter.seq, letter.destination) for letter in letters} == {
            (BAD, "one"),
            (BAD, "other"),
        }
        assert all(letter.reason.startswith("damaged in the spool: its ") for letter in letters)
        for figures in collector.status().destinations.values():
            assert (figures.waiting, figures.held, figures.dead) == (0, 0, 1)
        collector.push(event(EVENTS + 1, "u1"))
        assert collector.flush(PATIENCE)
    for destination in ("one", "other"):
        assert (
            f"destination {destination}: event number {BAD} in the spool is damaged" in caplog.text
        )
    with open_shop(spool, plugin(down), plugin(down)) as collector:
        assert len(collector.dead()) == 2
        assert collector.replay(collector.dead()) == 2
        assert collector.bury(collector.dead()) in (0, 1, 2)


def test_text_that_is_none_costs_one_event(spool: Path) -> None:
    damaged(spool, "UPDATE events SET person = CAST(x'69643aff' AS TEXT) WHERE seq = ?", BAD)
    one = Record()
    with open_shop(spool, plugin(one.push), plugin(down)) as collector:
        assert collector.flush(PATIENCE)
        assert {*range(1, EVENTS + 1)} - {*one.numbers} <= {BAD}
        assert collector.status_of("one").waiting == 0


@pytest.fixture
def tried(tmp_path: Path) -> Path:
    """A spool of events that have been tried once and wait for a retry."""
    path = tmp_path / "spool.db"
    patient = RetryConfig(base=600_000, cap=600_000)
    collector = Collector(flow({"one": (plugin(busy), config(retry=patient))}, path))
    for n in range(1, EVENTS + 1):
        collector.push(event(n, f"u{n}"))
    until(lambda: collector.status_of("one").retried == EVENTS)
    collector.close(timeout=0)
    damaged(path, "UPDATE deliveries SET due = 0")
    return path


RECORDS: dict[str, tuple[str, object]] = {
    "attempts": ("attempts", "many"),
    "attempts blob": ("attempts", b"\x00"),
    "due": ("due", "never"),
    "due float": ("due", 1e300),
    "reason": ("reason", b"\xff"),
    "parts: no JSON": ("parts", "{"),
    "parts: no object": ("parts", "[1]"),
    "parts: unknown": ("parts", '{"send_email": "perhaps"}'),
    "parts: number": ("parts", '{"send_email": 1}'),
    "parts: list": ("parts", '{"send_email": ["rejected"]}'),
    "parts: deep": ("parts", "[" * 100_000),
    "parts: blob": ("parts", b"\xff"),
    "consent: no JSON": ("consent", "no"),
    "consent: no object": ("consent", "5"),
    "consent: text": ("consent", '{"marketing": "yes"}'),
    "state": ("state", 7),
    "state text": ("state", "dead"),
    "state negative": ("state", -1),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_damaged_record_of_a_delivery_makes_a_dead_letter(kind: str, tried: Path) -> None:
    column, value = RECORDS[kind]
    damaged(tried, f"UPDATE deliveries SET {column} = ? WHERE seq = ?", value, BAD)
    record = Record()
    with Collector(flow({"one": (plugin(record.push), config())}, tried)) as collector:
        assert collector.flush(PATIENCE)
        assert record.numbers == [n for n in range(1, EVENTS + 1) if n != BAD]
        (letter,) = collector.dead()
        assert (letter.seq, letter.destination) == (BAD, "one")
        assert letter.reason.startswith("damaged in the spool: ")
        status = collector.status_of("one")
        assert (status.waiting, status.held, status.dead) == (0, 0, 1)
        assert collector.replay([letter]) == 1
        assert collector.flush(PATIENCE)
        assert sorted(record.numbers) == [*range(1, EVENTS + 1)]
        assert collector.status().stored == 0


@pytest.mark.parametrize("due", [2**62, 2**63 - 1, 253_402_300_800_000, -(2**63)])
def test_due_time_that_never_comes_is_bounded_by_the_longest_wait(due: int, tried: Path) -> None:
    damaged(tried, "UPDATE deliveries SET due = ?, attempts = ? WHERE seq = ?", due, 2**62, BAD)
    record = Record()
    retry = RetryConfig(base=1, cap=50)
    with Collector(flow({"one": (plugin(record.push), config(retry=retry))}, tried)) as collector:
        record.wait_for(EVENTS)
        assert collector.flush(PATIENCE)


@pytest.mark.parametrize("at", [2**63 - 1, -(2**63), 253_402_300_800_000])
def test_event_of_an_absurd_time_is_delivered(at: int, spool: Path) -> None:
    damaged(spool, "UPDATE events SET at = ? WHERE seq = ?", at, BAD)
    record = Record()
    with open_shop(spool, plugin(record.push), plugin(down)) as collector:
        assert collector.flush(PATIENCE)
        assert collector.status_of("one").oldest_age == 0
        assert record.numbers == [*range(1, EVENTS + 1)]


TABLES = {
    "delivery of no event": "INSERT INTO deliveries (seq, destination, state) VALUES (99, 1, 1)",
    "delivery elsewhere": "INSERT INTO deliveries (seq, destination, state) VALUES (1, 99, 2)",
    "statement by nobody": "INSERT INTO consents VALUES (x'ff', 'marketing', 1, 1)",
    "statement of nothing": "INSERT INTO consents VALUES ('id:u1', x'ff', 1, 1)",
    "statement of perhaps": "INSERT INTO consents VALUES ('id:u1', 'marketing', 'perhaps', 1)",
    "statement of 2": "INSERT INTO consents VALUES ('id:u1', 'marketing', 2, 1)",
    "statement of never": "INSERT INTO consents VALUES ('id:u1', 'marketing', 1, 'never')",
    "statement of later": "INSERT INTO consents VALUES ('id:u1', 'other', 1, 9223372036854775807)",
    "alias": "INSERT INTO aliases VALUES (x'ff', 'id:u1')",
    "alias of nobody": "INSERT INTO aliases VALUES ('session:s', x'ff')",
    "alias of text that is none": "INSERT INTO aliases VALUES ('session:s', CAST(x'ff' AS TEXT))",
    "sign-in": "INSERT INTO signed_in VALUES (x'ff', 'id:u1')",
    "erasure": "INSERT INTO pending_erasures VALUES (x'ff', x'ff')",
    "event for nobody": "INSERT INTO events VALUES (99, 99, 1, '', x'7b7d', 0)",
    "set without a number": "INSERT INTO subscribers VALUES ('x', 1)",
    "set of a blob": "INSERT INTO subscribers VALUES (x'ff', 1)",
    "set of a fraction": "INSERT INTO subscribers VALUES (1e300, 1)",
    "last set": "INSERT INTO subscribers VALUES (9223372036854775807, 1)",
    "last event": "INSERT INTO events VALUES (9223372036854775807, 99, 1, '', x'7b7d', 0)",
    "destination blob": "INSERT INTO destinations VALUES (99, x'ff')",
    "destination": "INSERT INTO destinations VALUES (99, CAST(x'ff' AS TEXT))",
}


@pytest.mark.parametrize("kind", TABLES)
def test_damage_elsewhere_stops_neither_start_nor_deliveries(kind: str, spool: Path) -> None:
    damaged(spool, TABLES[kind])
    one, other = Record(), Record()
    with open_shop(spool, plugin(one.push), plugin(other.push)) as collector:
        assert collector.flush(PATIENCE)
        assert one.numbers == [*range(1, EVENTS + 1)]
        assert other.numbers == []
        assert collector.status_of("other").held == EVENTS
        for n in range(1, EVENTS + 1):
            collector.consent(
                MARKETING, user={"id": f"u{n}", "session": "s"} if n == 1 else {"id": f"u{n}"}
            )
        assert collector.flush(PATIENCE)
        assert sorted(other.numbers) == [*range(1, EVENTS + 1)]
        for figures in collector.status().destinations.values():
            assert (figures.waiting, figures.held, figures.dead) == (0, 0, 0)


@pytest.mark.parametrize("state", [7, -1, "dead", b"\xff"])
def test_person_with_a_damaged_event_in_a_large_file_is_erased(
    state: object, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.spool.sqlite.schema.CHECKED_BYTES", 0)
    damaged(spool, "UPDATE deliveries SET state = ? WHERE seq = ?", state, BAD)
    one = Record()
    with open_shop(spool, plugin(one.push), plugin(down)) as collector:
        assert collector.flush(PATIENCE)
        assert collector.forget({"id": f"u{BAD}"}) == 1
        assert collector.status().stored == EVENTS - 1


NOWHERE = {
    "event": ("UPDATE events SET subscribers = 99", "unknown"),
    "event of text": ("UPDATE events SET subscribers = 'x'", "unknown"),
    "name": ("DELETE FROM destinations WHERE id = 'one'", "unknown-"),
    "name blob": ("UPDATE destinations SET id = x'ff' WHERE id = 'one'", "unknown-"),
}


@pytest.mark.parametrize("kind", NOWHERE)
def test_events_whose_destination_is_lost_are_kept_and_told(
    kind: str, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sql, name = NOWHERE[kind]
    damaged(spool, sql)
    one = Record()
    with open_shop(spool, plugin(one.push), plugin(down)) as collector:
        collector.push(event(EVENTS + 1, "u1"))
        assert collector.flush(PATIENCE)
        assert one.numbers == [EVENTS + 1]
        assert collector.status().stored == EVENTS + 1
    assert f"{EVENTS} events kept for destination {name}" in caplog.text


@pytest.mark.parametrize("seq", [0, -1, -(2**63), 2**63 - 1, 2**53 + 1])
def test_event_with_an_impossible_number_is_delivered_last(seq: int, spool: Path) -> None:
    damaged(spool, "UPDATE events SET seq = ? WHERE seq = ?", seq, BAD)
    damaged(spool, "UPDATE deliveries SET seq = ? WHERE seq = ?", seq, BAD)
    one = Record()
    with open_shop(spool, plugin(one.push), plugin(down)) as collector:
        assert collector.flush(PATIENCE)
        collector.push(event(EVENTS + 1, "u1"))
        assert collector.flush(PATIENCE)
    assert one.numbers == [1, 2, 4, 5, 6, BAD, EVENTS + 1]


def test_damaged_denial_grants_nothing(spool: Path) -> None:
    damaged(spool, TABLES["statement of perhaps"])
    other = Record()
    with open_shop(spool, plugin(down), plugin(other.push)) as collector:
        assert not collector.flush(0.1)
        assert other.numbers == []


def test_command_line_shows_damaged_dead_letters(tmp_path: Path) -> None:
    path, spool = tmp_path / "flow.json", tmp_path / "spool.db"
    settings = {"path": str(tmp_path / "no" / "such" / "folder" / "out")}
    path.write_text(
        json.dumps(
            {
                "collector": {"spool": {"path": str(spool)}},
                "destinations": {"out": {"package": "file", "config": {"settings": settings}}},
            }
        )
    )
    with Collector.from_file(path) as collector:
        collector.push(event(1))
        collector.close(timeout=0)
    damaged(spool, "UPDATE events SET body = x'7b', at = 9223372036854775807")
    with Collector.from_file(path) as collector:
        until(lambda: len(collector.dead()) == 1)
        collector.close(timeout=0)
    for command in (
        ("spool", "status"),
        ("dead", "list"),
        ("dead", "list", "--json"),
        ("dead", "show", "--data"),
        ("dead", "drop", "--all", "--yes"),
    ):
        process = completed(command[0], command[1], path, *command[2:])
        assert "Traceback" not in process.stderr, process.stderr
    with Collector.from_file(path) as collector:
        assert collector.dead() == []
