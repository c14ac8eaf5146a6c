"""`walker deliver`: a program that delivers what other processes accept."""

import signal
import socket
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.core.cli_support import (
    completed,
    event,
    ndjson,
    numbers,
    objects,
    serving,
    spawned,
    to_file,
    to_server,
    walker,
    write_flow,
)
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.cli import drain

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def flow_of(folder: Path, there: Any = None, **collector: Any) -> Path:
    """Write a flow whose destination is `there`, or a file; it leaves deliveries to others."""
    destinations = {"out": there or to_file(folder / "out")}
    spool = {"path": str(folder / "spool.db")}
    return write_flow(folder, destinations, **{"spool": spool, "deliver": False, **collector})


def accept(flow: Path, *events: int) -> None:
    """Accept events in this process, which ends its part."""
    with Collector.from_file(flow) as collector:
        collector.push_many([event(n) for n in events])


def until_begun(process: "Popen[str]") -> None:
    assert process.stderr is not None
    line = process.stderr.readline()  # bounded: `spawned` ends it
    assert line.startswith("delivering from "), line + process.stderr.read()


def stop(process: "Popen[str]", number: int = signal.SIGTERM) -> tuple[int, str]:
    """Send a signal; return the exit status, and what was said since the start."""
    process.send_signal(number)
    assert process.stderr is not None
    said = process.stderr.read()
    return process.wait(20), said


