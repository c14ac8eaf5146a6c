"""Tutorials and how-to guides: following them leads where they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, parts
from tests.docs.shell import Shell, make_environment

DOCS = ROOT / "docs"
GUIDES = [
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted((DOCS / "howto").glob("*.md")),
]
guides = pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture
def shell(tmp_path: Path, environment: dict[str, str]) -> Iterator[Shell]:
    shell = Shell(tmp_path, environment)
    yield shell
    shell.close()


@guides
def test_guide_leads_where_it_says(path: Path, shell: Shell) -> None:
    shell.follow(parts(path))


@guides
def test_links_of_guide_lead_somewhere(path: Path) -> None:
    for file, anchor in links(path):
        target = path.parent / file if file else path
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target), f"{file}#{anchor}"
