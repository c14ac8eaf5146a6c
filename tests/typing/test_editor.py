"""pyright finds the same mistakes as mypy, and its language server completes calls in an editor."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import missing
from tests.typing.language_server import LanguageServer, running
from tests.typing.test_types import EXAMPLES, expectations
from tests.wheelhouse import once_for_all, run
from walker_collector import EventParts

PACKAGE = {"private": True, "dependencies": {"pyright": "1.1.414"}}
pytestmark = pytest.mark.services("npm")


def _install(folder: Path) -> None:
    (folder / "package.json").write_text(json.dumps(PACKAGE))
    run("npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", cwd=folder)


@pytest.fixture(scope="module")
def editor(shared_folder: Path) -> Iterator[LanguageServer]:
    if shutil.which("npm") is None:
        missing("npm is not installed (Debian: npm)")
    try:
        folder = once_for_all(shared_folder / "pyright", _install)
    except AssertionError as error:
        missing(f"npm cannot install pyright: {error}")
    with running(folder / "node_modules" / "pyright") as server:
        yield server


def lines_reported(editor: LanguageServer, file: str) -> set[int]:
    reported = editor.reported(editor.open(EXAMPLES / file))
    return {item["range"]["start"]["line"] + 1 for item in reported if item["severity"] == 1}


def test_pyright_finds_the_mistakes_of_applications(editor: LanguageServer) -> None:
    expected = {line for file, line, _ in expectations() if file == "wrong_calls.py"}
    assert lines_reported(editor, "wrong_calls.py") == expected


def test_pyright_has_nothing_to_say_against_right_calls(editor: LanguageServer) -> None:
    assert lines_reported(editor, "right_calls.py") == set()


def offered(editor: LanguageServer, before: str, after: str) -> list[str]:
    """Return what is offered between two parts of a line, best first."""
    head = "from walker_collector import Collector\ndef order(collector: Collector):\n    "
    uri = editor.open(EXAMPLES / f"draft_{abs(hash(before))}.py", f"{head}{before}{after}\n")
    at = {"textDocument": {"uri": uri}, "position": {"line": 2, "character": 4 + len(before)}}
    return [item["label"] for item in editor.ask("textDocument/completion", at)["items"]]


@pytest.mark.parametrize("call", ["push", "apush"])
def test_editor_completes_the_parts_of_an_event(call: str, editor: LanguageServer) -> None:
    found = offered(editor, f'collector.{call}("order complete", ', ")")
    parts = [f"{part}=" for part in EventParts.__annotations__]
    options = ["wait=", "timeout=", *(["connection="] if call == "push" else [])]
    assert found[: len(options) + len(parts)] == [*options, *parts]


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ('collector.push("order complete", user={"', '"})', ["id", "device", "session"]),
        ('collector.consent({"marketing": True}, user={"', '"})', ["id", "device", "session"]),
        (
            'collector.push("order complete", nested=[{"',
            '"}])',
            ["entity", "data", "nested", "context"],
        ),
    ],
)
def test_editor_completes_the_keys_of_a_part(
    before: str, after: str, keys: list[str], editor: LanguageServer
) -> None:
    assert offered(editor, before, after) == [f'"{key}"' for key in keys]
