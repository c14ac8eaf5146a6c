"""The log of commands: -v before and after a command, and JSON for programs."""

import json
import logging
import re
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.core.cli_support import (
    event,
    ndjson,
    serving,
    spawned,
    to_file,
    to_server,
    walker,
    write_events,
    write_flow,
)
from tests.core.test_cli_streams import STEERING, assert_harmless
from walker_collector.cli import main

JSON = ("--log-format", "json")
FIRST = {"time", "level", "logger", "message"}


def records(text: str) -> list[dict[str, Any]]:
    """Return the records of a log; each line must be one."""
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        assert record.keys() >= FIRST
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    return found


@pytest.mark.parametrize(
    "command", [("-v", "run", "{}"), ("run", "-v", "{}"), ("run", "{}", "--verbose")], ids=" ".join
)
def test_verbose_may_come_before_and_after_the_command(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker(*(part.format(flow) for part in command), input=ndjson([event(1)]))
    assert "info: destination out: batch of 1: 1 delivered" in result.stderr
    assert "debug:" not in result.stderr
    assert "info:" not in walker("run", flow, input="").stderr


def test_verbose_before_and_after_adds_up(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("-v", "run", flow, "-v", input=ndjson([event(1)]))
    assert "debug: destination out: event " in result.stderr


@pytest.mark.parametrize("group", [(), ("dead",), ("spool",), ("new",)], ids=str)
def test_group_alone_shows_its_help_and_that_is_no_mistake(group: tuple[str, ...]) -> None:
    result = walker(*group)
    assert result.exit_code == 0
    assert result.stdout == walker(*group, "--help").stdout


def test_completion_of_shells_knows_the_commands() -> None:
    environ = {"_WALKER_COMPLETE": "bash_complete", "COMP_WORDS": "walker de", "COMP_CWORD": "1"}
    result = CliRunner().invoke(main, prog_name="walker", env=environ)
    assert result.stdout.splitlines() == ["plain,dead", "plain,deliver", "plain,destinations"]


def test_log_of_a_run_is_json_with_the_fields_of_the_code(tmp_path: Path) -> None:
    with serving(400) as server:
        flow = write_flow(tmp_path, {"hook": to_server(server.url), "out": to_file(tmp_path / "o")})
        events = write_events(tmp_path, {**event(1), "id": "e-1"}, "no event")
        result = walker("run", flow, events, "-vv", *JSON)
    found = records(result.stderr)
    assert result.stdout == ""
    (death,) = [record for record in found if "is a dead letter" in record["message"]]
    assert death["level"] == "warning"
    assert death["logger"] == "walker_collector.destinations.hook"
    assert (death["destination"], death["event"]) == ("hook", "e-1")
    (delivered,) = [
        record
        for record in found
        if record["level"] == "debug"
        and record.get("destination") == "out"
        and "rule none" in record["message"]
    ]
    assert delivered["event"] == "e-1"
    assert any(record["message"].startswith("line 2: ") for record in found)
    figures = {
        record["destination"]: record
        for record in found
        if record["message"] == "summary of a destination"
    }
    assert (figures["hook"]["dead"], figures["out"]["delivered"]) == (1, 1)
    assert found[-1]["message"] == "summary"
    assert (found[-1]["read"], found[-1]["bad"]) == (2, 1)


def test_errors_of_a_command_are_json_as_well(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": {"package": "no such"}})
    result = walker("run", flow, *JSON)
    assert result.exit_code == 1
    (record, *_) = records(result.stderr)
    assert (record["level"], record["logger"]) == ("error", "walker_collector.cli")


@pytest.mark.parametrize(
    "command",
    [
        ("run", *JSON),
        ("run", *JSON, "--bogus", "x"),
        ("run", "flow.json", "--bogus", "--log-format=json"),
        ("run", "/no/such/flow.json", *JSON),
        ("runn", *JSON),
    ],
    ids=" ".join,
)
def test_mistake_in_the_arguments_is_one_error_in_json(command: tuple[str, ...]) -> None:
    result = walker(*command)
    assert result.exit_code == 2
    assert [record["level"] for record in records(result.stderr)] == ["error"]


def test_each_problem_of_a_flow_is_an_error_in_json(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"a": {"package": "no such"}, "b": {"package": "no such"}})
    head, *problems = records(walker("run", flow, *JSON).stderr)
    assert head["message"].endswith(": 2 problems")
    assert [found["message"].partition(":")[0] for found in problems] == [
        "destinations.a.package",
        "destinations.b.package",
    ]
    assert {found["level"] for found in (head, *problems)} == {"error"}


def test_levels_of_a_log_tell_trouble_from_figures(tmp_path: Path) -> None:
    with serving(400) as server:
        flow = write_flow(tmp_path, {"hook": to_server(server.url)})
        found = records(walker("run", flow, *JSON, input=ndjson([event(1)]) + "[]\n").stderr)
    levels = {record["message"].partition(":")[0]: record["level"] for record in found}
    assert levels["line 2"] == "warning"
    assert levels["hook"] == "warning"  # why its event died
    assert levels["summary"] == "info"
    (cause,) = [record for record in found if record["message"].startswith("hook: 1 dead: ")]
    assert cause["destination"] == "hook"


def test_dead_letters_are_told_as_they_die_and_counted_once(tmp_path: Path) -> None:
    with serving(400) as server:
        flow = write_flow(tmp_path, {"hook": to_server(server.url)})
        result = walker("run", flow, input=ndjson([event(n) for n in range(3)]))
    first, count, *_ = result.stderr.splitlines()
    assert first.startswith("warning: destination hook: event ")
    assert count.startswith("warning: hook: 3 dead: ")
    assert result.stderr.count("dead letter") == 1
    assert "more like this" not in result.stderr


def test_other_libraries_log_json_too_and_logging_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy_rules.py").write_text(
        "import logging, warnings\n"
        "def noisy(value, context):\n"
        "    extra = {'event': 'mine', 'level': 'x'}\n"
        "    logging.getLogger('other').warning('one\\ntwo', extra=extra)\n"
        "    warnings.warn('be careful', stacklevel=1)\n"
        "    return 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = logging.getLogger().handlers[:], warnings.showwarning
    data = {"map": {"n": {"fn": "noisy_rules:noisy"}}}
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out", data=data)})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = walker("run", flow, *JSON, input=ndjson([event(1)]))
    found = {record["logger"]: record for record in records(result.stderr)}
    assert found["other"]["message"] == "one two"
    assert (found["other"]["event"], found["other"]["level"]) == ("mine", "warning")
    assert "be careful" in found["py.warnings"]["message"]
    assert (logging.getLogger().handlers, warnings.showwarning) == before


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_no_line_of_a_json_log_steers_anything(text: str, tmp_path: Path) -> None:
    with serving(400) as server:
        flow = write_flow(tmp_path, {"hook": to_server(server.url)})
        events = write_events(tmp_path, {**event(1), "id": text}, {"name": text}, text)
        result = walker("run", flow, events, "-vv", *JSON)
    assert_harmless(result.stderr)
    assert sum("line " in record["message"] for record in records(result.stderr)) >= 2


def test_server_logs_json_from_its_start_to_its_end(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    with spawned("serve", str(flow), "--port", "0", *JSON) as process:
        assert process.stderr
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(20) == 0
    messages = [record["message"] for record in records(first + rest)]
    assert messages[0].startswith("http: http://127.0.0.1:")
    assert messages[1].startswith("SIGTERM: stopping")
