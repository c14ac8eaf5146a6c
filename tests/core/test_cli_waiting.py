"""How long a command waits, and what it shows meanwhile."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

import pytest

from tests.core.cli_support import COMMAND, event, serving, to_server, write_events, write_flow
from tests.support import PATIENCE, program, wait_until
from walker_collector import DestinationStatus
from walker_collector.cli.drain import STALLED, UNATTENDED, StallDetector
from walker_collector.cli.output import duration
from walker_collector.cli.progress_line import (
    BytesRead,
    CountLine,
    Progress,
    ProgressLine,
    Rate,
    as_line,
)
from walker_collector.moments import moment

DONE = DestinationStatus(state="ready", delivered=1)
DOWN = DestinationStatus(state="down", reason="no key", waiting=1)
BUSY = DestinationStatus(state="ready", waiting=1)
FAILING = DestinationStatus(state="failing", reason="503", waiting=1)


class Seconds:
    """A monotonic clock that moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("statuses", "over"),
    [
        ({}, False),
        ({"a": DONE}, False),
        ({"a": DOWN}, True),
        ({"a": DOWN, "b": DONE}, True),
        ({"a": DOWN, "b": BUSY}, False),
        ({"a": DOWN, "b": FAILING}, False),
    ],
)
def test_waiting_ends_where_all_that_is_left_is_down(
    statuses: dict[str, DestinationStatus], over: bool
) -> None:
    assert StallDetector(Seconds()).gave_up(statuses) is over


def test_waiting_ends_after_a_minute_of_failures_without_a_delivery() -> None:
    clock = Seconds()
    detector = StallDetector(clock)
    assert not detector.gave_up({"a": FAILING})
    clock.now = STALLED - 1
    assert not detector.gave_up({"a": FAILING, "b": DONE})
    clock.now += STALLED - 1
    assert not detector.gave_up({"a": FAILING, "b": DONE})
    clock.now += 1
    assert detector.gave_up({"a": FAILING, "b": DONE})


def test_slow_destination_that_does_not_fail_is_waited_for() -> None:
    clock = Seconds()
    detector = StallDetector(clock)
    detector.gave_up({"a": BUSY})
    clock.now = 10 * STALLED
    assert not detector.gave_up({"a": BUSY})


def test_waiting_for_a_deliverer_ends_once_another_one_would_have_taken_over() -> None:
    clock = Seconds()
    detector = StallDetector(clock)
    assert not detector.gave_up({"a": BUSY}, {"a"})
    clock.now = UNATTENDED
    assert detector.gave_up({"a": BUSY}, {"a"})
    assert not detector.gave_up({"a": BUSY, "b": BUSY}, {"a"})
    assert not detector.gave_up({"a": BUSY})
    assert not detector.gave_up({"a": BUSY}, {"a"})


def test_waiting_for_records_ends_where_all_that_waits_is_delivered() -> None:
    clock, full = Seconds(), DestinationStatus(state="ready", waiting=2, unrecorded=2)
    detector = StallDetector(clock)
    assert not detector.gave_up({"a": full})  # the next write may succeed
    clock.now = UNATTENDED
    assert detector.gave_up({"a": full})
    assert not detector.gave_up({"a": DestinationStatus(state="ready", waiting=3, unrecorded=2)})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2.0 h"), (1e5, "1.2 d")],
)
def test_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moment_is_told_to_the_second() -> None:
    assert moment(1_700_000_000_999) == "2023-11-14T22:13:20Z"


# --- progress ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(finished=0, left=1), "  0 % ────────────────────  1 delivery left"),
        (
            Progress(finished=500, left=500, rate=50.0),
            " 50 % ━━━━━━━━━━──────────  500 deliveries left, 50/s, about 0:10",
        ),
        (
            Progress(finished=500, left=500, read=0.5, rate=50.0),
            " 25 % ━━━━━───────────────  reading; 500 deliveries left, 50/s, about 0:30",
        ),
        (
            Progress(finished=99_999, left=1, rate=0.0),
            " 99 % ━━━━━━━━━━━━━━━━━━━─  1 delivery left, 0/s",
        ),
        (
            Progress(finished=5, left=7_200, read=None, rate=1.0),
            "reading; 7,200 deliveries left, 1.0/s",
        ),
        (
            Progress(finished=10, left=72_000, rate=10.0),
            "  0 % ────────────────────  72,000 deliveries left, 10/s, about 2:00:00",
        ),
        (Progress(finished=9, left=0), "100 % ━━━━━━━━━━━━━━━━━━━━  0 deliveries left"),
    ],
)
def test_deliveries_are_counted_down_and_all_of_them_are_100_percent(
    progress: Progress, told: str
) -> None:
    assert as_line(progress) == told
    assert len(told) < 80


def test_rate_is_that_of_the_last_seconds() -> None:
    clock = Seconds()
    rate = Rate(clock)
    assert rate.measure(0) is None
    clock.now = 2
    assert rate.measure(100) == 50
    clock.now = 20
    assert rate.measure(100) is None  # of one moment nothing can be told
    clock.now = 24
    assert rate.measure(108) == 2


def test_backlog_of_an_earlier_run_is_counted_as_well() -> None:
    clock = Seconds()
    status = DestinationStatus(state="ready", delivered=20, waiting=20_000)
    line = ProgressLine(lambda: {"a": status}, BytesRead(complete=True), clock)
    assert line() == ""  # a short run shows nothing
    clock.now = 2
    assert line().endswith("20,000 deliveries left")
    status = DestinationStatus(state="ready", delivered=20_020)
    assert line() == "20,020 deliveries made, none left"


