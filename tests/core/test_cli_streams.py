"""What a command prints steers no terminal and no build server, on any stream."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.core.cli_support import COMMAND, objects, walker, write_flow
from walker_collector.text import escaped, harmless, visible

STEERING: Final = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\r\nforged: line",
    "\x08\x08",
    "\x9b31m",
    "\x7f",
    "\u202eevil",
    "\u2066evil",
    "\u2028line",
    "\u200b",
    "::error::x",
    "##vso[task.setvariable]x",
    "##[error]x",
    "##teamcity[x",
]
_STEERS: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069]"
    r"|^\s*::[a-z]|^forged|##(?:\[|vso\[|teamcity\[)",
    re.MULTILINE,
)

HIDDEN = {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}


def assert_harmless(text: str) -> None:
    found = _STEERS.search(text)
    assert found is None, ascii(text[max(0, found.start() - 80) : found.end() + 20])
    assert "Traceback" not in text


def flow(folder: Path) -> Path:
    rule = {"order": {"*": {"name": "x y", "data": {"map": {"x": "data.x"}}}}}
    return write_flow(folder, {"out": {"package": "console", "config": {"mapping": rule}}})


def lines(text: str) -> str:
    events: list[dict[str, Any]] = [
        {"name": f"order {text}", "id": text, "user": {"id": text}, "data": {"x": text, text: 1}},
        {"name": text},
        {"name": "order complete", "data": {"x": text}, text: 1},
    ]
    return "".join(f"{json.dumps(event)}\n" for event in events) + "{" + text + "\n"


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_events_steer_nothing(text: str, tmp_path: Path) -> None:
    path = flow(tmp_path)
    for command in (
        ["simulate", path],
        ["explain", path, "--data"],
        ["-v", "run", path],
    ):
        result = walker(*command, input=lines(text))
        assert_harmless(result.stdout)
        assert_harmless(result.stderr)
    result = walker("simulate", path, "--json", input=lines(text))
    assert_harmless(result.stdout)
    assert objects(result.stdout)[0]["calls"] in ([["write", {"x": text}]], [])


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_flow_files_their_names_and_arguments_steer_nothing(text: str, tmp_path: Path) -> None:
    entry = {"package": text, text: 1, "config": {text: text, "before": text, "require": [text]}}
    raw = {"destinations": {text: entry}, "variables": {text: text}, text: 1}
    path = tmp_path / f"flow{text}.json".replace("/", "")
    path.write_text(json.dumps(raw))
    for command in (
        ["validate", path],
        ["validate", path, "--json"],
        ["validate", text],
        [text],
        [f"--{text}"],
        ["schema", text],
        ["new", "destination", text],
    ):
        result = walker(*command)
        assert result.exit_code in (1, 2)
        assert_harmless(result.stdout)
        assert_harmless(result.stderr)


@pytest.mark.parametrize("environ", HIDDEN, ids=str)
def test_letters_that_a_terminal_lacks_end_no_command(
    environ: dict[str, str], tmp_path: Path
) -> None:
    text = "caf\u00e9 \u65e5\u672c \N{GRINNING FACE}"
    env = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **environ}
    for options in (["simulate", flow(tmp_path), "--json"], ["run", flow(tmp_path)]):
        process = subprocess.run(
            [*COMMAND, *map(str, options)],
            input=lines(text).encode(),
            capture_output=True,
            env=env,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in process.stderr
        if "--json" in options:
            encoding = environ.get("PYTHONIOENCODING", "utf-8")
            assert objects(process.stdout.decode(encoding))[0]["calls"] == [["write", {"x": text}]]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_end_no_command(closed: str, tmp_path: Path) -> None:
    for command, status in (("validate", 0), ("simulate", 0), ("validate --flow none", 1)):
        script = f'exec "$@" {closed}'
        # Unbuffered, nothing would be left for Python to write at its end.
        environ = {**os.environ, "PYTHONUNBUFFERED": ""}
        run = ["sh", "-c", script, "sh", *COMMAND, *command.split(), str(flow(tmp_path))]
        process = subprocess.run(
            run,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environ,
            timeout=60,
            check=False,
        )
        assert (process.returncode, process.stderr.count(b"Traceback")) == (status, 0)


@pytest.mark.parametrize("command", ["simulate", "validate"])
def test_output_that_cannot_be_written_is_told_without_a_traceback(
    command: str, tmp_path: Path
) -> None:
    script = 'exec "$@" >/dev/full'
    run = ["sh", "-c", script, "sh", *COMMAND, command, str(flow(tmp_path))]
    event = b'{"name": "order complete"}\n'
    process = subprocess.run(run, input=event, capture_output=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == (1, b"Error: No space left on device\n")


def test_json_is_the_same_value_however_it_is_escaped() -> None:
    value = {"a": "".join(STEERING) + "\u00e9\N{GRINNING FACE}", "##[b": 1}
    text = json.dumps(value, ensure_ascii=False)
    for encoding in ("utf-8", "ascii", "latin-1", "no such"):
        assert json.loads(escaped(text, encoding)) == value
        assert_harmless(escaped(text, encoding))


def test_usual_text_is_shown_as_it_is() -> None:
    for text in ("caf\u00e9 \u65e5\u672c", "a::b ##c # d", "## heading"):
        assert harmless(visible(text)) == text
