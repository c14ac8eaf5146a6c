"""What plugins raise is told with file and line, and with the traceback where it is asked for."""

import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.core.cli_support import walker
from walker_collector import Collector, Registry, Secret, hookimpl
from walker_collector.error_details import failure_of, place_of
from walker_collector.tracebacks import format_traceback

SAID = "ines@example.org"
TOKEN = Secret("token-of-these-tests")


def lookup(event: Any, *rest: Any) -> Any:
    return {}[SAID]


class Odd:
    """Raises in the hook that its settings name."""

    hook = "push"

    @hookimpl
    def init(self) -> None:
        if self.hook == "init":
            raise AttributeError("no such client")

    @hookimpl
    def push(self, event: Any) -> None:
        if self.hook == "push":
            json.loads(SAID)  # raises in a file of Python's own


class OddInit(Odd):
    hook = "init"


class Plain(Odd):
    hook = ""


def told(
    plugin: type, caplog: pytest.LogCaptureFixture, collector: Any = None, **config: Any
) -> str:
    """Return the log of a delivery that fails."""
    registry = Registry()
    registry.register("odd", plugin)
    destination = {"package": "odd", "config": {"retry": {"attempts": 1}, **config}}
    flow = {"collector": collector or {}, "destinations": {"x": destination}}
    with Collector.from_config(flow, registry=registry) as opened:
        opened.push("order complete", user={"id": "u1"}, wait=True, timeout=10)
        opened.close(timeout=0)
    return caplog.text


MAPPED = {"data": {"map": {"mail": {"fn": lookup}}}}
IGNORED = {"mapping": {"order": {"complete": {"condition": lookup}}}}
AT_INIT = "destination x: init raised AttributeError: no such client"
RAISED = [
    pytest.param(Odd, {}, "x: push raised JSONDecodeError", "json.loads(SAID)", id="push"),
    pytest.param(OddInit, {}, AT_INIT, "raise AttributeError(", id="init"),
    pytest.param(Plain, MAPPED, "mail.fn: raised KeyError", "return {}[SAID]", id="fn"),
    pytest.param(Plain, IGNORED, "condition: raised KeyError", "return {}[SAID]", id="condition"),
]


@pytest.mark.parametrize(("plugin", "config", "line", "source"), RAISED)
def test_a_line_names_type_and_place_and_how_to_see_more(
    plugin: type, config: Any, line: str, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = told(plugin, caplog, **config)
    assert f"{line} at {__file__}:" in said
    assert "-vv or WALKER_DEBUG=1 shows the traceback" in said
    assert "Traceback" not in said
    assert SAID not in said


@pytest.mark.parametrize(("plugin", "config", "line", "source"), RAISED)
def test_level_debug_shows_the_traceback_without_the_text_of_an_exception(
    plugin: type, config: Any, line: str, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = told(plugin, caplog, **config)
    assert f"{line} at {__file__}:" in said
    assert f'  File "{__file__}", line ' in said
    assert source in said
    assert SAID not in said
    assert "shows the traceback" not in said


@pytest.mark.parametrize(("plugin", "config", "line", "source"), RAISED)
def test_walker_debug_shows_the_traceback_with_its_text_in_an_application(
    plugin: type,
    config: Any,
    line: str,
    source: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WALKER_DEBUG", "1")
    said = told(plugin, caplog, **config)
    assert source in said
    if plugin is Plain:
        assert f"KeyError: '{SAID}'" in said


def test_traceback_forges_no_line_and_shows_no_secret() -> None:
    secret = Secret("pass-word-of-tests")
    try:
        raise ValueError(f"{secret.reveal()}\nERROR forged\x1b[2J") from KeyError(1)
    except ValueError as error:
        text = format_traceback(error, texts=True)
    assert secret.reveal() not in text
    assert "\x1b" not in text
    assert not any(line.startswith("ERROR forged") for line in text.split("\n"))
    assert "KeyError: 1" in text


def test_exception_of_an_odd_class_has_a_traceback_all_the_same() -> None:
    class Odder(Exception):
        def __str__(self) -> str:
            raise SystemExit

    error = Odder()
    error.__cause__ = error
    assert format_traceback(error, texts=True).startswith("Traceback")


def test_place_is_the_plugins_own_not_that_of_a_library() -> None:
    with pytest.raises(ValueError, match="Expecting value") as caught:
        json.loads("x")
    assert place_of(caught.value).startswith(f"{__file__}:")
    assert "decoder.py:" in place_of(caught.value, "json")
    with pytest.raises(ImportError) as gone:
        import_module("no_such_module_at_all")
    assert failure_of(gone.value).endswith(f" at {place_of(gone.value)}")


class Quotes(Odd):
    @hookimpl
    def push(self, event: Any) -> None:
        raise ValueError(f"{event['user']['id']}: {SAID}, {TOKEN.reveal()}\n{'x' * 10_000}")


def test_text_of_an_exception_is_kept_with_the_dead_letter_and_shown_with_its_data_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Secret(TOKEN.reveal())  # known again: those of other tests may have pushed it out
    spool = tmp_path / "spool.db"
    said = told(Quotes, caplog, collector={"spool": {"path": str(spool)}})
    shown = walker("dead", "show", str(spool), "--json").stdout
    assert '"reason":"given up after 1 attempt: push raised ValueError at ' in shown
    for command in (["dead", "list"], ["dead", "show"], ["why"], ["people"]):
        who = ["--user-id", "u1"] if command in (["why"], ["people"]) else []
        said += walker(*command, str(spool), *who, "--json").stdout
    assert SAID not in said
    letter = json.loads(walker("dead", "show", str(spool), "--data", "--json").stdout)
    assert letter["error"].startswith(f"u1: {SAID}, *** xxx")
    assert len(letter["error"]) == 500
    assert f"error        u1: {SAID}, ***" in walker("dead", "show", str(spool), "--data").stdout
    assert walker("forget", str(spool), "--user-id", "u1").exit_code == 0
    assert SAID.encode() not in b"".join(
        each.read_bytes() for each in tmp_path.glob("spool.db*") if each.is_file()
    )


PLUGIN = """
    def rate(event, *rest):
        return event["data"]["rate"] / 0
"""


def test_vv_shows_the_traceback_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "walker_rates.py").write_text(dedent(PLUGIN))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "walker_rates", raising=False)
    data = {"map": {"rate": {"fn": "walker_rates:rate"}}}
    config = {"data": data, "retry": {"attempts": 1}}
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"destinations": {"x": {"package": "console", "config": config}}}))
    events = tmp_path / "events.ndjson"
    events.write_text('{"name": "order complete", "data": {"rate": 1}}\n')
    quiet = walker("run", str(flow), str(events))
    assert f"ZeroDivisionError at {tmp_path}/walker_rates.py:3;" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    loud = walker("-vv", "run", str(flow), str(events))
    assert 'return event["data"]["rate"] / 0' in loud.stderr
    simulated = walker("-vv", "simulate", str(flow), str(events))
    assert 'return event["data"]["rate"] / 0' in simulated.stderr
