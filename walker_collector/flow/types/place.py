"""Track the place of a value on disk, for nested values and for error messages."""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from cattrs import Converter
from cattrs.errors import BaseValidationError, IterableValidationNote

from walker_collector.error_details import failure_of
from walker_collector.errors import Problem
from walker_collector.naming import join

PLACE: Final[ContextVar[str]] = ContextVar("place", default="")
"""Place of the value being read; a `Value` keeps it for its error messages."""


class InvalidValue(ValueError):
    """A value that its place cannot take; the text is the problem's message."""


def part(converter: Converter, raw: Any, cls: Any, key: str | int) -> Any:
    """Read the part at `key` of the value being read."""
    outer = PLACE.set(join(PLACE.get(), key))
    try:
        return converter.structure(raw, cls)
    finally:
        PLACE.reset(outer)


def at(error: BaseException, key: str | int) -> Exception:
    """Return an error with a note that it happened at `key`."""
    noted = error if isinstance(error, Exception) else InvalidValue(f"raised {failure_of(error)}")
    noted.add_note(IterableValidationNote("", key, None))
    return noted


def problems(error: BaseException, path: str) -> Iterator[Problem]:
    """Walk a tree of errors to the mistakes in it, each with its place below `path`."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, IterableValidationNote):
            path = join(path, note.index)
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from problems(inner, path)
    else:
        yield Problem(path, str(error) or type(error).__name__)
