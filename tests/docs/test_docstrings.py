"""What becomes of docstrings on their way into the site."""

from types import ModuleType

import pytest
from attrs import frozen

from tests.docs.extensions import extension


@pytest.fixture(scope="module")
def docstrings() -> ModuleType:
    return extension("docstrings")


def test_example_of_several_paragraphs_is_one_block(docstrings: ModuleType) -> None:
    lines = ["Text:", "", "    one", "", "    two", "", "More."]
    assert docstrings.to_rst(lines, []) == [
        *("Text:", "", "::", "", "    one", "", "    two", "", "More.", "")
    ]


def test_fields_become_a_list(docstrings: ModuleType) -> None:
    lines = ["url: of the", "    service.", "a, b: two of them."]
    assert docstrings.to_rst(lines, ["url", "a", "b"]) == [
        *("* ``url``: of the", "  service.", "* ``a``, ``b``: two of them.", "")
    ]


def test_sentence_with_a_colon_stays_a_sentence(docstrings: ModuleType) -> None:
    assert docstrings.to_rst(["Return = delivered: done."], ["url"]) == [
        *("Return = delivered: done.", "")
    ]


def test_names_are_fields_or_parameters(docstrings: ModuleType) -> None:
    @frozen
    class Fields:
        url: str

    def function(first: int, second: int) -> None: ...

    assert docstrings.names_of(Fields) == ["url"]
    assert docstrings.names_of(function) == ["first", "second"]
    assert docstrings.names_of("no callable") == []


def test_defaults_that_are_no_python_are_left_out(docstrings: ModuleType) -> None:
    signature = "(a: int = 1, b: dict = NOTHING, c=<function now at 0x1>)"
    assert docstrings.readable(signature) == "(a: int = 1, b: dict = ..., c=...)"
