"""Options that select events: --since, --until, --only."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import numbers, to_file, walker, write_events, write_flow

MARCH = 1_772_323_200_000  # 2026-03-01
HOUR = 3_600_000
EVENTS: list[dict[str, Any]] = [
    {"name": "page view", "data": {"n": 0}, "timestamp": MARCH - 1},
    {"name": "order complete", "data": {"n": 1}, "timestamp": "2026-03-01T00:00:00Z"},
    {"name": "order cancel", "data": {"n": 2}, "timestamp": MARCH + HOUR},
    {"name": "product view item", "data": {"n": 3}, "timestamp": "2026-03-01 02:00:00 UTC"},
    {"name": "order complete", "data": {"n": 4}},
]


def run(folder: Path, *options: str) -> tuple[list[int], dict[str, Any]]:
    """Run the events with options; return the numbers of the delivered ones, and the figures."""
    flow = write_flow(folder, {"out": to_file(folder / "out")})
    result = walker("run", flow, write_events(folder, *EVENTS), "--json", *options)
    assert result.exit_code == 0, result.output
    out = folder / "out"
    return numbers(out) if out.exists() else [], json.loads(result.stdout)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "2026-03-01"], [1, 2, 3, 4]),
        (["--until", "2026-03-01"], [0]),
        (["--since", "2026-03-01T01:00:00+00:00", "--until", "2026-03-01T03:00:00+01:00"], [2]),
        (["--only", "order *"], [1, 2, 4]),
        (["--only", "* view"], [0, 3]),
        (["--only", "order cancel", "--only", "page view"], [0, 2]),
        (["--only", "* *", "--until", "2026-03-02"], [0, 1, 2, 3]),
        (["--only", "order *", "--since", "2026-03-01T00:30:00"], [2, 4]),
        (["--only", "page click"], []),
    ],
)
def test_selected_events_are_delivered_and_others_counted(
    tmp_path: Path, options: list[str], expected: list[int]
) -> None:
    delivered, figures = run(tmp_path, *options)
    assert delivered == expected
    assert figures["read"] == 5
    assert figures["accepted"] == len(expected)
    assert figures["left_out"] == 5 - len(expected)


def test_commands_and_bad_lines_are_not_left_out(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out", consent={"ads": True})})
    events = write_events(
        tmp_path,
        {"name": "walker consent", "data": {"ads": True}},
        {"name": "page view", "timestamp": "yesterday"},
        EVENTS[0],
        EVENTS[1],
    )
    result = walker("run", flow, events, "--since", "2026-03-01")
    assert "4 read, 1 accepted, 1 left out, 1 command, 1 bad" in result.stderr
    assert numbers(tmp_path / "out") == [1]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--since", "yesterday"), ("--until", "20260302"), ("--only", "order"), ("--only", "a b c")],
)
def test_wrong_values_are_usage_errors(tmp_path: Path, option: str, value: str) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("run", flow, write_events(tmp_path), option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


def test_times_that_leave_nothing_between_them_are_a_usage_error(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    times = ("--since", "2026-03-02", "--until", "2026-03-01")
    for options in (times, (*times, "--dry-run")):
        result = walker("run", flow, write_events(tmp_path), *options)
        assert result.exit_code == 2
        assert "--since must be before --until" in result.stderr
