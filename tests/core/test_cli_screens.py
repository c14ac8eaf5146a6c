"""At 80 columns every command's output is read as it is written: nothing is broken."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests.core.cli_support import (
    below,
    event,
    objects,
    serving,
    to_file,
    to_server,
    walker,
    write_flow,
)
from walker_collector.cli import main
from walker_collector.cli.folding import cells, folded

WIDE = 5_000
NARROW = 80
LONG_ID = "customerio-production-europe-west-1"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


Screen = Callable[..., str]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return a function that runs a command in this process, and returns what a terminal shows."""

    def run(*arguments: object, columns: int = NARROW) -> str:
        terminal = Terminal()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "dumb")  # a line that is painted again is no output
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            with pytest.raises(SystemExit):
                main.main([str(item) for item in arguments], prog_name="walker")
        return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())

    return run


def words(text: str) -> set[str]:
    """Return words, numbers, paths and times of a text, apart from ages, which grow."""
    return set(re.split(r"[\s,]+", re.sub(r"\d+ s\b", "", text)))


def assert_readable(narrow: str, wide: str) -> None:
    """Assert that each word is whole, and that only a word too long for a line is beyond it."""
    assert not words(narrow) - words(wide)
    for line in narrow.splitlines():
        assert cells(line) <= NARROW or len(line.split()) == 1, line


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder with a flow, and a spool that has dead letters and events that wait."""
    monkeypatch.chdir(tmp_path)
    with serving(400) as refusing:
        destinations = {
            LONG_ID: to_server(refusing.url),
            "down-" + LONG_ID: to_file(tmp_path / "a folder that is not there" / "out"),
            "archive": to_file(tmp_path / "out", consent={"marketing": True}),
        }
        write_flow(tmp_path, destinations, spool={"path": "spool.db"})
        lines = (
            event(n, id=f"01J9ZQ4X7V8W2N3M4B5C6D7E8F-{n:09}", timestamp=1_772_446_920_601)
            for n in range(4)
        )
        (tmp_path / "events.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        walker("run", "flow.json", "events.ndjson")
        yield tmp_path


def help_pages() -> list[list[str]]:
    """Return the path of each command."""

    def pages(command: click.Command, path: list[str]) -> Iterator[list[str]]:
        yield path
        if isinstance(command, click.Group):
            for name, child in below(command).items():
                yield from pages(child, [*path, name])

    return list(pages(main, []))


@pytest.mark.parametrize("path", help_pages(), ids=" ".join)
def test_help_fits_a_terminal(path: list[str], screen: Screen) -> None:
    shown = screen(*path, "--help")
    assert all(cells(line) <= NARROW for line in shown.splitlines()), shown
    assert not re.search(r"[a-z]\.\.\.$", shown, re.MULTILINE)  # of a description that was cut


def test_every_command_breaks_nothing(shop: Path, screen: Screen) -> None:
    (shop / "wrong.json").write_text(json.dumps({"destinations": {LONG_ID: {"package": LONG_ID}}}))
    for command in (
        ["destinations"],
        ["validate", "wrong.json"],
        ["validate", "flow.json"],
        ["simulate", "flow.json", "events.ndjson"],
        ["explain", "flow.json", "events.ndjson", "--data"],
        ["spool", "status", "flow.json"],
        ["why", "flow.json", "--user-id", "u1", "--data"],
        ["why", "flow.json", "--event", "01J9ZQ4X7V8W2N3M4B5C6D7E8F-000000001"],
        ["why", "flow.json", "--event", "no-such-event"],
        ["people", "flow.json", "--user-id", "u1", "--data"],
        ["dead", "list", "flow.json"],
        ["dead", "list", "flow.json", "--limit", "1"],
        ["dead", "show", "flow.json", "--data"],
        ["schema", "no-such-package-of-a-name-that-takes-a-line-of-a-terminal-by-itself"],
        ["run", "flow.json", shop / ("no" * 30)],
        ["forget", "flow.json"],
    ):
        assert_readable(screen(*command), screen(*command, columns=WIDE))


def test_run_breaks_nothing(shop: Path, screen: Screen) -> None:
    shown = screen("run", "flow.json", "events.ndjson")
    assert all(cells(line) <= NARROW or len(line.split()) == 1 for line in shown.splitlines())
    rows = [line for line in shown.splitlines() if line.startswith("    delivered ")]
    assert len(rows) == 3
    row = "    delivered 0, held 0, ignored 0, dead 4, dropped 0, waiting 0"
    assert f"\n{LONG_ID}\n{row}\n" in shown


def test_written_files_are_listed_whole(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = screen("new", "destination", "a-name-that-is-as-long-as-names-can-be-in-practice")
    for path in (tmp_path / "walker-dest-a-name-that-is-as-long-as-names-can-be-in-practice").rglob(
        "*.py"
    ):
        assert str(path.relative_to(tmp_path)) in shown.split()


def test_output_that_is_no_terminals_stays_on_one_line(shop: Path) -> None:
    listed = walker("dead", "list", "flow.json").stdout
    assert max(map(len, walker("spool", "status", "flow.json").stdout.splitlines())) > NARROW - 10
    assert listed.count("\n\n1. ") == 1


def test_dead_letters_are_listed_by_reason_with_counts_and_times(shop: Path) -> None:
    shown = walker("dead", "list", "flow.json", "--limit", "1").stdout.splitlines()
    assert shown[0] == "4 dead letters, 1 reason"
    assert shown[2] == f"1. 4 letters of {LONG_ID}"
    assert re.fullmatch(r"   \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ( to \S+Z)?", shown[3])
    assert re.fullmatch(r"   http://127\.0\.0\.1:\d+/in answered 400", shown[4])
    assert [line.split()[0] for line in shown if line.startswith("01J9")] == [
        "01J9ZQ4X7V8W2N3M4B5C6D7E8F-000000000"
    ]
    assert shown[-1] == "3 more letters: --limit N lists more, --json all"


def test_limit_bounds_json_as_well(shop: Path) -> None:
    (found,) = objects(walker("dead", "list", "flow.json", "--json", "--limit", "2").stdout)
    assert len(found) == 2
    (found,) = objects(walker("dead", "list", "flow.json", "--json").stdout)
    assert len(found) == 4


def test_empty_list_of_dead_letters_says_so(shop: Path) -> None:
    for command in ("list", "show"):
        result = walker("dead", command, "flow.json", "--destination", "archive")
        assert result.stdout == "no dead letters\n"
    assert walker("dead", "show", "flow.json", "--destination", "archive", "--json").stdout == ""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("twelve chars and more", ["twelve chars", "    and more"]),
        ("  indented by two, and folded", ["  indented by", "      two, and", "      folded"]),
        ("a /a/path/longer/than/a/line b", ["a", "    /a/path/longer/than/a/line", "    b"]),
        ('x {"a":1234,"b":"5678"}', ['x {"a":1234,', '    "b":"5678"}']),
        ("日本語 日本語 日", ["日本語 日本語", "    日"]),
        ("start, or `walk f`", ["start, or", "    `walk f`"]),
        ("or (`walk f`), or", ["or (`walk f`),", "    or"]),
        ("or `walker run flow.json`", ["or `walker run", "    flow.json`"]),
        ("one ` alone, and more", ["one ` alone,", "    and more"]),
    ],
)
def test_line_is_folded_at_words_below_its_beginning(text: str, lines: list[str]) -> None:
    assert "".join(folded([text], 15)).split("\n") == lines
    halves = [text[:4], text[4:]]
    assert "".join(folded(halves, 15)).split("\n") == lines or " " in (text[3], text[4])
    assert folded(halves, None) == halves


def test_rows_of_a_table_that_is_too_wide_keep_their_names(shop: Path, screen: Screen) -> None:
    found: Any = screen("spool", "status", "flow.json", columns=60).splitlines()
    at = found.index(LONG_ID)
    assert found[at + 1] == "    waiting 0, retrying 0, held 0, dead 4"
