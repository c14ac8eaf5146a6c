"""Descriptions of settings, taken from the docstrings of their classes.

A class is described by its first paragraph, a field by the line `name: text` or
`name, other: text` and the indented lines after it.
"""

import inspect
import re


def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def field_docs(cls: type, names: list[str]) -> dict[str, str]:
    """Return the descriptions of fields in the docstrings of a class and its bases."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs.update(_own_field_docs(base, names))
    return {name: text[:1].upper() + text[1:] for name, text in docs.items()}


def _own_field_docs(cls: type, names: list[str]) -> dict[str, str]:
    docs: dict[str, str] = {}
    current: list[str] = []
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        head, colon, text = line.partition(":")
        heads = re.split(r",\s*", head)
        if colon and all(name in names for name in heads):
            current = heads
            docs.update(dict.fromkeys(heads, text.strip()))
        elif line.startswith(" ") and current:
            docs.update({name: f"{docs[name]} {line.strip()}" for name in current})
        else:
            current = []
    return docs
