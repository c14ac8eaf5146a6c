"""Lists, objects by key, and choices between types."""

from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import ClassValidationError

from walker_collector.config import EnvText, Secret, ValueSpec
from walker_collector.flow.types.kind import Describer, Hook, Kind, Schema
from walker_collector.flow.types.place import InvalidValue, at, part
from walker_collector.mapping import Value
from walker_collector.naming import kind


def read_list(cls: Any, converter: Converter) -> Hook:
    """Return the hook that reads a list, tuple or set; a tuple may have a fixed length."""
    origin, args = get_origin(cls) or cls, get_args(cls) or (Any,)
    fixed = origin is tuple and Ellipsis not in args

    def hook(raw: Any, _: Any) -> Any:
        if not isinstance(raw, list | tuple):
            raise InvalidValue(f"expected a list, got {kind(raw)}")
        if fixed and len(raw) != len(args):
            raise InvalidValue(f"expected exactly {len(args)} items, got {len(raw)}")
        types = args if fixed else [args[0]] * len(raw)
        items = zip(range(len(raw)), raw, types, strict=True)
        return origin(_structure_items(converter, items).values())

    return hook


def describe_list(cls: Any, describer: Describer) -> Schema:
    """Return the schema of a list, tuple or set."""
    args = get_args(cls)
    if get_origin(cls) is tuple and Ellipsis not in args:
        return {
            "type": "array",
            "prefixItems": [describer.part(item) for item in args],
            "minItems": len(args),
            "maxItems": len(args),
        }
    return {"type": "array", "items": describer.part(args[0]) if args else {}}


def read_mapping(cls: Any, converter: Converter) -> Hook:
    """Return the hook that reads an object of free keys."""
    item = (get_args(cls) or (str, Any))[1]

    def hook(raw: Any, _: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise InvalidValue(f"expected an object, got {kind(raw)}")
        return _structure_items(converter, ((key, value, item) for key, value in raw.items()))

    return hook


def describe_mapping(cls: Any, describer: Describer) -> Schema:
    """Return the schema of an object of free keys."""
    args = get_args(cls)
    return {"type": "object", **({"additionalProperties": describer.part(args[1])} if args else {})}


def _structure_items(converter: Converter, items: Iterable[tuple[Any, Any, Any]]) -> dict[Any, Any]:
    structured, errors = {}, []
    for key, value, cls in items:
        try:
            structured[key] = part(converter, value, cls, key)
        except BaseException as error:  # hooks of plugins: anything may come out
            errors.append(at(error, key))
    if errors:
        raise ClassValidationError("items", errors, dict)
    return structured


def read_union(cls: Any, converter: Converter) -> Hook:
    """Return the hook that reads one of several types: the first that takes the value.

    If none does, the error comes from the last type that has the value's shape.
    """
    members = [member for member in get_args(cls) if member is not NoneType]
    nullable = NoneType in get_args(cls)

    def hook(raw: Any, _: Any) -> Any:
        if raw is None and nullable:
            return None
        if len(members) == 1:
            return converter.structure(raw, members[0])
        return _first_fitting(converter, raw, members)

    return hook


def describe_union(cls: Any, describer: Describer) -> Schema:
    """Return the schema of a choice between types."""
    null = {"type": "null"}
    members = [null if item is NoneType else describer.of(item) for item in get_args(cls)]
    return {"anyOf": members}


def _first_fitting(converter: Converter, raw: Any, members: list[Any]) -> Any:
    if isinstance(raw, EnvText):  # any text is a string; the number it may spell goes before
        members = sorted(members, key=lambda member: member is str)
    fitting = [member for member in members if _has_shape(raw, member)]
    if not fitting:
        raise InvalidValue(f"expected {' or '.join(map(_type_name, members))}, got {kind(raw)}")
    for member in fitting:
        try:
            return converter.structure(raw, member)
        except BaseException as error:  # the next member may take it; the last one explains
            failure = error
    raise failure


def _has_shape(raw: Any, cls: Any) -> bool:
    """Return whether raw is the kind of JSON value that `cls` is built from."""
    origin = get_origin(cls) or cls
    if isinstance(raw, Mapping):
        return attrs.has(origin) or is_mapping(origin) or origin in (ValueSpec, Value)
    if isinstance(raw, list | tuple):
        return is_sequence(origin) or origin in (ValueSpec, Value)
    return not (is_mapping(origin) or is_sequence(origin))


_SCALAR_NAMES: Final = {
    str: "a string",
    Secret: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}


def _type_name(cls: Any) -> str:
    origin = get_origin(cls) or cls
    return _SCALAR_NAMES.get(origin) or ("a list" if is_sequence(origin) else "an object")


def is_sequence(cls: Any) -> bool:
    """Return whether a type, generic or not, is a list, tuple or set."""
    origin = get_origin(cls) or cls
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)


def is_mapping(cls: Any) -> bool:
    """Return whether a type, generic or not, is an object of free keys."""
    origin = get_origin(cls) or cls
    return isinstance(origin, type) and issubclass(origin, Mapping)


LIST: Final = Kind(is_sequence, read_list, describe_list)
MAPPING: Final = Kind(is_mapping, read_mapping, describe_mapping)
UNION: Final = Kind(lambda cls: get_origin(cls) in (Union, UnionType), read_union, describe_union)
