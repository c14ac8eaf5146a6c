"""Problems of a flow file name their lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import ConfigError
from walker_collector.flow import load_flow, positions
from walker_collector.flow.positions import line_finder
from walker_collector.naming import join

VALUES = st.recursive(
    st.none() | st.integers() | st.text('a"\\\n{[,:', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('a".[\n', max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)

JSON = """{"collector": {
  "consent": {"a":
    "yes"},
  "spool": {}},
 "destinations": {
  "out": {"package": "console", "config": {"mapping": {"a": {"b": [
    {"name": "x"},
    {"nmae": "{\\n"}
  ]}}}}}}
"""
TOML = """# a flow
[collector]
spool = {}
consent.a = "yes"

[destinations.out]
package = "console"
[[destinations.out.config.mapping.a.b]]
name = "x"
[[destinations.out.config.mapping.a.b]]
nmae = "x"
"""
EXPECTED = {
    "collector.consent.a": {"json": 2, "toml": 4},
    "collector.spool": {"json": 4, "toml": 3},
    "destinations.out.config.mapping.a.b[1].nmae": {"json": 8, "toml": 11},
}


def places(value: Any, path: str = "") -> list[str]:
    if not isinstance(value, dict | list):
        return []
    found: list[str] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found += [join(path, key), *places(item, join(path, key))]
    return found


def lines(file: Path, **options: Any) -> dict[str, int | None]:
    with pytest.raises(ConfigError) as caught:
        load_flow(file, environ={}, **options)
    for problem in caught.value.problems:
        assert not problem.line or f"{problem.message} (line {problem.line})" in str(caught.value)
    return {problem.path: problem.line for problem in caught.value.problems}


@pytest.mark.parametrize(("suffix", "text"), [("json", JSON), ("toml", TOML)])
def test_each_problem_has_the_line_of_its_place(suffix: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"flow.{suffix}"
    file.write_text(text)
    assert lines(file) == {path: expected[suffix] for path, expected in EXPECTED.items()}


def test_lines_are_those_of_the_flow_that_is_run(tmp_path: Path) -> None:
    flow = json.loads(JSON)
    file = tmp_path / "flow.json"
    file.write_text(json.dumps({"flows": {"default": {}, "bad": flow}}, indent=1))
    found = lines(file, flow="bad")
    text = file.read_text().splitlines()
    assert '"nmae"' in text[found["destinations.out.config.mapping.a.b[1].nmae"] - 1]
    file.write_text('{"flows": {"only":\n{"collector": {"spool": {}}}}}')
    assert lines(file) == {"collector.spool": 2}


def test_key_that_is_there_twice_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text('{"destinations": {},\n"collector": {"consent": {},\n"consent": {}}}')
    assert lines(file) == {"collector.consent": 3}


@given(VALUES)
def test_every_place_of_any_json_is_found(value: Any) -> None:
    line_of = line_finder(json.dumps({"x": value}, indent=1, ensure_ascii=False))
    numbers = [line_of(path) for path in places({"x": value})]
    assert None not in numbers
    assert numbers == sorted(numbers)  # type: ignore[type-var]  # none is None
    assert numbers[:1] == [2]


def test_large_file_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "_LARGEST", 5)
    assert line_finder('{"a": 1}')("a") is None
