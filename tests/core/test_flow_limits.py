"""Flow files that nobody means: each is refused with its place, soon, whatever the text."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_flowfile import load, problems
from walker_collector import ConfigError

SOON = 5.0
"""Seconds that the quickest machine takes a tenth of."""


def refusal(path: Path, text: str) -> dict[str, str]:
    path.write_text(text, "utf-8")
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert time.monotonic() - began < SOON
    return {problem.path: problem.message for problem in caught.value.problems}


def test_nesting_is_bounded_in_files_and_in_code(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    flow = {"collector": {"globals": deep}}
    for found in (refusal(tmp_path / "flow.json", json.dumps(flow)), problems(flow)):
        (message,) = found.values()
        assert message == "nested more than 60 levels deep"
    flow["collector"]["globals"] = flow
    assert list(problems(flow).values()) == ["nested more than 60 levels deep"]


@pytest.mark.parametrize("name", ["a.json", "a.toml"])
def test_number_of_thousands_of_digits_is_refused(tmp_path: Path, name: str) -> None:
    text = '{"a": %s}' if name == "a.json" else "a = %s"
    (message,) = refusal(tmp_path / name, text % ("9" * 5000)).values()
    assert message.startswith("not valid")


def test_nesting_in_toml_is_refused(tmp_path: Path) -> None:
    (message,) = refusal(tmp_path / "a.toml", "a = " + "[" * 50_000).values()
    assert message.startswith("not valid TOML")


def test_key_that_is_there_twice_among_many_is_found_soon(tmp_path: Path) -> None:
    keys = ",".join(f'"k{n}":1' for n in range(60_000))
    found = refusal(tmp_path / "a.json", f'{{"variables":{{{keys},"k59999":2}}}}')
    assert found == {"variables.k59999": "the key is there twice"}


@pytest.mark.parametrize("shape", ["text", "list"])
def test_variables_that_double_end(tmp_path: Path, shape: str) -> None:
    variables: dict[str, Any] = {"v0": "x"}
    for n in range(1, 40):
        before = f"$var.v{n - 1}"
        variables[f"v{n}"] = before * 2 if shape == "text" else [before, before]
    flow = {"variables": variables, "collector": {"globals": {"a": "$var.v39"}}}
    ((path, message),) = refusal(tmp_path / "a.json", json.dumps(flow)).items()
    assert path.startswith("collector.globals.a")
    assert message.startswith("variables make more of it than 50,000 values")


def test_a_thousand_misspelt_variables_among_thousands_are_told_soon(tmp_path: Path) -> None:
    variables = {f"name{n}": 1 for n in range(3_000)}
    values = {f"g{n}": f"$var.nmae{n}" for n in range(1_000)}
    flow = {"variables": variables, "collector": {"globals": values}}
    found = refusal(tmp_path / "a.json", json.dumps(flow))
    assert len(found) == 1_000
    assert all(message.endswith("and 2,960 more") for message in found.values())


def test_thousands_of_unknown_keys_are_told_soon(tmp_path: Path) -> None:
    config = {f"k{n}": 1 for n in range(3_000)}
    flow = {"destinations": {"p": {"package": "plain", "config": config}}}
    found = refusal(tmp_path / "a.json", json.dumps(flow))
    assert set(found.values()) == {"unknown key", "and 2,000 more problems"}


def test_text_that_is_no_unicode_is_refused() -> None:
    assert problems({"destinations": {"\ud800": {"package": "plain"}}}) == {
        "destinations": "the key '\\ud800' is not valid text"
    }
    assert problems({"collector": {"globals": {"a": ["\udc00"]}}}) == {
        "collector.globals.a[0]": "not valid Unicode: it has a lone surrogate"
    }


@pytest.mark.parametrize("id", ["", "a\nb", "a\x1b[31m", "x" * 201])
def test_id_that_cannot_be_shown_on_a_line_is_refused(id: str) -> None:
    ((path, message),) = problems({"destinations": {id: {"package": "plain"}}}).items()
    assert "\n" not in path
    assert message.startswith("an id is 1 to 200 characters")
    entry = {"package": "plain", "config": {"id": id}}
    assert list(problems({"destinations": {"p": entry}})) == ["destinations.p.config.id"]


@pytest.mark.parametrize("ms", [1e300, 4_000_000_000_000])
def test_time_of_more_than_a_hundred_years_is_refused(ms: float) -> None:
    config = {"timeout": ms, "retry": {"cap": ms}, "queueAge": ms, "breaker": {"cooldown": ms}}
    flow = {
        "collector": {"queueWait": ms},
        "destinations": {"p": {"package": "plain", "config": config}},
    }
    found = problems(flow)
    assert len(found) == 5
    assert all(text.startswith("must be at most 3,153,600,000,000") for text in found.values())


def test_commands_that_map_nothing_import_nothing_of_a_flow(tmp_path: Path) -> None:
    marked = tmp_path / "imported"
    module = f"import pathlib; pathlib.Path({str(marked)!r}).touch(); f = str"
    (tmp_path / "marks.py").write_text(module)
    entry = {"package": "console", "config": {"data": {"fn": "marks:f"}}}
    spool = {"path": str(tmp_path / "spool.db")}
    flow = {"collector": {"spool": spool}, "destinations": {"out": entry}}
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(flow))
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    readers = (
        ["spool", "status", path],
        ["dead", "list", path],
        ["forget", path, "--user-id", "u"],
    )
    for command in (*readers, ["run", path, os.devnull]):
        assert not marked.exists(), command
        run = [sys.executable, "-m", "walker_collector", *map(str, command)]
        process = subprocess.run(run, capture_output=True, env=environ, timeout=60, check=False)
        assert b"Traceback" not in process.stderr
    assert marked.exists()


def test_module_that_exits_when_it_is_imported_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = {"package": "plain", "config": {"data": {"fn": "leaves:f"}}}
    (message,) = problems({"destinations": {"p": entry}}).values()
    assert message.startswith("cannot import module leaves (SystemExit: 0)")
