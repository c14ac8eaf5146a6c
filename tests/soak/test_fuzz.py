"""What nobody means: sixty thousand flows, fifty thousand events, fifty thousand lines."""

from pathlib import Path

import pytest

from tests.fuzz.events import EventFuzz, LineFuzz
from tests.fuzz.flows import FlowFuzz

SEEDS = range(1, 7)
FLOWS, EVENTS, LINES = 60_000 // len(SEEDS), 50_000 // len(SEEDS), 50_000 // len(SEEDS)
GROWTH = 40.0
"""MB that memory may grow in the last three quarters of a run."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "walker_collector")


@pytest.mark.parametrize("seed", SEEDS)
def test_flows_raise_no_foreign_exception_hang_nothing_and_leave_nothing(
    tmp_path: Path, seed: int
) -> None:
    fuzz = FlowFuzz(tmp_path, seed)
    grown = fuzz.run(FLOWS)
    assert fuzz.watch.found == []
    assert grown < GROWTH


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("seed", SEEDS)
def test_objects_raise_no_foreign_exception_hang_nothing_and_leave_nothing(
    tmp_path: Path, seed: int, durable: bool
) -> None:
    fuzz = EventFuzz(tmp_path / "spool.db" if durable else None, seed)
    grown = fuzz.run(EVENTS)
    fuzz.finish()
    assert fuzz.watch.found == []
    assert grown < GROWTH


@pytest.mark.parametrize("seed", SEEDS)
def test_lines_are_read_or_reported_whatever_they_are(tmp_path: Path, seed: int) -> None:
    fuzz = LineFuzz(tmp_path, seed)
    fuzz.run(LINES)
    assert fuzz.watch.found == []