def until_delivered(folder: Path, *expected: int) -> None:
    out = folder / "out"
    wait_until(lambda: out.exists() and numbers(out) == list(expected))


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_it_with_the_figures(number: int, tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    accept(flow, 1, 2)
    with spawned("deliver", str(flow)) as process:
        until_begun(process)
        accept(flow, 3)
        until_delivered(tmp_path, 1, 2, 3)
        status, said = stop(process, number)
    assert status == 0
    header, _, row = said.splitlines()[-3:]
    assert dict(zip(header.split(), row.split(), strict=True))["delivered"] == "3"


def test_json_has_the_figures_on_stdout(tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    accept(flow, 1)
    with spawned("deliver", str(flow), "--json") as process:
        until_begun(process)
        until_delivered(tmp_path, 1)
        stop(process)
        assert process.stdout is not None
        (found,) = objects(process.stdout.read())
    assert found["signal"] == "SIGTERM"
    assert found["destinations"]["out"]["delivered"] == 1


def test_what_waits_at_a_signal_is_delivered_before_the_end(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = flow_of(tmp_path, to_server(server.url))
        accept(flow, 1)
        with spawned("deliver", str(flow)) as process:
            until_begun(process)
            assert server.came.acquire(timeout=20)
            server.status = 204
            assert stop(process)[0] == 0
    (row,) = objects(walker("spool", "status", flow, "--json").stdout)
    assert row["destinations"] == {}


def test_what_cannot_go_within_the_close_timeout_stays_in_the_spool(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = flow_of(tmp_path, to_server(server.url), closeTimeout=200)
        accept(flow, 1)
        with spawned("deliver", str(flow)) as process:
            until_begun(process)
            status, said = stop(process)
    assert status == 0
    assert "keeps the waiting events" in said


def test_deliverer_that_is_killed_is_replaced_by_the_next(tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    with Collector.from_file(flow) as collector:
        with spawned("deliver", str(flow)) as first, spawned("deliver", str(flow)) as second:
            for process in (first, second):
                until_begun(process)
            collector.push(event(1))
            assert collector.flush(20)
            first.kill()
            collector.push(event(2))
            assert collector.flush(20)
            second.kill()
        collector.push(event(3))
        assert not collector.flush(0.2)
        with spawned("deliver", str(flow)) as third:
            assert collector.flush(20)
            assert stop(third)[0] == 0
    assert numbers(tmp_path / "out") == [1, 2, 3]


def test_deliverer_hands_over_to_another_without_waiting(tmp_path: Path) -> None:
    with serving(503) as server:
        # The breaker of the second one may open before the server is well.
        flow = flow_of(tmp_path, to_server(server.url, breaker={"cooldown": 10}))
        accept(flow, 1)
        with spawned("deliver", str(flow)) as first:
            until_begun(first)
            assert server.came.acquire(timeout=20)
            with spawned("deliver", str(flow)) as second:
                until_begun(second)
                assert stop(first)[0] == 0
                server.status = 204
                wait_until(lambda: walker_waits(flow) == 0)
                assert stop(second)[0] == 0


def walker_waits(flow: Path) -> int:
    (found,) = objects(walker("spool", "status", flow, "--json").stdout)
    return sum(item["waiting"] for item in found["destinations"].values())


def test_flow_that_delivers_itself_may_have_a_deliverer_as_well(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, deliver=True)
    with spawned("deliver", str(flow)) as process:
        until_begun(process)
        done = completed("run", flow, input=ndjson(event(n) for n in range(5)))
        assert done.returncode == 0, done.stderr
        assert stop(process)[0] == 0
    assert numbers(tmp_path / "out") == list(range(5))


def test_spool_file_that_is_lost_ends_it_with_an_error(tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    with spawned("deliver", str(flow)) as process:
        until_begun(process)
        (tmp_path / "spool.db").rename(tmp_path / "moved.db")
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert "was deleted, moved or replaced" in process.stderr.read()


def test_flow_without_a_spool_is_refused(tmp_path: Path) -> None:
    result = walker("deliver", write_flow(tmp_path, {"out": to_file(tmp_path / "out")}))
    assert result.exit_code == 1
    assert "has no spool" in result.stderr


def test_run_may_leave_deliveries_to_another_process_and_tells_of_its_dead_letters(
    tmp_path: Path,
) -> None:
    with serving(400) as server:
        destinations = {"out": to_file(tmp_path / "out"), "hook": to_server(server.url)}
        spool = {"path": str(tmp_path / "spool.db")}
        flow = write_flow(tmp_path, destinations, spool=spool, deliver=False)
        accept(flow, 0)
        with spawned("deliver", str(flow)) as process:
            until_begun(process)
            done = completed("run", flow, "--json", input=ndjson([event(1), event(2)]))
            assert done.returncode == 1, done.stderr
            assert stop(process)[0] == 0
    assert numbers(tmp_path / "out") == [0, 1, 2]
    (found,) = objects(done.stdout)
    assert {id: item["dead"] for id, item in found["destinations"].items()} == {"out": 0, "hook": 2}


def test_run_that_only_accepts_says_at_once_that_nobody_delivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "UNATTENDED", 0.1)
    flow = flow_of(tmp_path)
    result = walker("run", flow, input=ndjson([event(1)]))
    assert result.exit_code == 1
    absence, *_, advice = result.stderr.splitlines()
    assert absence == (
        'nobody delivers to out now, and this process only accepts ("deliver": false): '
        f"start `walker deliver {flow}`"
    )
    assert f"keeps the waiting events; `walker deliver {flow}` delivers them" in advice


@pytest.mark.parametrize("disabled", [False, True])
def test_flow_without_a_destination_in_use_is_refused(disabled: bool, tmp_path: Path) -> None:
    there = {"out": to_file(tmp_path / "out", disabled=True)} if disabled else {}
    spool = {"path": str(tmp_path / "spool.db")}
    result = walker("deliver", write_flow(tmp_path, there, spool=spool))
    assert result.exit_code == 1
    assert "destinations: there is none to deliver to" in result.stderr


# --- processes that only accept ----------------------------------------------------------------


def test_accepting_without_a_spool_is_a_mistake_in_its_place(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")}, deliver=False)
    for command in ("validate", "deliver"):
        result = walker(command, flow)
        assert result.exit_code == 1
        assert "collector.deliver: false needs a spool" in result.output


def test_close_of_an_accepting_process_does_not_wait_for_a_deliverer(tmp_path: Path) -> None:
    began = time.monotonic()
    collector = Collector.from_file(flow_of(tmp_path, closeTimeout=60_000))
    collector.push(event(1))
    assert not collector.close()
    assert time.monotonic() - began < 30
    assert collector.status_of("out").waiting == 1


# --- what `walker spool` says ------------------------------------------------------------------


def said_of_spool(flow: Path) -> tuple[str, str]:
    """Return what `walker spool status` says of deliveries, as JSON and as text."""
    (found,) = objects(walker("spool", "status", flow, "--json").stdout)
    table = walker("spool", "status", flow).stdout
    told = [line for line in table.splitlines() if line.startswith("out: ")]
    return found["destinations"]["out"]["reason"], "".join(told).removeprefix("out: ")


def test_spool_tells_that_nobody_delivers_what_waits(tmp_path: Path) -> None:
    # It never answers: a failure would be told as well, as soon as the spool knows of it.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        flow = flow_of(tmp_path, to_server(f"http://127.0.0.1:{mute.getsockname()[1]}/in"))
        accept(flow, 1)
        assert said_of_spool(flow) == ("no process delivers to it now",) * 2
        with Collector.from_file(flow), spawned("deliver", str(flow)) as process:
            until_begun(process)
            assert said_of_spool(flow) == ("", "")
            process.send_signal(signal.SIGSTOP)
            silent = f"process {process.pid} on "
            wait_until(lambda: all(silent in said for said in said_of_spool(flow)))
            process.kill()
            process.wait(20)
            assert said_of_spool(flow) == ("no process delivers to it now",) * 2


def test_spool_without_waiting_events_needs_no_deliverer(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, to_file(tmp_path / "out", consent={"marketing": True}))
    accept(flow, 1)
    assert said_of_spool(flow) == ("", "")
