"""What README and docs say is true: blocks run, tables hold, links lead somewhere."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, dead_links, parts
from tests.docs.runner import PROGRAMS, Page
from walker_dest_customerio.sandbox import Sandbox

paths = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """An empty folder to work in, and a local Customer.io in the environment."""
    with Sandbox() as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")
        shell = {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(tmp_path)}
        before = set(sys.modules)
        yield Page(tmp_path, shell)
        for name in set(sys.modules) - before:  # a page's own modules; another page has others
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(tmp_path):
                del sys.modules[name]


@paths
def test_page_does_what_it_shows(path: Path, page: Page) -> None:
    for part in parts(path):
        try:
            page.take(part)
        except Exception as error:
            error.add_note(f"{path.relative_to(ROOT)}, line {part.line}")
            raise


@paths
def test_links_of_page_lead_somewhere(path: Path) -> None:
    assert list(dead_links(path)) == []
