"""Runs what a page shows: each kind of block has its meaning, told in CONTRIBUTING.md."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import Factory, define

from tests.docs import customerio
from tests.docs.pages import Block, Row
from walker_collector import MISSING
from walker_collector.config import ValueSpec
from walker_collector.flow.types import structure_or_raise
from walker_collector.mapping import compile_value
from walker_collector.mapping.scope import LocalScope

Json = Any
PROGRAMS = Path(sys.executable).parent


@define
class Page:
    """A page being read: its folder, and what earlier blocks left for later ones."""

    folder: Path
    environment: dict[str, str]
    names: dict[str, Any] = Factory(dict)
    event: Json = None
    rule: Json = None
    output: str = ""

    def take(self, part: Block | Row) -> None:
        """Do what a block or row says; raises AssertionError where it is not as shown."""
        if isinstance(part, Row):
            self._row(part)
            return
        if "." in part.word:
            (self.folder / part.word).write_text(part.text, "utf-8")
            return
        handler = _HANDLERS.get((part.language, part.word))
        assert handler or not part.word, f"nobody knows what a block `{part.word}` is"
        if handler:
            handler(self, part.text)

    def _row(self, row: Row) -> None:
        if {"value", "gives"} <= row.cells.keys():
            self._value(row.cells["value"], row.cells["gives"])

    def _value(self, value: str, gives: str) -> None:
        spec = structure_or_raise(json.loads(_code(value)), ValueSpec)
        scope = LocalScope(self.event, self.event.get("consent") or {})
        made = compile_value(spec)(self.event, scope)
        shown = MISSING if gives == "nothing" else json.loads(_code(gives))
        assert made == shown, f"{value} gives {made!r}, not {shown!r}"

    def set_event(self, text: str) -> None:
        self.event = json.loads(text)

    def set_rule(self, text: str) -> None:
        self.rule = json.loads(text)

    def requests(self, text: str) -> None:
        made = customerio.requests(self.event, self.rule)
        assert made == customerio.parse_requests(text)

    def batch(self, text: str) -> None:
        assert customerio.entries(self.event, self.rule) == json.loads(text)

    def json(self, text: str) -> None:
        """A fragment: the value of something, or members of an object."""
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(text)
            return
        json.loads("{" + text + "}")

    def python(self, text: str) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(text, "page", "exec"), self.names)
        self.output = out.getvalue()

    def expect(self, text: str) -> None:
        assert_like(self.output, text)

    def console(self, text: str) -> None:
        """Commands behind `$ `, each with what it prints."""
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            assert_like(done.stdout, shown)


def _code(cell: str) -> str:
    return cell.strip().strip("`").strip()


def assert_like(printed: str, shown: str) -> None:
    """Compare what was printed with what is shown, where `...` stands for anything.

    A line that is `...` alone stands for any number of lines, or none.
    """
    lines = [line.rstrip() for line in shown.strip("\n").splitlines()]
    text = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
    if not re.fullmatch("".join(map(_pattern, lines)), f"{text}\n" if text else ""):
        assert text == "\n".join(lines)


def _pattern(line: str) -> str:
    if line == "...":
        return "(?:[^\\0]*?\\n)?"
    return re.escape(line).replace(re.escape("..."), "[^\\0]*?") + "\\n"


_HANDLERS: dict[tuple[str, str], Callable[[Page, str], None]] = {
    ("json", "event"): Page.set_event,
    ("json", "rule"): Page.set_rule,
    ("text", "requests"): Page.requests,
    ("json", "batch"): Page.batch,
    ("json", ""): Page.json,
    ("python", ""): Page.python,
    ("text", "output"): Page.expect,
    ("console", ""): Page.console,
}
