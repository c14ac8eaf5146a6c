"""`walker simulate` and `walker explain`: what events would do, and why."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import (
    COMMAND,
    completed,
    consent,
    event,
    ndjson,
    objects,
    spawned,
    to_file,
    to_server,
    walker,
    write_events,
    write_flow,
)
from walker_collector.cli.streams import to_json

MAPPED: dict[str, Any] = {
    "consent": {"marketing": True},
    "data": {"map": {"n": "data.n", "mail": "user.email"}},
    "mapping": {"order": {"complete": {"name": "purchase", "policy": {"data.m": "data.n"}}}},
}
KEYS = ["line", "event", "destination", "status", "rule", "calls"]


def mapped(folder: Path, **collector: Any) -> Path:
    return write_flow(folder, {"out": to_file(folder / "out", **MAPPED)}, **collector)


def test_one_object_per_event_and_destination_and_released_event(tmp_path: Path) -> None:
    flow = write_flow(
        tmp_path, {"out": to_file(tmp_path / "out", **MAPPED), "all": to_file(tmp_path / "all")}
    )
    result = walker(
        "simulate", flow, "--json", input=ndjson([event(1), "", consent(marketing=True)])
    )
    assert result.exit_code == 0
    held, other, released = objects(result.stdout)
    assert list(held) == KEYS
    assert held == {
        "line": 1,
        "event": "order complete",
        "destination": "out",
        "status": "held",
        "rule": "order complete",
        "calls": [],
    }
    assert (other["line"], other["destination"], other["rule"]) == (1, "all", None)
    assert other["calls"][0][0] == "write"
    assert released == {**held, "line": 3, "status": "deliver", "calls": [["write", {"n": 1}]]}


def test_endless_name_of_a_bad_line_is_cut(tmp_path: Path) -> None:
    named = {"name": "x" * 3_000_000}
    for how in ([], ["--json"]):
        result = walker("simulate", mapped(tmp_path), *how, input=ndjson([named]))
        assert result.exit_code == 1
        assert len(result.output) < 1_000


def test_bad_lines_are_objects_too(tmp_path: Path) -> None:
    lines = ["{", {"name": "order"}, {"name": 1}, consent(marketing=True) | {"data": 1}]
    result = walker("simulate", mapped(tmp_path), "--json", input=ndjson(lines))
    assert result.exit_code == 1
    found = objects(result.stdout)
    assert [(item["line"], item["event"]) for item in found] == [
        (1, None),
        (2, "order"),
        (3, None),
        (4, "walker consent"),
    ]
    assert {(i["status"], i["destination"], i["rule"], len(i["calls"])) for i in found} == {
        ("invalid", None, None, 0)
    }
    assert [list(item) for item in found] == [[*KEYS, "reason"]] * 4
    assert [f"line {item['line']}: {item['reason']}" for item in found] == (
        result.stderr.splitlines()
    )
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        f"line {number}" for number in (1, 2, 3, 4)
    ]


def test_lines_for_people(tmp_path: Path) -> None:
    lines = [event(1, consent={"marketing": True}), event(2), "{"]
    result = walker("simulate", mapped(tmp_path), input=ndjson(lines))
    shown = result.stdout.splitlines()
    assert shown[:3] == [
        "line 1  order complete -> out  deliver (rule order complete)",
        '    write {"n":1}',
        "line 2  order complete -> out  held (rule order complete)",
    ]
    assert shown[3].startswith("line 3  ?  invalid: not JSON")


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    lines = [{"name": "order \x1b[2Jcomplete", "consent": {"marketing": True}}]
    result = walker("simulate", mapped(tmp_path), input=ndjson(lines))
    assert "\x1b" not in result.stdout
    assert "line 1  order \\x1b[2Jcomplete" in result.stdout


def test_nothing_is_sent_written_or_asked_for(tmp_path: Path) -> None:
    spool = {"path": str(tmp_path / "spool.db")}
    there = to_server("http://$env.HOST.invalid/in")
    there["config"]["settings"]["headers"] = {"Authorization": "$secret.TOKEN"}
    out = to_file(tmp_path / "out.ndjson")
    flow = write_flow(tmp_path, {"there": there, "out": out}, spool=spool)
    events = write_events(tmp_path, event(1))
    process = completed("simulate", flow, events, "--json", env={}, cwd=tmp_path)
    assert process.returncode == 0
    assert [item["status"] for item in objects(process.stdout)] == ["deliver", "deliver"]
    assert sorted(os.listdir(tmp_path)) == ["events.ndjson", "flow.json"]


def test_problem_of_the_flow_is_told(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": {"package": "file"}})
    result = walker("simulate", flow, input="")
    assert result.exit_code == 1
    assert "destinations.out.config.settings.path: required" in result.stderr


def test_warnings_of_the_flow_are_told(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"destinations": {}, "sources": {"x": {"package": "y"}}}))
    assert "warning: " in walker("simulate", flow, input="").stderr


def test_reader_who_has_enough_is_no_traceback(tmp_path: Path) -> None:
    flow = mapped(tmp_path)
    with spawned("simulate", flow, write_events(tmp_path, *map(event, range(5_000)))) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("line 1 ")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 1


def test_colours_are_for_terminals_and_never_where_no_color_is_set(tmp_path: Path) -> None:
    flow = mapped(tmp_path)
    events = write_events(tmp_path, event(1))
    assert "\x1b[33mheld" in on_terminal("simulate", flow, events)
    assert "\x1b[3" not in on_terminal("simulate", flow, events, NO_COLOR="1")


def on_terminal(*arguments: object, **environment: str) -> str:
    """Return the little that a command prints on a terminal."""
    ours, theirs = os.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm", **environment},
        timeout=60,
        check=True,
    )
    shown = os.read(ours, 65_536).decode()
    os.close(theirs)
    os.close(ours)
    return shown


# --- explain -----------------------------------------------------------------------------------


def explained(folder: Path, *arguments: str, **collector: Any) -> list[Any]:
    person = {"id": "u1", "email": "ann@example.com"}
    lines = [
        consent(analytics=False),
        event(123, user=person, consent={"marketing": True}),
        event(7, user=person),
    ]
    flow = mapped(folder, **collector)
    result = walker("explain", flow, "--json", *arguments, input=ndjson(lines))
    assert result.exit_code == 0
    return objects(result.stdout)


def test_explanation_names_rule_consent_policies_and_who_granted(tmp_path: Path) -> None:
    sent, held = explained(tmp_path, consent={"functional": True})
    assert (sent["status"], held["status"]) == ("deliver", "held")
    assert (sent["person"], sent["rule"], sent["policies"]) == (
        "id:u1",
        "order complete",
        ["data.m"],
    )
    assert sent["consent"] == {
        "required": {"marketing": True},
        "requiredByRule": None,
        "mode": "any",
        "granted": [
            {"key": "functional", "granted": True, "source": "default"},
            {"key": "analytics", "granted": False, "source": "person"},
            {"key": "marketing", "granted": True, "source": "event"},
        ],
    }


def test_values_are_masked_unless_asked_for(tmp_path: Path) -> None:
    (sent, _), (open_, _) = explained(tmp_path), explained(tmp_path, "--data")
    assert sent["calls"] == [["write", {"n": "***", "mail": "***"}]]
    assert open_["calls"] == [["write", {"n": 123, "mail": "ann@example.com"}]]


def test_identifier_and_names_stay_visible_in_calls(tmp_path: Path) -> None:
    out = to_file(tmp_path / "out", data={"set": [{"key": "user.id"}, "name", "data.n", "data.no"]})
    flow = write_flow(tmp_path, {"out": out})
    result = walker("explain", flow, "--json", input=ndjson([event(1, "u1")]))
    (found,) = objects(result.stdout)
    assert found["calls"] == [["write", ["u1", "order complete", "***", None]]]


def test_explanation_for_people(tmp_path: Path) -> None:
    flow = mapped(tmp_path, consent={"functional": True})
    granted = event(1, consent={"marketing": True})
    lines = [granted, {"name": "page view"}, "{"]
    result = walker("explain", flow, input=ndjson(lines))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:-1] == [
        "line 1  order complete -> out  deliver (rule order complete)",
        "    person    id:u1",
        "    rule      order complete",
        "    consent   requires marketing",
        "    granted   functional by the default",
        "    granted   marketing by the event",
        "    policies  data.m",
        '    call      write {"n":"***"}',
        "line 2  page view -> out  held",
        "    person    nobody",
        "    rule      none matches",
        "    consent   requires marketing",
        "    granted   functional by the default",
    ]


@pytest.mark.parametrize(("mode", "words"), [("any", "any of a, b"), ("all", "all of a, b")])
def test_several_consents_are_told_with_their_mode(mode: str, words: str, tmp_path: Path) -> None:
    rule = {"consent": {"c": True}}
    out = to_file(
        tmp_path / "out",
        consent={"b": True, "a": True},
        consentMode=mode,
        mapping={"order": {"*": rule}},
    )
    result = walker("explain", write_flow(tmp_path, {"out": out}), input=ndjson([event(1)]))
    assert f"    consent   requires {words}" in result.stdout
    assert "    consent   the rule requires c" in result.stdout


CHATTY = """
import sys
def speaks(value):
    print("hello")
    return 1
