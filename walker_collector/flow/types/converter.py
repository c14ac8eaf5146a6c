"""The converter: reads plain values into every kind of setting."""

from typing import Any, Final, TypeVar

from cattrs import Converter

from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.types.kinds import KINDS
from walker_collector.flow.types.place import PLACE, problems

T = TypeVar("T")


def _make_converter() -> Converter:
    made = Converter(detailed_validation=True)
    for kind in KINDS:
        if isinstance(kind.matches, type):  # cattrs has own hooks for some classes: replace them
            made.register_structure_hook(kind.matches, kind.read(kind.matches, made))
        else:
            made.register_structure_hook_factory(kind.matches, kind.read)
    return made


converter: Final = _make_converter()
"""A plugin's package may register hooks for types of its own."""


def structure(raw: Any, cls: type[T], path: str = "") -> tuple[T | None, list[Problem]]:
    """Build `cls` from plain values; never raises for wrong values.

    Returns the object and no problems, or None and every problem, each with its place on disk
    below `path`.
    """
    outer = PLACE.set(path)
    try:
        return converter.structure(raw, cls), []
    except BaseException as error:  # hooks of plugins: anything may come out
        return None, list(problems(error, path))
    finally:
        PLACE.reset(outer)


def structure_or_raise(raw: Any, cls: type[T], path: str = "", source: str | None = None) -> T:
    """Build `cls` from plain values, or raise `ConfigError` with every problem."""
    result, found = structure(raw, cls, path)
    if found:
        raise ConfigError(found, source)
    return result  # type: ignore[return-value]  # no problems: there is a result
