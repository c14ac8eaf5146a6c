"""The console: one line per event, for people or for programs."""

import io
import json
import sys

import pytest

from tests.core.destination_harness import BASE, Harness
from walker_collector import DestinationDown


def test_line_tells_time_name_and_what_the_mapping_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Harness("console", {})
    assert console.push(console.item("order complete", {"id": 1}), console.item("a b", None)) == {}
    assert capsys.readouterr().out == (
        '2023-11-14 22:15:00.000  order complete  {"id":1}\n2023-11-14 22:15:00.000  a b  null\n'
    )


def test_event_itself_is_shown_where_nothing_was_mapped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Harness("console", {"format": "ndjson"})
    console.push(console.item("renamed now"))
    assert json.loads(capsys.readouterr().out) == {**BASE, "name": "renamed now"}


def test_single_event_is_written_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    console = Harness("console", {"stream": "stderr", "format": "ndjson"})
    item = console.item("a b", "ü")
    console.hooks.push(event=item.event, data=item.data, rule=item.rule, context=item.context)
    assert capsys.readouterr() == ("", '"ü"\n')


def test_rule_that_skips_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Harness("console", {})
    item = console.item("a b", 1, skip=True)
    console.hooks.push(event=item.event, data=item.data, rule=item.rule, context=item.context)
    console.push(item)
    assert capsys.readouterr().out == ""
    assert console.simulate(item) == []


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console = Harness("console", {})
    console.push(console.item("a \x1b[2Jb", {"x": "\x1b[31m"}))
    assert "\x1b" not in capsys.readouterr().out


def test_closed_stream_stops_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    console = Harness("console", {})
    with pytest.raises(DestinationDown, match="cannot write to stdout"):
        console.push(console.item("a b"))


def test_simulation_says_what_would_be_written() -> None:
    console = Harness("console", {})
    assert console.simulate(console.item("a b", {"x": 1})) == [["write", {"x": 1}]]
