"""Tutorials and how-to guides: following them leads where they say."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, dead_links, parts
from tests.docs.shell import Shell

FOLDERS = ("tutorial", "howto")

guides = pytest.mark.parametrize(
    "path",
    [path for folder in FOLDERS for path in sorted((ROOT / "docs" / folder).glob("*.md"))],
    ids=lambda path: path.stem,
)


@guides
def test_guide_leads_where_it_says(path: Path, shell: Shell) -> None:
    shell.follow(parts(path))


@guides
def test_links_of_guide_lead_somewhere(path: Path) -> None:
    assert list(dead_links(path)) == []
