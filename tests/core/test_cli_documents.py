"""Events in JSON that is no NDJSON: an array, or objects over several lines."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cli_support import event, to_file, write_flow
from walker_collector import EventError, WalkerError
from walker_collector.cli import main
from walker_collector.sources.file import lines
from walker_collector.sources.file.lines import parse, read_lines

EVENTS = [{"name": "a b", "data": {"n": n, "note": '[{\n\u2028"}]'}} for n in range(3)]
VALUES = st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text(max_size=5), max_size=3)


def read(text: str | bytes) -> list[tuple[int, Any]]:
    body = text if isinstance(text, bytes) else text.encode()
    groups = read_lines(io.BytesIO(body))  # type: ignore[arg-type]  # as an open file
    return [(number, parse(line)) for group in groups for number, line in group.numbered()]


def refused(text: str | bytes) -> str:
    with pytest.raises(WalkerError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize("indent", [None, 2])
def test_array_is_its_events_by_position(indent: int | None) -> None:
    assert read(f"\n {json.dumps(EVENTS, indent=indent)}\n") == [*enumerate(EVENTS, 1)]


def test_objects_over_several_lines_are_events_by_the_line_they_begin_at() -> None:
    text = "".join(json.dumps({"name": "a b", "n": n}, indent=2) + "\n" for n in range(3))
    assert read(text) == [(n * 4 + 1, {"name": "a b", "n": n}) for n in range(3)]


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_it() -> None:
    assert read(b'\xef\xbb\xbf{\r\n  "name": "a b"\r\n}\r\n') == [(1, {"name": "a b"})]
    assert read(b'\xef\xbb\xbf[{"name": "a b"}]') == [(1, {"name": "a b"})]


def test_empty_array_has_no_events() -> None:
    assert read("[]") == read(" [\n]\n") == []


@given(st.lists(VALUES, max_size=5), st.none() | st.integers(0, 3))
def test_any_array_of_objects_is_read_as_it_is(values: list[Any], indent: int | None) -> None:
    assert [value for _, value in read(json.dumps(values, indent=indent))] == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1}\n {"b": 2}]', "expected a comma or the end of the array (line 2, column 2)"),
        ('[{"a": 1},\n', "Expecting value (line 2, column 1)"),
        ('{\n  "a" 1\n}', "Expecting ':' delimiter (line 2, column 7)"),
        ("[{}] {}", "more text after the array (line 1, column 6)"),
        ('{\n "a": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_broken_text_is_refused_once_with_its_place(text: str, reason: str) -> None:
    message = refused(text)
    assert message.startswith(f"not JSON: {reason}")
    assert message.endswith("one per line (NDJSON); `jq -c . FILE` writes them so")


def test_document_that_is_too_large_says_how_to_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 50)
    array, objects = json.dumps(EVENTS), json.dumps(EVENTS[0], indent=1)
    assert "array of more than 50 bytes in one piece; write each of its events" in refused(array)
    assert refused(array).endswith("`jq -c '.[]' FILE`")
    assert refused(objects).endswith("`jq -c . FILE` writes them so")
    assert "not UTF-8 text (byte 2)" in refused(b'["\xff"]')


def test_run_delivers_an_array_and_tells_bad_events_by_position(tmp_path: Path) -> None:
    out, events = tmp_path / "out.ndjson", tmp_path / "events.json"
    flow = write_flow(tmp_path, {"out": to_file(out)})
    events.write_text(json.dumps([event(1), {"name": "bad"}, 5, event(2)], indent=2), "utf-8")
    result = CliRunner().invoke(main, ["run", str(flow), str(events)])
    assert result.exit_code == 1
    assert "line 2: event name 'bad'" in result.stderr
    assert "line 3: not an event" in result.stderr
    assert [json.loads(line)["data"]["n"] for line in out.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("text", "jq"),
    [
        ('{"batch": [{"name": "a b"}]}', ".batch[]"),
        ('{"sent": 1, "my events": [{"name": "a b"}]}', '.["my events"][]'),
    ],
)
def test_list_of_events_in_an_object_says_how_to_write_them(text: str, jq: str) -> None:
    with pytest.raises(EventError, match="no event, but a list of them") as caught:
        parse(text.encode())
    assert str(caught.value).endswith(f"`jq -c '{jq}'`")
    assert parse(b'{"name": "a b", "nested": [{}]}')
