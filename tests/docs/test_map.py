"""The maps of the code, for people who are new to it, name files and functions that exist."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import ROOT, Row, parts

CORE: Final = ROOT / "walker_collector"
PLUGIN: Final = ROOT / "walker_dest_customerio"
PACKAGES: Final = (CORE, PLUGIN)
HOW: Final = ROOT / "docs" / "how-it-works.md"
CONTRIBUTING: Final = ROOT / "CONTRIBUTING.md"

SECTIONS: Final = {"The components and their guarantees", "Where to look", "Where a change goes"}
ROWS: Final = [part for part in parts(HOW) if isinstance(part, Row) and part.section in SECTIONS]
CODE: Final = re.compile(r"`([^`]+)`")
FILE: Final = re.compile(r"[\w./-]+(\.py|/)")
NAME: Final = re.compile(r"_?[A-Za-z]\w+|[A-Z]\w+\.\w+")
PROSE: Final = {"Retry-After", "push", "walker", "init", "shutdown"}
UNMAPPED: Final = re.compile(r"^__|\.egg-info$")


def found(path: str, base: Path = CORE) -> Path | None:
    """Return a file or folder named on a page; plugin paths begin with the plugin's name."""
    candidates = (base / path, ROOT / path)
    return next((file for file in candidates if file.exists()), None)


def missing(words: Iterable[str], files: Iterable[Path | None]) -> set[str]:
    """Return the names (`Class.method` are two) that no file of these has."""
    names = {name for word in words if NAME.fullmatch(word) for name in word.split(".")}
    text = "".join(file.read_text("utf-8") for file in files if file and file.is_file())
    return {name for name in names - PROSE if not re.search(rf"\b{name}\b", text)}


def tree() -> list[tuple[Path, str]]:
    """The paths of the map in CONTRIBUTING, each with the folder that it is in."""
    text = CONTRIBUTING.read_text("utf-8").partition("## Where things are")[2]
    block = text.partition("```text\n")[2].partition("```")[0]
    folders: list[Path] = [ROOT]
    entries = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = FILE.finditer(line[: line.rfind("   ") + 1] or line)
        for name in names:
            entries.append((folders[depth], name.group()))
            folders[depth + 1 :] = [folders[depth] / name.group()]
    return entries


@pytest.mark.parametrize("row", ROWS, ids=lambda row: next(iter(row.cells.values()))[:50])
def test_files_and_names_of_a_row_exist(row: Row) -> None:
    words = [word for cell in row.cells.values() for word in CODE.findall(cell)]
    files = {word: found(word) for word in words if FILE.fullmatch(word)}
    assert files, "a row names a file or folder"
    assert [word for word, file in files.items() if file is None] == []
    assert missing(words, files.values()) == set()


@pytest.mark.parametrize(("folder", "name"), tree(), ids=str)
def test_file_of_the_map_exists(folder: Path, name: str) -> None:
    assert (folder / name).exists()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_map_has_every_module_and_folder_at_the_top_of_a_package(package: Path) -> None:
    on_map = {folder / name for folder, name in tree()}
    there = {path for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert sorted(path for path in there - on_map if not UNMAPPED.search(path.name)) == []


@pytest.mark.parametrize("base", PACKAGES, ids=lambda base: base.name)
def test_files_and_names_of_how_to_exist(base: Path) -> None:
    """The steps name files below one of the two packages, or below the repository."""
    text = CONTRIBUTING.read_text("utf-8").partition("## How to")[2].partition("## Tests")[0]
    plugin = text[text.index("**Add an operation") : text.index("**Add a command")]
    steps = plugin if base == PLUGIN else text.replace(plugin, "")
    words = CODE.findall(steps)
    files = {word: found(word, base) for word in words if FILE.fullmatch(word)}
    assert files
    assert [word for word, file in files.items() if file is None] == []
    assert missing(words, files.values()) == set()
