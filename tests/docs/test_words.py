"""Pages use the words of the glossary, and plain sentences."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import ROOT, Row, parts
from tests.test_vocabulary import WORDS

PAGES: Final = sorted(
    {
        *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "walker_dest_customerio").glob("*.md"),
    }
)
GLOSSARY: Final = ROOT / "docs" / "glossary.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_old_words_stay_out_of_pages(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    plain = " ".join(text.split())
    found = [
        f"{plain[max(0, hit.start() - 40) : hit.end() + 40]!r}: say {better}"
        for word, better in WORDS.items()
        for hit in re.finditer(rf"\b{word}s?\b", plain, re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "walker_collector" / "cli" / "serve.py"], ids=lambda path: path.name
)
def test_calls_of_curl_work_with_old_ones(path: Path) -> None:
    assert re.findall(r".*\bcurl\b.*--json.*", path.read_text("utf-8")) == []  # since 7.82


def test_glossary_explains_each_word_once_in_a_sentence() -> None:
    rows = [part.cells for part in parts(GLOSSARY) if isinstance(part, Row)]
    words = [word for row in rows for word in row["word"].split(", ")]
    assert len(words) == len(set(words))
    meanings = [row["meaning"] for row in rows]
    assert [text for text in meanings if not re.fullmatch(r"[A-Z].*[a-z`)]\.", text)] == []
