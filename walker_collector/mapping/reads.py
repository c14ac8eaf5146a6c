"""The parts of an event that a destination and its rules read, and how far they read on in them.

Pure: nothing is read here, only specifications are looked through.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import attrs

from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    ObjectSpec,
    PathSpec,
    ValueSpec,
)
from walker_collector.mapping.codegen import (
    MAX_DEPTH,
    CallNode,
    Items,
    LoopNode,
    Node,
    ObjectNode,
    ReadNode,
    Shape,
)
from walker_collector.mapping.paths import split
from walker_collector.mapping.values import Value
from walker_collector.secret import Secret

_ATOMS: Final = (str, int, float, bool, type(None), type(MISSING), Secret, enum.Enum)

Parts = frozenset[str]


class ReadsAll(Exception):
    """Something may read any part of the event."""


class _ReadsWhole(Exception):
    """A part of the event is read as a whole, or in two ways that no structure has at once."""

    def __init__(self, part: str) -> None:
        self.part = part


def parts_of_settings(settings: Any) -> Iterator[str]:
    """Yield the parts that the values in settings read. Raises ReadsAll for a function."""
    if isinstance(settings, _ATOMS):
        return
    if isinstance(settings, Value):
        yield from parts_of(settings.spec)
    elif isinstance(settings, Mapping):
        yield from chain.from_iterable(map(parts_of_settings, settings.values()))
    elif isinstance(settings, list | tuple | set | frozenset):
        yield from chain.from_iterable(map(parts_of_settings, settings))
    elif attrs.has(type(settings)) and not callable(settings):
        names = attrs.fields_dict(type(settings))
        yield from chain.from_iterable(parts_of_settings(getattr(settings, key)) for key in names)
    else:
        raise ReadsAll


def parts_of(spec: ValueSpec | None) -> Iterator[str]:
    """Yield the parts that a value reads. Raises ReadsAll if it calls a function."""
    if isinstance(spec, PathSpec):
        yield first_key(spec.path)
    elif isinstance(spec, AlternativesSpec):
        yield from chain.from_iterable(map(parts_of, spec.items))
    elif isinstance(spec, ObjectSpec):
        if spec.fn or spec.condition or spec.validate:
            raise ReadsAll
        if spec.key:
            yield first_key(spec.key)
        children: Iterable[ValueSpec | None] = (*(spec.map or {}).values(), *(spec.set or ()))
        if spec.loop is not None:
            inputs, item = spec.loop
            children = (*children, item if inputs == PathSpec("this") else inputs)
        yield from chain.from_iterable(map(parts_of, children))
        if _is_its_input(spec):
            raise ReadsAll


def _is_its_input(spec: ObjectSpec) -> bool:
    """Return whether a value finds nothing in its input, and so is the input itself."""
    parts = (spec.loop, spec.map, spec.set)
    empty = spec == ObjectSpec(nullable=spec.nullable)
    return all(part is None for part in parts) and not (spec.key or empty or spec.value != MISSING)


def first_key(path: str) -> str:
    if not path:
        raise ReadsAll
    return split(path)[0][0]


def shape_of(nodes: Sequence[Node], parts: Parts) -> tuple[Shape, Parts]:
    """Return the shape of the input of values, without the parts that are decoded whole."""
    while True:
        shape = Shape()
        try:
            more = frozenset(chain.from_iterable(_put(node, shape, parts) for node in nodes))
        except _ReadsWhole as error:
            more = frozenset((error.part,))
        if more <= parts:
            return shape, parts
        parts |= more  # once more, as some of them may have a shape already


def _put(node: Node, at: Shape, parts: Parts, part: str = "", depth: int = 0) -> Iterator[str]:
    """Add the reads of a node to the shape of its input; yield parts that it reads as a whole.

    `part` is the part of the event that the input belongs to, "" for the event itself.
    """
    match node:
        case ReadNode():
            _reserve(node.keys, at, parts, part, None)
        case CallNode():
            if part:
                raise _ReadsWhole(part)
            yield from parts_of(node.spec)
        case _ if depth == MAX_DEPTH:
            raise ReadsAll
        case ObjectNode():
            for _, entry in node.entries:
                yield from _put(entry, at, parts, part, depth + 1)
        case LoopNode(inputs=CallNode()):
            yield from _put(node.inputs, at, parts, part, depth)
        case LoopNode(inputs=ReadNode(keys=keys), item=item):
            items = _reserve(keys, at, parts, part, Items(Shape()))
            if items is not None:
                yield from _put(item, items.shape, parts, part or keys[0], depth + 1)


def _reserve(
    keys: tuple[str, ...], at: Shape, parts: Parts, part: str, kind: Items | None
) -> Items | None:
    """Make room for a value at the keys; return the items there if it is a list with a shape."""
    if not keys:
        raise _ReadsWhole(part) if part else ReadsAll
    part = part or keys[0]
    if part in parts:
        return None
    for key in keys[:-1]:
        below = at.below.setdefault(key, Shape())
        if not isinstance(below, Shape):
            raise _ReadsWhole(part)
        at = below
    found = at.below.setdefault(keys[-1], kind)
    if type(found) is not type(kind):
        raise _ReadsWhole(part)
    return found if isinstance(found, Items) else None