@pytest.mark.parametrize("state", ["down", "failing"])
def test_a_destination_in_trouble_is_named_in_place_of_a_time_left(state: Any) -> None:
    clock = Seconds()
    statuses = {
        "a": DestinationStatus(state="ready", delivered=0, waiting=100),
        "crm": DestinationStatus(state=state, waiting=100, reason="the service answered 503"),
        "old": DestinationStatus(state=state),
    }
    line = ProgressLine(lambda: statuses, BytesRead(complete=True), clock)
    clock.now = 2
    assert line().endswith(f"200 deliveries left; crm is {state}")
    clock.now, statuses["a"] = 4, DestinationStatus(state="ready", delivered=50, waiting=50)
    assert line().endswith(f"150 deliveries left, 25/s; crm is {state}")
    statuses["crm"] = DestinationStatus(state="ready", waiting=100)
    assert line().endswith("150 deliveries left, 25/s, about 0:06")


def test_lines_that_an_earlier_run_has_handed_on_are_no_work() -> None:
    read = BytesRead(size=1_000, count=900, passed=800)
    assert read.share == 0.5
    clock = Seconds()
    busy = DestinationStatus(state="ready", delivered=0, waiting=50)
    line = ProgressLine(lambda: {"a": busy}, read, clock)
    clock.now = 2
    assert line() == "  0 % ────────────────────  reading; 50 deliveries left"
    clock.now = 4
    busy = DestinationStatus(state="ready", delivered=50, waiting=50)
    # 200 events in all, of which half are read: 150 are left, at 25/s
    assert line() == (" 25 % ━━━━━───────────────  reading; 50 deliveries left, 25/s, about 0:06")


def test_counting_shows_lines_rate_and_time_left() -> None:
    clock = Seconds()
    read = BytesRead(size=1_000, count=250)
    lines = 0
    line = CountLine(lambda: lines, read, clock)
    assert line() == ""
    clock.now = 2
    assert line() == " 25 % ━━━━━───────────────  0 lines counted"
    clock.now, lines = 4, 20_000
    assert line() == " 25 % ━━━━━───────────────  20,000 lines counted, 10,000/s, about 0:06"
    read.size = None  # of a pipe
    assert line() == "20,000 lines counted, 10,000/s"


def test_input_that_somebody_types_is_not_painted_over() -> None:
    clock = Seconds()
    read = BytesRead(silent=True)
    line = ProgressLine(lambda: {"a": BUSY}, read, clock)
    clock.now = 2
    assert line() == ""
    read.complete = True
    assert line().endswith("1 delivery left")


def painted(raw: str) -> list[str]:
    """Return the lines that stay on a terminal: carriage returns and erasures are done."""
    kept, line = [], ""
    for token in re.findall(r"\x1b\[2K|\x1b\[[0-9;?]*[a-zA-Z]|\r\n|\r|\n|[^\x1b\r\n]+", raw):
        if token in ("\r\n", "\n"):
            kept.append(line)
            line = ""
        elif token == "\x1b[2K":
            line = ""
        elif token[0] not in "\r\x1b":
            line += token
    return [*kept, line]


def read_until(terminal: int, *patterns: str) -> bytes:
    """Return what a program writes to a terminal, up to where it has shown all of these."""
    raw = bytearray()

    def has_shown_all() -> bool:
        if select([terminal], [], [], 0)[0]:
            raw.extend(os.read(terminal, 65_536))
        text = raw.decode(errors="ignore")
        return all(re.search(pattern, text) for pattern in patterns)

    wait_until(has_shown_all, f"{patterns} on the terminal")
    return bytes(raw)


def read_on(terminal: int) -> bytes:
    """Return the rest that a program writes to a terminal until it ends."""
    text = b""
    with suppress(OSError):  # the other end is closed and everything is read
        while piece := os.read(terminal, 65_536):
            text += piece
    return text


def test_progress_and_log_lines_do_not_collide_and_other_streams_are_left_alone(
    tmp_path: Path,
) -> None:
    ours, theirs = os.openpty()
    with serving(503) as busy, (tmp_path / "stdout").open("wb") as stdout:
        destinations = {
            "busy": to_server(busy.url),
            "lines": {"package": "console", "config": {}},
        }
        flow = write_flow(tmp_path, destinations, closeTimeout=100)
        events = write_events(tmp_path, *(event(n) for n in range(3)))
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        with program(
            [*COMMAND, "run", flow, events],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=theirs,
            env=environ,
        ) as process:
            os.close(theirs)
            # The rate is that of the last seconds: where the three lines fall into them, not zero.
            raw = read_until(
                ours,
                r"warning: destination busy: ",
                r" 50 % ━{10}─{10}  3 deliveries left, [\d.]+/s",
            )
            process.send_signal(signal.SIGTERM)
            raw += read_on(ours)
            os.close(ours)
            assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    shown = painted(raw.decode())
    assert any(line.startswith("warning: destination busy: ") for line in shown)
    assert any(line.startswith("SIGTERM: delivering the accepted events") for line in shown)
    assert not any("deliveries left" in line for line in shown)
    assert shown[-1] == ""
    assert (tmp_path / "stdout").read_text().count("\n") == 3
    rows = {line.split()[0]: line.split()[1:] for line in shown[-5:] if line.strip(" ─")}
    figures = dict(zip(rows["destination"], rows["busy"], strict=True))
    assert (figures["waiting"], figures["lost"]) == ("0", "3")
