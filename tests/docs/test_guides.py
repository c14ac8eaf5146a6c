"""Tutorials and how-to guides: following them leads where they say."""

import re
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


@guides
def test_guide_installs_the_programs_and_frameworks_that_it_uses(path: Path) -> None:
    """The tests' own virtualenv has all of them, that of a reader only the installed ones."""
    text = path.read_text("utf-8")
    installed = " ".join(re.findall(r"pip install (.*)", text)).replace("[testing]", " pytest")
    typed = set(re.findall(r"^\$ (?:env \S+ )?(pytest|gunicorn|celery|uvicorn)\b", text, re.M))
    imported = set(re.findall(r"^(?:from|import) (celery|django|fastapi|pytest)\b", text, re.M))
    assert {name for name in typed | imported if name not in installed} == set()
