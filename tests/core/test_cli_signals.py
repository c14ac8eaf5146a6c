"""Ctrl-C and SIGTERM: reading stops, what was accepted is delivered or stays."""

import io
import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from tests.core.cli_support import (
    Server,
    completed,
    event,
    ndjson,
    numbers,
    objects,
    serving,
    spawned,
    to_file,
    to_server,
    write_events,
    write_flow,
)
from tests.support import join
from walker_collector import Collector
from walker_collector.cli.progress_line import BytesRead
from walker_collector.cli.reader import EventReader
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.simulate import LineSimulation

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def feed(process: subprocess.Popen[str], *numbers_: int) -> IO[str]:
    """Give events to a running command, whose stdin stays open."""
    assert process.stdin
    process.stdin.write(ndjson(event(n) for n in numbers_))
    process.stdin.flush()
    return process.stdin


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a command without closing its stdin; return status and stderr."""
    assert process.stderr
    told = process.stderr.read()
    return process.wait(20), told


def came(server: Server, count: int = 1) -> None:
    for _ in range(count):
        assert server.came.acquire(timeout=20)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_signal_ends_reading_and_what_was_accepted_is_delivered(
    number: int, status: int, tmp_path: Path
) -> None:
    out = tmp_path / "out.ndjson"
    with serving() as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url), "out": to_file(out)})
        with spawned("run", flow) as process:
            feed(process, 1, 2)
            came(server, 2)
            process.send_signal(number)
            assert finished(process)[0] == status
    assert numbers(out) == [1, 2]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_signal_leaves_what_cannot_go_in_the_spool(
    number: int, status: int, tmp_path: Path
) -> None:
    spool = {"path": str(tmp_path / "spool.db")}
    with serving(503) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, spool=spool, closeTimeout=200)
        with spawned("run", flow) as process:
            feed(process, 1, 2)
            came(server)
            process.send_signal(number)
            code, told = finished(process)
    assert code == status
    assert "Stopped after line 2." in told
    assert (
        f"{signal.Signals(number).name}: delivering the accepted events, for at most 0.2 s" in told
    )
    assert f"{spool['path']} keeps the waiting events; the next `walker run`" in told
    counted = completed("spool", "status", flow, "--json")
    assert json.loads(counted.stdout)["destinations"]["there"]["waiting"] == 2


def test_signal_while_waiting_at_the_end_stops_the_waiting(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, closeTimeout=100)
        with spawned("run", flow, "--json") as process:
            feed(process, 1).close()
            came(server, 2)
            process.send_signal(signal.SIGINT)
            code, _ = finished(process)
            assert process.stdout
            summary = objects(process.stdout.read())[-1]
    assert code == 130
    assert (summary["signal"], summary["destinations"]["there"]["lost"]) == ("SIGINT", 1)


def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, closeTimeout=60_000)
        with spawned("run", flow) as process:
            feed(process, 1)
            came(server)
            process.send_signal(signal.SIGINT)
            assert process.stderr
            assert any("ends at once" in line for line in process.stderr)
            assert insisted(process, signal.SIGINT) == 130


def test_other_signal_ends_at_once(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, closeTimeout=60_000)
        with spawned("run", flow) as process:
            feed(process, 1)
            came(server)
            process.send_signal(signal.SIGINT)
            assert process.stderr
            assert any("ends at once" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 143


def test_signal_that_comes_twice_at_once_is_one(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    with serving() as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url), "out": to_file(out)})
        with spawned("run", flow) as process:
            feed(process, 1)
            came(server)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            code, told = finished(process)
    assert code == 143
    assert "SIGTERM: delivering the accepted events" in told
    assert numbers(out) == [1]


def insisted(process: subprocess.Popen[str], number: int) -> int:
    """Send a signal until the process ends; return its exit status."""
    for _ in range(200):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(0.1)
    pytest.fail("the process goes on")


class _Interrupted(io.BytesIO):
    """A stream whose reading is ended by a signal, after half a line."""

    def __init__(self, stop: StopSignal, data: bytes) -> None:
        super().__init__(data)
        self._stop = stop

    def read1(self, size: int | None = -1, /) -> bytes:
        piece = super().read1(size)
        if not piece:
            self._stop.signal = signal.SIGINT
        return piece


def test_half_a_line_before_a_signal_is_not_bad(tmp_path: Path) -> None:
    out, stop = tmp_path / "out.ndjson", StopSignal()
    with Collector.from_file(write_flow(tmp_path, {"out": to_file(out)})) as collector:
        reader = EventReader(collector, stop)
        reader.run(_Interrupted(stop, ndjson([event(0)]).encode() + b'{"name": '), BytesRead())
    assert (reader.lines.accepted, reader.lines.bad.count) == (1, 0)
    assert numbers(out) == [0]


def test_dry_run_counts_the_lines_before_a_signal(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out.ndjson")})
    events = write_events(tmp_path, *(event(n, text="x" * 1_000) for n in range(1_000)))
    simulation, stop = LineSimulation(flow, None), StopSignal()
    for _ in simulation.run(str(events), stop=stop):
        stop.signal = signal.SIGINT
    assert 0 < simulation.read < 1_000
    assert simulation.ok


def test_interrupted_simulation_is_no_traceback(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    with spawned("simulate", flow) as process:
        feed(process, 1)
        assert process.stdout
        assert process.stdout.readline().startswith("line 1 ")
        process.send_signal(signal.SIGINT)
        code, told = finished(process)
    assert code == 130
    assert "Traceback" not in told


class Signalling(io.BytesIO):
    """A stream on which a signal arrives while it is read."""

    def read1(self, size: int | None = -1, /) -> bytes:
        signal.raise_signal(signal.SIGTERM)
        return b"never seen"


def test_read_that_waits_is_ended() -> None:
    with StopSignal() as stop:
        assert stop.read(io.BytesIO(b"before")) == b"before"
        assert (stop.signal, stop.exit_status) == (None, None)
        assert stop.read(Signalling()) == b""
        assert (stop.signal, stop.exit_status) == (signal.SIGTERM, 143)
        assert stop.read(io.BytesIO(b"after")) == b""


def test_same_signal_within_a_second_is_the_same_request() -> None:
    now = 5.0
    with StopSignal(lambda: now) as stop:
        signal.raise_signal(signal.SIGTERM)
        now = 5.9
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM


def test_signal_between_reads_ends_the_next() -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.read(io.BytesIO(b"more")) == b""


def test_signals_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignal():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopSignal() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.read(io.BytesIO(b"text"))))

    thread = threading.Thread(target=work)
    thread.start()
    join(thread)
    assert seen == [(before, b"text")]
