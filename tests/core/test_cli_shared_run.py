"""`walker run --workers` on a spool: one process accepts, others deliver; kills lose nothing."""

import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.core.cli_support import (
    PEOPLE,
    assert_in_order_and_complete,
    children,
    completed,
    consent,
    event,
    gone,
    many_events,
    ndjson,
    no_file_above_a_megabyte,
    numbers,
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
from walker_collector import Collector

TOGETHER = ("--workers", "2", "--json")


def flow_of(folder: Path, there: Any, **collector: Any) -> Path:
    """Write a flow with a spool of several shards."""
    spool = {"path": str(folder / "spool.db")}
    return write_flow(folder, {"out": there}, **{"spool": spool, "shards": 8, **collector})


def running(*arguments: object) -> AbstractContextManager["Popen[str]"]:
    """Start a run with two workers."""
    return spawned("run", *map(str, arguments), *TOGETHER)


def test_every_event_is_delivered_once_with_the_figures_of_one_process(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = flow_of(tmp_path, to_file(out, consent={"marketing": True}))
    sessions = [{"session": f"s{n}"} for n in range(10)]
    events = write_events(
        tmp_path,
        *(event(n, f"u{n}") for n in range(10)),
        *(event(10 + n, None, user=user) for n, user in enumerate(sessions)),
        "no JSON",
        *(event(20 + n, user={**user, "id": f"u{n}"}) for n, user in enumerate(sessions)),
        *(consent(f"u{n}", marketing=True) for n in range(10)),
        *(event(30 + n, f"u{n}") for n in range(20)),
    )
    process = completed("run", flow, events, *TOGETHER)
    assert process.returncode == 1  # there is a bad line
    (figures,) = objects(process.stdout)
    assert (figures["read"], figures["accepted"], figures["commands"]) == (61, 50, 10)
    assert (figures["bad_lines"], figures["complete"]) == ([21], True)
    there = figures["destinations"]["out"]
    assert (there["delivered"], there["held"], there["waiting"]) == (40, 10, 0)
    assert process.stderr.count("line 21: not JSON") == 1
    found: dict[int, list[int]] = {}
    for n in numbers(out):
        found.setdefault(n % 10, []).append(n)
    assert found == {n: [n, 10 + n, 20 + n, 30 + n] for n in range(10)}


def test_run_on_a_full_disk_ends_once_all_is_delivered(tmp_path: Path) -> None:
    pad = {"pad": "x" * 1_000}
    events = write_events(tmp_path, *(event(n, f"u{n % 50}", custom=pad) for n in range(2_000)))
    with serving() as server:
        flow = flow_of(tmp_path, to_server(server.url))
        process = completed("run", flow, events, *TOGETHER, preexec_fn=no_file_above_a_megabyte)
    assert process.returncode == 1
    assert "the disk is full or failing" in process.stderr
    (figures,) = objects(process.stdout)
    there = figures["destinations"]["out"]
    assert 0 < there["delivered"] == figures["accepted"] < 2_000
    assert there["waiting"] == there.get("unrecorded", 0)


def test_others_take_over_from_a_killed_worker(tmp_path: Path) -> None:
    with serving() as server:
        flow, events = flow_of(tmp_path, to_server(server.url)), many_events(tmp_path, 200)
        with running(flow, events) as process:
            until_some_came(server, 20)
            killed = children(process.pid)[0]
            os.kill(killed, signal.SIGKILL)
            out, err = process.communicate(timeout=60)
        assert_in_order_and_complete(server.bodies, 200)
    assert process.returncode == 0, err
    assert f"worker {killed} was ended by SIGKILL; the others take over" in err
    (figures,) = objects(out)
    assert (figures["accepted"], figures["complete"]) == (200, True)
    assert figures["destinations"]["out"]["waiting"] == 0


def test_run_without_workers_left_stops_and_its_rest_stays(tmp_path: Path) -> None:
    with serving() as server:
        flow, events = flow_of(tmp_path, to_server(server.url)), many_events(tmp_path, 200)
        with running(flow, "-") as process:
            assert process.stdin is not None
            lines = events.read_text().splitlines(keepends=True)
            process.stdin.writelines(lines[:100])
            process.stdin.flush()
            until_some_came(server, 10)
            for pid in children(process.pid):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not children(process.pid))
            out, err = process.communicate("".join(lines[100:]), timeout=60)
        assert process.returncode == 1
        assert "no other is left" in err
        assert "no worker is left to deliver" in err
        (figures,) = objects(out)
        assert figures["complete"] is False
        assert figures["destinations"]["out"]["waiting"] > 0
        accepted = figures["accepted"]
        assert walker("run", flow, "-", input="").exit_code == 0
        assert_in_order_and_complete(server.bodies, accepted)


def test_killed_run_ends_its_workers_and_goes_on_with_each_line_once(tmp_path: Path) -> None:
    with serving() as server:
        flow, events = flow_of(tmp_path, to_server(server.url)), many_events(tmp_path, 400)
        with running(flow, events, "--resume") as process:
            until_some_came(server, 20)
            workers = children(process.pid)
            process.kill()
            process.wait(timeout=60)
            wait_until(gone(workers))
        process_after = completed("run", flow, events, "--resume", *TOGETHER)
        assert process_after.returncode == 0, process_after.stderr
        assert "--resume" not in process_after.stderr
        assert_in_order_and_complete(server.bodies, 400)
    again = completed("run", flow, events, "--resume", *TOGETHER)
    assert "accepted all of its 400 lines; there is nothing left to read" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_with_what_was_accepted_delivered(
    number: signal.Signals, tmp_path: Path
) -> None:
    with serving() as server:
        flow = flow_of(tmp_path, to_server(server.url), closeTimeout=60_000)
        events = many_events(tmp_path, 100)
        with running(flow, "-") as process:
            assert process.stdin is not None
            process.stdin.write(events.read_text())
            process.stdin.flush()
            until_some_came(server, 10)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.count(f"{number.name}: delivering the accepted events") == 1
    (figures,) = objects(out)
    there = figures["destinations"]["out"]
    assert figures["signal"] == number.name
    assert (there["delivered"], there["waiting"]) == (figures["accepted"], 0)
    assert len(server.bodies) == figures["accepted"]


def test_signal_leaves_the_events_of_a_failing_destination_in_the_spool(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = flow_of(tmp_path, to_server(server.url), closeTimeout=100)
        events = many_events(tmp_path, 100)
        with running(flow, events) as process:
            until_some_came(server, 1)
            workers = children(process.pid)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        wait_until(gone(workers))
        (figures,) = objects(out)
        assert figures["destinations"]["out"]["waiting"] == figures["accepted"] == 100
        assert "the next `walker run` of this flow delivers them" in err
        assert err.count("100 events waiting in the spool") == 1
        server.status = 204
        server.bodies.clear()
        rest = completed("run", flow, "-", *TOGETHER, input="")
        assert rest.returncode == 0, rest.stderr
        assert_in_order_and_complete(server.bodies, 100)


def test_pipe_is_delivered_while_it_is_open(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, to_file(tmp_path / "out"), deliver=False)
    with running(flow) as process:
        assert process.stdin is not None
        process.stdin.write(ndjson([event(1)]))
        process.stdin.flush()
        wait_until(lambda: (tmp_path / "out").exists() and numbers(tmp_path / "out") == [1])
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert objects(out)[0]["destinations"]["out"]["delivered"] == 1


def test_workers_that_cannot_deliver_are_told(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, to_file(tmp_path / "out"), shards=None)
    process = completed("run", flow, many_events(tmp_path, 20), *TOGETHER)
    assert process.returncode == 0
    assert "has 1 shard, so that 1 worker can deliver, and 1 only stand" in process.stderr
    assert sorted(numbers(tmp_path / "out")) == list(range(20))


def test_dead_letters_are_told_once_and_fail_the_run(tmp_path: Path) -> None:
    there = to_file(tmp_path / "out", mapping={"order": {"*": {}}}, unmatched="error")
    events = write_events(
        tmp_path,
        *(event(n, PEOPLE[n % 20]) for n in range(20)),
        *({"name": "page view", "user": {"id": person}} for person in PEOPLE),
    )
    process = completed("run", flow_of(tmp_path, there), events, "--workers", "2")
    assert process.returncode == 1
    assert process.stderr.count("out: 20 dead") == 1
    assert process.stderr.splitlines()[-1].split()[:5] == ["out", "20", "0", "0", "20"]


def test_spool_that_cannot_be_used_ends_the_run_and_its_workers(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"something else, of another program" * 100)
    flow = flow_of(tmp_path, to_file(tmp_path / "out"))
    process = completed("run", flow, many_events(tmp_path, 20), *TOGETHER)
    assert process.returncode == 1
    assert process.stderr.count("Error: ") == 1
    with Collector.from_file(write_flow(tmp_path, {})):  # the flow alone is no fault
        assert not (tmp_path / "out").exists()
