"""`walker run --resume`: a run goes on where the last one has stopped, each line accepted once."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import (
    consent,
    event,
    ndjson,
    numbers,
    objects,
    to_file,
    walker,
    write_events,
    write_flow,
)
from walker_collector import Collector
from walker_collector.cli.input_position import begin
from walker_collector.cli.progress_line import BytesRead
from walker_collector.cli.reader import EventReader, open_events
from walker_collector.cli.signals import StopSignal
from walker_collector.errors import WalkerError
from walker_collector.flow import load_flow


def flow_of(folder: Path, **config: Any) -> Path:
    spool = {"path": str(folder / "spool.db")}
    return write_flow(folder, {"out": to_file(folder / "out", **config)}, spool=spool)


def resumed(flow: Path, events: Path, *options: str) -> dict[str, Any]:
    """Go on with a run; return its figures."""
    result = walker("run", flow, events, "--resume", "--json", *options)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def add(events: Path, *lines: Any) -> None:
    with events.open("a", encoding="utf-8") as file:
        file.write(ndjson(lines))


def test_finished_run_has_nothing_left_and_goes_on_with_lines_that_were_added(
    tmp_path: Path,
) -> None:
    flow = flow_of(tmp_path, mapping={"page": {"view": {"ignore": True}}})
    events = write_events(tmp_path, event(0), "{bad", {"name": "page view"}, "", "")
    assert walker("run", flow, events).exit_code == 1
    result = walker("run", flow, events, "--resume")
    assert "accepted all of its 3 lines; there is nothing left to read" in result.stderr
    assert result.exit_code == 0
    add(events, event(1))
    assert resumed(flow, events)["read"] == 1
    assert numbers(tmp_path / "out") == [0, 1]


def test_name_of_a_file_may_be_no_text(tmp_path: Path) -> None:
    flow, events = flow_of(tmp_path), tmp_path / os.fsdecode(b"caf\xe9.ndjson")
    write_events(tmp_path, event(0)).rename(events)
    assert walker("run", flow, events).exit_code == 0
    add(events, event(1))
    assert resumed(flow, events)["read"] == 1
    assert numbers(tmp_path / "out") == [0, 1]


def test_without_resume_a_run_begins_with_the_first_line(tmp_path: Path) -> None:
    flow, events = flow_of(tmp_path), write_events(tmp_path, event(0))
    result = walker("run", flow, events, "--resume")
    assert "no earlier run to go on from; reading all lines" in result.stderr
    result = walker("run", flow, events)
    assert result.exit_code == 0
    assert "reading all lines; with --resume it would go on after line 1" in result.stderr
    assert numbers(tmp_path / "out") == [0, 0]


@pytest.mark.parametrize("lines", [[event(9), event(1)], [event(0)], ["", event(0), event(1)]])
def test_file_whose_accepted_lines_have_changed_is_refused(tmp_path: Path, lines: Any) -> None:
    flow, events = flow_of(tmp_path), write_events(tmp_path, event(0), event(1))
    assert walker("run", flow, events).exit_code == 0
    write_events(tmp_path, *lines)
    result = walker("run", flow, events, "--resume")
    assert result.exit_code == 1
    assert "has changed: its first 2 lines are others" in result.stderr
    assert "going on after" not in result.stderr
    assert "Stopped after" not in result.stderr
    assert numbers(tmp_path / "out") == [0, 1]


def test_without_a_spool_or_a_file_it_is_a_usage_error(tmp_path: Path) -> None:
    events = write_events(tmp_path, event(0))
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("run", flow, events, "--resume")
    assert result.exit_code == 2
    assert '"collector": {"spool": {"path": "spool.db"}}' in result.stderr
    result = walker("run", flow_of(tmp_path), "-", "--resume", input="")
    assert result.exit_code == 2
    assert "--resume needs a file" in result.stderr


def test_user_and_globals_hold_again_and_no_statement_is_repeated(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, consent={"ads": True})
    events = write_events(
        tmp_path,
        {"name": "walker user", "data": {"id": "ines"}},
        {"name": "walker globals", "data": {"shop": 7}},
        consent("ines", ads=True),
    )
    assert walker("run", flow, events).exit_code == 0
    with Collector.from_file(flow) as collector:
        collector.consent({"ads": False}, user={"id": "ines"})
    add(events, {"name": "page view"}, {"name": "order complete", "consent": {"ads": True}})
    figures = resumed(flow, events)
    assert (figures["commands"], figures["accepted"]) == (0, 2)
    assert figures["destinations"]["out"]["held"] == 1
    (item,) = objects((tmp_path / "out").read_text())
    assert item["user"]["id"] == "ines"
    assert item["globals"] == {"shop": 7}


def test_of_two_runs_of_a_file_the_later_one_goes_on(tmp_path: Path) -> None:
    flow, events = flow_of(tmp_path), write_events(tmp_path, event(0), event(1))
    config = load_flow(flow)
    with Collector.from_file(flow) as collector:
        position = begin(config, str(events), resume=True)
        reader = EventReader(collector, StopSignal(), position=position)
        assert resumed(flow, events)["accepted"] == 2
        with open_events(str(events)) as stream, pytest.raises(WalkerError, match="begun later"):
            reader.run(stream, BytesRead())
    assert numbers(tmp_path / "out") == [0, 1]
