"""How long a command waits, and what it shows meanwhile."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.core.cli_support import COMMAND, event, to_file, write_events, write_flow
from tests.support import program
from walker_collector import DestinationStatus
from walker_collector.cli.drain import STALLED, StallDetector
from walker_collector.cli.output import LONG, duration, moment

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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2.0 h"), (1e5, "1.2 d")],
)
def test_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moment_is_told_to_the_second() -> None:
    assert moment(1_700_000_000_999) == "2023-11-14 22:13:20Z"


def shown(folder: Path, size: int, **environment: str) -> str:
    """Return what a run of about `size` bytes shows on a terminal."""
    flow = write_flow(folder, {"out": to_file(folder / "out")})
    events = write_events(
        folder, *(event(n, custom={"pad": "x" * 1_000}) for n in range(size // 1_000))
    )
    ours, theirs = os.openpty()
    with program(
        [*COMMAND, "run", flow, events],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    ) as process:
        os.close(theirs)
        text = b""
        with suppress(OSError):  # the other end is closed and everything is read
            while piece := os.read(ours, 65_536):
                text += piece
        os.close(ours)
        assert process.wait(60) == 0
    return text.decode()


def test_long_file_has_a_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    text = shown(tmp_path, 2 * LONG)
    assert "reading" in text
    assert "delivered" in text


def test_short_file_has_none(tmp_path: Path) -> None:
    assert "reading" not in shown(tmp_path, LONG // 10)


def test_no_color_means_no_colour_in_the_bar_either(tmp_path: Path) -> None:
    assert "\x1b[3" not in shown(tmp_path, 2 * LONG, NO_COLOR="1")
