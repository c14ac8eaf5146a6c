"""Captions over the blocks of the site."""

from types import ModuleType

import pytest

from tests.docs.extensions import extension


@pytest.fixture(scope="module")
def filenames() -> ModuleType:
    return extension("filenames")


def test_file_gets_its_name_as_caption(filenames: ModuleType) -> None:
    shown = filenames.with_captions("Save it:\n\n```json flow.json\n{}\n```\n")
    assert shown == "Save it:\n\n```{code-block} json\n:caption: flow.json\n\n{}\n```\n"


def test_second_terminal_is_told(filenames: ModuleType) -> None:
    shown = filenames.with_captions("```console stays\n$ serve\n```\n")
    assert shown.startswith("```{code-block} console\n:caption: in a second terminal\n\n$ serve")


@pytest.mark.parametrize("fence", ["```python", "```text output", "```{toctree}", "```json event"])
def test_other_blocks_stay_as_they_are(filenames: ModuleType, fence: str) -> None:
    text = f"{fence}\nx\n```\n"
    assert filenames.with_captions(text) == text
