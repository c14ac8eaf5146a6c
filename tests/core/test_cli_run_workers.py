"""`walker run --workers`: several processes deliver a file, and each person has one of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cli_support import (
    children,
    completed,
    consent,
    event,
    ndjson,
    objects,
    serving,
    spawned,
    to_file,
    to_server,
    until_some_came,
    walker,
    write_events,
    write_flow,
)
from tests.support import wait_until
from walker_collector.cli.partition import EVERY, partition
from walker_collector.people.consent import ConsentStore
from walker_collector.sources.file.lines import Lines
from walker_collector.spool.memory import MemorySpool

GATED = {"consent": {"marketing": True}}

users = st.dictionaries(
    st.sampled_from(["id", "device", "session"]),
    st.one_of(st.sampled_from(["a", "b", "c}", 'd"', "é", "", None]), st.integers(0, 3)),
    max_size=3,
)
lines = st.tuples(users, st.booleans(), st.booleans(), st.booleans())


def written(user: Mapping[str, Any], ascii: bool, spaced: bool, nested: bool) -> bytes:
    """Return a line as some library would write it."""
    whole = {"name": "order complete", "data": {"user": {"id": "x"}} if nested else {}}
    separators = (", ", " : ") if spaced else (",", ":")
    return json.dumps({**whole, "user": user}, ensure_ascii=ascii, separators=separators).encode()


@given(st.lists(lines, max_size=30), users, st.integers(2, 4))
def test_all_events_of_a_person_go_to_one_process(
    drawn: list[Any], default: dict[str, Any], count: int
) -> None:
    texts = [written(*line) for line in drawn]
    places = partition([Lines(1, texts)], default, count)
    assert len(places) == len(texts)
    people = ConsentStore(MemorySpool(0), {}, 1_000, lambda: 0)
    seen: dict[str, int] = {}
    for (user, *_), place in zip(drawn, places, strict=True):
        person, _ = people.identify({**default, **user})
        if person:
            assert seen.setdefault(person, place) == place


def test_people_are_spread_evenly_and_what_concerns_all_goes_to_all() -> None:
    told = {"name": "walker user", "data": {"plan": "pro"}}
    texts = [json.dumps(event(n, f"u{n % 100}")).encode() for n in range(1_000)]
    commands = [json.dumps(item).encode() for item in (told, consent(None, marketing=True))]
    places = partition([Lines(1, [*texts, *commands, b"{", b"[]"])], {}, 4)
    assert [places[:1_000].count(process) for process in range(4)] == [250] * 4
    assert set(places[1_000:1_002]) == {EVERY}
    assert max(places[1_002:]) < 4


def test_user_that_a_command_sets_belongs_to_all_lines_after_it() -> None:
    told = {"name": "walker user", "data": {"id": "u1"}}
    items = [event(1, None), told, event(2, None), event(3, "u1"), event(4, "u2")]
    places = partition([Lines(1, [json.dumps(item).encode() for item in items])], {}, 2)
    assert places[2] == places[3] != places[4]


def by_person(path: Path) -> dict[str, list[int]]:
    """Return the numbers of the delivered events of each person, in order."""
    found: dict[str, list[int]] = {}
    for item in objects(path.read_text("utf-8")):
        found.setdefault(item["user"].get("id") or "", []).append(item["data"]["n"])
    return found


def test_every_event_is_delivered_once_and_each_person_in_order(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out), "gated": to_file(tmp_path / "g", **GATED)})
    people = [f"u{n}" for n in range(20)]
    events = write_events(
        tmp_path,
        *(event(n, people[n % 20]) for n in range(1_000)),
        "no JSON",
        {"name": "walker globals", "data": {"shop": "de"}},
        *(consent(person, marketing=True) for person in people[:5]),
        *(event(n, people[n % 20]) for n in range(1_000, 3_000)),
    )
    process = completed("run", flow, events, "--workers", 2, "--json")
    assert process.returncode == 1  # there is a bad line
    (figures,) = objects(process.stdout)
    assert (figures["read"], figures["accepted"], figures["commands"]) == (3_007, 3_000, 6)
    assert (figures["bad"], figures["bad_lines"], figures["complete"]) == (1, [1_001], True)
    assert figures["destinations"]["out"]["delivered"] == 3_000
    assert figures["destinations"]["gated"]["delivered"] == 5 * 150
    assert figures["destinations"]["gated"]["held"] == 15 * 150
    assert process.stderr.count("line 1001: not JSON") == 1
    assert by_person(out) == {f"u{n}": list(range(n, 3_000, 20)) for n in range(20)}
    assert set(by_person(tmp_path / "g")) == set(people[:5])
    later = [item for item in objects(out.read_text("utf-8")) if item["data"]["n"] >= 1_000]
    assert all(item["globals"] == {"shop": "de"} for item in later)


def test_session_that_turns_out_to_be_a_person_is_released_in_order(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out, **GATED)})
    sessions = [{"session": f"s{n}"} for n in range(10)]
    events = write_events(
        tmp_path,
        *(event(n, f"u{n}") for n in range(10)),
        *(event(10 + n, None, user=user) for n, user in enumerate(sessions)),
        *(event(20 + n, user={**user, "id": f"u{n}"}) for n, user in enumerate(sessions)),
        *(consent(f"u{n}", marketing=True) for n in range(10)),
    )
    process = completed("run", flow, events, "--workers", 3)
    assert process.returncode == 0, process.stderr
    found: dict[int, list[int]] = {}
    for item in objects(out.read_text("utf-8")):
        found.setdefault(item["data"]["n"] % 10, []).append(item["data"]["n"])
    assert found == {n: [n, 10 + n, 20 + n] for n in range(10)}


def test_resume_without_a_spool_is_refused_with_what_to_do(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {})
    result = walker("run", flow, write_events(tmp_path), "--workers", "2", "--resume")
    assert (result.exit_code, "--resume needs a spool" in result.output) == (2, True)


def test_dry_run_counts_as_without_workers(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    events = write_events(tmp_path, event(1), event(2))
    alone, together = (
        walker("run", flow, events, "--dry-run", "--workers", count) for count in (1, 2)
    )
    assert together.exit_code == 0
    assert "2 read; nothing was sent or stored" in together.stdout
    assert together.stdout == alone.stdout
    assert not (tmp_path / "out").exists()


def test_file_that_cannot_be_read_ends_the_run_and_its_workers(tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"PK\x03\x04")
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    process = completed("run", flow, events, "--workers", 2)
    assert process.returncode == 1
    assert "a zip archive" in process.stderr


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Any]:
    """A run whose destination takes nothing; yields it with its workers."""
    with serving(503) as server:
        flow = write_flow(tmp_path, {"out": to_server(server.url)}, closeTimeout=100)
        events = write_events(tmp_path, *(event(n, f"u{n}") for n in range(100)))
        with spawned("run", flow, events, "--workers", "2", "--json") as process:
            users: set[str] = set()

            def both_deliver() -> bool:
                users.update(body["user"]["id"] for body in list(server.bodies))
                return len(users) >= 51  # of one worker there are fifty

            wait_until(both_deliver)
            yield process, children(process.pid)


def test_killed_worker_ends_the_run_with_its_loss_told(stuck: Any) -> None:
    process, workers = stuck
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    process.send_signal(signal.SIGTERM)  # the other one would try for ever
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"worker {workers[0]} was ended by SIGKILL" in err
    assert "50 lines is lost" in err
    (figures,) = objects(out)
    assert (figures["complete"], figures["read"]) == (False, 100)
    assert figures["destinations"]["out"]["lost"] == 50


def test_workers_end_with_a_killed_parent(stuck: Any) -> None:
    process, workers = stuck
    process.kill()
    process.wait(timeout=60)
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers))


def test_signal_ends_the_run_with_what_is_left_told_once(stuck: Any) -> None:
    process, workers = stuck
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.count("SIGINT: delivering the accepted events") == 1
    (figures,) = objects(out)
    assert figures["signal"] == "SIGINT"
    assert figures["destinations"]["out"]["lost"] == 100
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in workers)


QUICK_END = """
import os, signal
import click
from walker_collector.cli.line_workers import LineWorkers
from walker_collector.cli.log_output import LogOutput
from walker_collector.cli.root import main
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.summary import Summary

