"""The one converter: which type is read how."""

from collections.abc import Callable
from collections.abc import Callable as AbstractCallable
from enum import Enum
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_origin

import attrs
from cattrs import Converter

from walker_collector.config import Consent, Secret, ValueSpec
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.types.classes import class_hook
from walker_collector.flow.types.containers import (
    is_mapping,
    is_sequence,
    list_hook,
    mapping_hook,
    union_hook,
)
from walker_collector.flow.types.environment import plain
from walker_collector.flow.types.functions import callable_hook
from walker_collector.flow.types.place import PLACE, problems
from walker_collector.flow.types.scalars import enum_hook, literal_hook, scalar_hook
from walker_collector.flow.types.specs import consent_hook, spec_hook, value_hook
from walker_collector.mapping import Value

T = TypeVar("T")

# In both tables the last entry that matches a type is used.
_FACTORIES: Final[list[tuple[Callable[[Any], bool], Callable[..., Any]]]] = [
    (attrs.has, class_hook),
    (is_sequence, list_hook),
    (is_mapping, mapping_hook),
    (lambda cls: get_origin(cls) in (Union, UnionType), union_hook),
    (lambda cls: get_origin(cls) is Literal, literal_hook),
    (lambda cls: cls is ValueSpec, spec_hook),
    (lambda cls: cls is Value, value_hook),
]
_HOOKS: Final[list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]]] = [
    (lambda cls: cls is Any, lambda raw, _: plain(raw)),
    (lambda cls: cls == Consent, consent_hook),
    (lambda cls: AbstractCallable in (cls, get_origin(cls)), callable_hook),
]
_SCALARS: Final[list[tuple[type, Callable[[Any, Any], Any]]]] = [
    (Enum, enum_hook),  # by class, as cattrs before 26 has a hook of its own for it there
    (str, scalar_hook(str, (str,), "a string")),
    (Secret, scalar_hook(Secret, (str,), "a string")),
    (bool, scalar_hook(bool, (bool,), "true or false")),
    (int, scalar_hook(int, (int,), "a whole number")),
    (float, scalar_hook(float, (int, float), "a number")),
]


def _make_converter() -> Converter:
    made = Converter(detailed_validation=True)
    for matches, factory in _FACTORIES:
        made.register_structure_hook_factory(matches, factory)
    for matches, hook in _HOOKS:
        made.register_structure_hook_func(matches, hook)
    for cls, hook in _SCALARS:
        made.register_structure_hook(cls, hook)
    return made


converter: Final = _make_converter()
"""A plugin's package may register hooks for types of its own."""


def structure(raw: Any, cls: type[T], path: str = "") -> tuple[T | None, list[Problem]]:
    """Build `cls` from plain values; never raises for what they hold.

    Returns the object and no problems, or None and every problem, each with its place on disk
    below `path`.
    """
    outer = PLACE.set(path)
    try:
        return converter.structure(raw, cls), []
    except Exception as error:  # hooks of plugins: anything may come out
        return None, list(problems(error, path))
    finally:
        PLACE.reset(outer)


def structure_or_raise(raw: Any, cls: type[T], path: str = "", source: str | None = None) -> T:
    """Build `cls` from plain values, or raise `ConfigError` with every problem."""
    result, found = structure(raw, cls, path)
    if found:
        raise ConfigError(found, source)
    return result  # type: ignore[return-value]  # no problems: there is a result
