"""Stored calls and events of `examples/import_exports`, converted and simulated."""

import subprocess
import sys
from pathlib import Path

from tests.examples.support import EXAMPLES
from walker_collector.cli.simulate import LineSimulation

FOLDER = EXAMPLES / "import_exports"


def calls(events: Path) -> list[str]:
    """Return the names of the calls that the events of a file lead to."""
    simulation = LineSimulation(FOLDER / "flow.json", None)
    return [call[0] for _, result in simulation.run(str(events)) for call in result.calls]


def test_stored_calls_become_events_and_bad_ones_are_named(tmp_path: Path) -> None:
    converted = subprocess.run(
        [sys.executable, FOLDER / "convert.py"],
        input=(FOLDER / "segment.ndjson").read_text("utf-8"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert converted.stderr == "line 3: userId or anonymousId is needed\n"
    events = tmp_path / "events.ndjson"
    events.write_text(converted.stdout, "utf-8")
    assert calls(events) == ["identify", "track", "object", "relate"]


def test_files_of_walkeros_are_events() -> None:
    assert calls(FOLDER / "walkeros.ndjson") == ["pageview_anonymous", "track"]
