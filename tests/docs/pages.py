"""Markdown pages as what can be checked in them: fenced blocks, tables, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
    ROOT / "walker_dest_customerio" / "README.md",
]

GUIDES = [
    path for name in ("tutorial", "howto") for path in sorted((ROOT / "docs" / name).glob("*.md"))
]
"""Pages that are followed in an environment that holds only what they install."""


@frozen
class Block:
    """A fenced block: its language, the word after it, its text, and the line it begins at."""

    line: int
    language: str
    word: str
    text: str


@frozen
class Row:
    """A row of a table: the cells as written, under the header's names, and its section."""

    line: int
    cells: dict[str, str]
    section: str


def parts(path: Path) -> Iterator[Block | Row]:
    """Yield the blocks and table rows of a page, in order."""
    tokens = MarkdownIt().enable("table").parse(path.read_text("utf-8"))
    header: list[str] = []
    cells: list[str] = []
    line = 0
    section = ""
    for at, token in enumerate(tokens):
        if token.type == "fence":
            language, _, word = token.info.partition(" ")
            yield Block(_line(token), language, word, token.content)
        elif token.type == "heading_open":
            section = tokens[at + 1].content
        elif token.type == "thead_open":
            header = []
        elif token.type == "th_open":
            header.append(tokens[at + 1].content)
        elif token.type == "tr_open":
            cells, line = [], _line(token)
        elif token.type == "td_open":
            cells.append(tokens[at + 1].content)
        elif token.type == "tr_close" and cells:
            yield Row(line, dict(zip(header, cells, strict=True)), section)


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def installed(path: Path) -> set[str]:
    """Return what a guide installs from the package index, as typed."""
    lines = re.findall(r"^\$ pip install (.+)$", path.read_text("utf-8"), re.MULTILINE)
    words = {word for line in lines for word in shlex.split(line)}
    return {word for word in words if not word.startswith(("-", "."))}


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Yield target and anchor of each link of a page that leads to another file, or within it."""
    for token in MarkdownIt().enable("table").parse(path.read_text("utf-8")):
        for child in token.children or ():
            target = child.attrGet("href") if child.type == "link_open" else None
            if isinstance(target, str) and "://" not in target:
                file, _, anchor = target.partition("#")
                yield file, anchor


def dead_links(path: Path) -> Iterator[str]:
    """Yield the links of a page that lead to no file, or to no heading of one."""
    for file, anchor in links(path):
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{file}#{anchor}" if anchor else file


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    tokens = MarkdownIt().parse(path.read_text("utf-8"))
    titles = (
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
