"""Objects that a mapping makes; what is plainly read from one place of the input is read in one go.

Most of what a map says is `"price": "data.price"`. A call for each of these would take twice as
long as reading them.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from attrs import frozen

from walker_collector.config import MISSING, ObjectSpec, PathSpec, ValueSpec
from walker_collector.mapping.paths import plain_keys
from walker_collector.mapping.pruning import PLAIN

Resolve = Callable[[Any, Any], Any]
Put = Callable[[Any, Any, dict[str, Any]], None]
"""Puts what it finds in an input, under a scope, into the object that is being made."""


@frozen
class Field:
    """`key` of the object made is `name` of the input, or of the object that is its `parent`.

    `default` stands where nothing is found: a scalar, or MISSING.
    """

    key: str
    parent: str | None
    name: str
    default: Any = MISSING


@frozen
class Entry:
    """`key` of the object made is what `resolve` finds."""

    key: str
    resolve: Resolve


def as_field(key: str, spec: ValueSpec | None) -> Field | None:
    """Return the map's entry as a field, or None where it asks for more than that."""
    default: Any = MISSING
    if isinstance(spec, ObjectSpec) and spec.key:
        default = spec.value
        if type(default) not in PLAIN or spec != ObjectSpec(key=spec.key, value=default):
            return None
        spec = PathSpec(spec.key)
    if not isinstance(spec, PathSpec):
        return None
    match plain_keys(spec.path):
        case (name,):
            return Field(key, None, name, default)
        case (parent, name):
            return Field(key, parent, name, default)
    return None


def compile_map(entries: Iterable[Field | Entry], clean: Callable[[Any], Any]) -> Resolve:
    """Return the function that makes an object of the entries, in their order.

    `clean` is applied to what a field finds unless it is a plain scalar.
    """
    steps = [_step(list(group), clean) for _, group in groupby(entries, _place)]
    if len(steps) == 1:
        only = steps[0]
    else:

        def only(value: Any, scope: Any, made: dict[str, Any]) -> None:
            for step in steps:
                step(value, scope, made)

    def resolve(value: Any, scope: Any) -> Any:
        made: dict[str, Any] = {}
        only(value, scope, made)
        return made

    return resolve


def _place(entry: Field | Entry) -> object:
    """What neighbours must share to be read in one go."""
    return (entry.parent,) if isinstance(entry, Field) else entry.key


def _step(group: Sequence[Any], clean: Callable[[Any], Any]) -> Put:
    first = group[0]
    if isinstance(first, Entry):
        return _put_entry(first)
    fields = [(field.key, field.name, field.default) for field in group]
    return _put_fields(first.parent, fields, clean)


def _put_entry(entry: Entry) -> Put:
    key, resolve = entry.key, entry.resolve

    def put(value: Any, scope: Any, made: dict[str, Any]) -> None:
        found = resolve(value, scope)
        if found is not MISSING:
            made[key] = found

    return put


def _put_fields(
    parent: str | None, fields: Sequence[tuple[str, str, Any]], clean: Callable[[Any], Any]
) -> Put:
    nothing: dict[str, Any] = {}

    def put(value: Any, scope: Any, made: dict[str, Any]) -> None:
        holder = value
        if parent is not None and type(value) is dict:
            holder = value.get(parent)
        read = holder.get if type(holder) is dict else nothing.get
        for key, name, default in fields:
            found = read(name, default)
            if type(found) not in PLAIN and (found := clean(found)) is MISSING:
                found = default
            if found is not MISSING:
                made[key] = found

    return put
