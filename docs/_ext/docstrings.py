"""Docstrings as they are written here, to what Sphinx reads.

They have indented examples, and a line `name: what it is` for each field or parameter. In
reStructuredText the first would be a quotation, the second one paragraph.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import attrs
from sphinx.application import Sphinx

_FIELDS = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<text>.*)")
_UNREADABLE_DEFAULT = re.compile(r"(?<==)(\s*)(?:NOTHING|<[^<>]*>)")
"""A default that is an object's repr, or made anew by an attrs factory."""


def to_rst(lines: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText; `names` are its fields."""
    known = set(names)
    made: list[str] = []
    in_example = False
    for paragraph in _paragraphs(lines):
        if paragraph[0].startswith("    "):
            made += [*([] if in_example else ["::", ""]), *paragraph, ""]
            in_example = True
            continue
        in_example = False
        made += [*(_bullets(paragraph) if _describes(paragraph, known) else paragraph), ""]
    return made


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    for filled, group in groupby(lines, key=lambda line: bool(line.strip())):
        if filled:
            yield list(group)


def _describes(paragraph: Sequence[str], known: set[str]) -> bool:
    """Return whether the paragraph describes fields."""
    found = [_FIELDS.match(line) for line in paragraph if not line.startswith(" ")]
    return all(match and known.issuperset(match["names"].split(", ")) for match in found)


def _bullets(paragraph: Sequence[str]) -> Iterator[str]:
    for line in paragraph:
        if match := _FIELDS.match(line):
            heads = ", ".join(f"``{name}``" for name in match["names"].split(", "))
            yield f"* {heads}: {match['text']}"
        else:
            yield f"  {line.strip()}"


def names_of(documented: Any) -> list[str]:
    """Return the names that a docstring may describe: fields, and parameters."""
    if isinstance(documented, type) and attrs.has(documented):
        return [field.name for field in attrs.fields(documented)]
    try:
        return list(inspect.signature(documented).parameters)
    except (TypeError, ValueError):  # no callable, or one that says nothing of its parameters
        return []


def readable(signature: str) -> str:
    """Return a signature with `...` for defaults that are no Python to read."""
    return _UNREADABLE_DEFAULT.sub(r"\1...", signature)


def _docstring(
    app: Sphinx, what: str, name: str, documented: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = to_rst(lines, names_of(documented))


def _signature(
    app: Sphinx,
    what: str,
    name: str,
    documented: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    return signature and readable(signature), returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True}