def work(channel):
    while channel.receive() is not None:
        pass
    channel.report("done", (Summary(), []))

with click.Context(main, obj=LogOutput()), StopSignal() as stop:
    workers = LineWorkers(2, work, stop)
    os.kill(os.getpid(), signal.SIGTERM)
    workers.finish(lambda received: print(received.name))
"""


def test_signal_is_told_where_all_workers_end_at_once() -> None:
    command = [sys.executable, "-c", QUICK_END]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "SIGTERM\n"


def spools_in_memory() -> set[Path]:
    return set(Path("/dev/shm").glob("walker-*"))


def test_pipe_without_a_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    before = spools_in_memory()
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out, **GATED)})
    lines = [*(event(n, f"u{n % 5}") for n in range(50)), consent("u1", marketing=True)]
    process = completed("run", flow, "--workers", 2, "--json", input=ndjson(lines))
    assert process.returncode == 0, process.stderr
    (figures,) = objects(process.stdout)
    assert (figures["accepted"], figures["commands"]) == (50, 1)
    there = figures["destinations"]["out"]
    assert (there["delivered"], there["held"]) == (10, 40)
    assert by_person(out) == {"u1": list(range(1, 50, 5))}
    assert spools_in_memory() <= before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_pipe_without_a_spool_is_lost_with_a_run_that_is_ended(
    number: signal.Signals, tmp_path: Path
) -> None:
    before = spools_in_memory()
    with serving(503) as server:
        flow = write_flow(tmp_path, {"out": to_server(server.url)}, closeTimeout=100)
        with spawned("run", flow, "--workers", "2", "--json") as process:
            assert process.stdin is not None
            process.stdin.write(ndjson(event(n) for n in range(10)))
            process.stdin.flush()
            until_some_came(server, 1)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    if number is signal.SIGTERM:
        assert process.returncode == 143
        assert objects(out)[0]["destinations"]["out"]["lost"] == 10
        assert "/dev/shm" not in err
        assert "waiting in the spool" not in err
    wait_until(lambda: spools_in_memory() <= before)
