"""A type checker tells plugin authors and applications what does not fit the contract."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from walker_collector import hookspecs, protocols

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(__file__).parent / "examples"
REPORTED = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)")
EXPECTED = re.compile(r"#\s*E: (?P<text>.*)")

Errors = dict[tuple[str, int], str]
"""File and line -> what is reported there."""


@pytest.fixture(scope="module")
def reported() -> Errors:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(EXAMPLES)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stderr == ""
    found = [match for line in done.stdout.splitlines() if (match := REPORTED.match(line))]
    return {(Path(m["file"]).name, int(m["line"])): m["text"] for m in found}


def expectations() -> Iterator[tuple[str, int, str]]:
    for path in sorted(EXAMPLES.glob("wrong*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := EXPECTED.search(line):
                # What is wrong with a decorated function is reported at its `def`.
                yield path.name, number + line.strip().startswith("@"), match["text"]


def test_what_is_right_is_not_reported(reported: Errors) -> None:
    assert {place: text for place, text in reported.items() if "wrong" not in place[0]} == {}


@pytest.mark.parametrize(("file", "line", "text"), list(expectations()))
def test_mistake_is_reported(file: str, line: int, text: str, reported: Errors) -> None:
    assert text in reported.get((file, line), "nothing")


def test_nothing_else_is_reported(reported: Errors) -> None:
    expected = {(file, line) for file, line, _ in expectations()}
    assert reported.keys() - expected == set()


@pytest.mark.parametrize(
    ("hook", "protocol"),
    [
        ("init", protocols.Init),
        ("push", protocols.Push),
        ("push_batch", protocols.PushBatch),
        ("consent", protocols.Consent),
        ("shutdown", protocols.Shutdown),
    ],
)
def test_protocol_says_the_same_as_the_hook(hook: str, protocol: type) -> None:
    spec, method = getattr(hookspecs, hook), getattr(protocol, hook)
    assert get_type_hints(method) == get_type_hints(spec)
    assert list(inspect.signature(method).parameters)[1:] == list(
        inspect.signature(spec).parameters
    )
