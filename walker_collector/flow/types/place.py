"""Track the place of a value on disk, for nested values and for error messages."""

from collections.abc import Iterator
from contextvars import ContextVar
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from cattrs import Converter
from cattrs.errors import (
    BaseValidationError,
    IterableValidationNote,
    StructureHandlerNotFoundError,
)

from walker_collector.config import EnvText, Secret
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
    except Exception as error:
        raise with_origin(error, raw, cls) from error.__cause__
    finally:
        PLACE.reset(outer)


def with_origin(error: Exception, raw: Any, cls: Any) -> Exception:
    """Return an error that names the variable, if the refused value came from the environment.

    What the variable holds is shown unless the type `cls` takes text, which may be a credential.
    """
    if not isinstance(raw, EnvText) or isinstance(error, BaseValidationError):
        return error
    takes_text = not {str, Secret, Any}.isdisjoint(choices(cls))
    return InvalidValue(f"{error} ({raw.origin(shown=not takes_text)})")


def choices(cls: Any) -> tuple[Any, ...]:
    """Return the types that a union is a choice between; of another type, itself."""
    return get_args(cls) if get_origin(cls) in (Union, UnionType) else (cls,)


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
        yield Problem(path, _message(error))


def _message(error: BaseException) -> str:
    if isinstance(error, StructureHandlerNotFoundError):
        declared = getattr(error.type_, "__qualname__", error.type_)
        return f"the package declares it as {declared}, a type that no setting can have"
    return str(error) or type(error).__name__