def leaves(value):
    sys.exit(0)
"""


def test_functions_that_print_or_leave_change_neither_output_nor_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatty.py").write_text(CHATTY)
    monkeypatch.syspath_prepend(str(tmp_path))
    speaks = {"map": {"a": {"fn": "chatty:speaks"}}}
    leaves = {"map": {"a": {"fn": "chatty:leaves"}}}
    flow = write_flow(
        tmp_path,
        {
            "speaks": to_file(tmp_path / "a", data=speaks),
            "leaves": to_file(tmp_path / "b", data=leaves),
        },
    )
    result = walker("simulate", flow, "--json", input=ndjson([event(1), event(2)]))
    found = objects(result.stdout)
    assert [each["status"] for each in found] == ["deliver", "invalid"] * 2
    assert found[0]["calls"][0][1] == {"a": 1}
    assert found[1]["reason"].startswith("its mapping raised SystemExit at ")
    assert result.exit_code == 1
    assert "hello" in result.stderr


@pytest.mark.parametrize("odd", [10**30, "\ud800", {(1, 2): 3}, {1: object()}, [object()]])
def test_calls_that_json_cannot_hold_are_printed_as_what_is_next_to_them(odd: Any) -> None:
    assert json.loads(to_json([["write", odd]]))[0][0] == "write"
