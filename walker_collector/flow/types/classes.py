"""attrs classes: keys in both spellings, unknown ones refused, every validator heard."""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any, Final, Literal, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import ClassValidationError

from walker_collector.config import DestinationConfig, EnvText, Placeholder, Secret
from walker_collector.flow.types.docstrings import field_docs, summary
from walker_collector.flow.types.kind import Describer, Hook, Kind, Schema
from walker_collector.flow.types.place import InvalidValue, at, choices, part, with_origin
from walker_collector.flow.types.unknown import unknown_key
from walker_collector.naming import disk_key, kind

_HINTED: Final = 100
"""Unknown keys of one object that are compared with the known ones."""

Fields = Mapping[str, "attrs.Attribute[Any]"]


def synonyms(cls: type[Any]) -> dict[str, str]:
    """Return the other names that a class's fields have on disk (metadata `synonyms`)."""
    return {
        other: field.name
        for field in attrs.fields(cls)
        for other in field.metadata.get("synonyms", ())
    }


def short_form(cls: type[Any]) -> str | None:
    """Return the field that a bare number sets (metadata `short`)."""
    return next((field.name for field in attrs.fields(cls) if field.metadata.get("short")), None)


def read_class(cls: type[Any], converter: Converter) -> Hook:
    """Return the hook that builds an attrs class from an object."""
    attrs.resolve_types(cls)
    fields = {field.name: field for field in attrs.fields(cls) if field.init}

    def hook(raw: Any, _: Any) -> Any:
        return raw if isinstance(raw, cls) else _structure(converter, cls, fields, raw)

    return hook


def _structure(converter: Converter, cls: type[Any], fields: Fields, raw: Any) -> Any:
    raw = _long_form(cls, raw)
    errors: list[Exception] = []
    keys = _spelled(cls, raw, errors)
    values: dict[str, Any] = {}
    for name, key in keys.items():
        if _is_left_out(fields[name], raw[key]):
            continue
        try:
            values[name] = part(converter, raw[key], fields[name].type or Any, key)
        except InvalidValue as error:
            errors.append(at(_with_example(error, fields[name], raw[key]), key))
        except BaseException as error:  # hooks of plugins: anything may come out
            errors.append(at(error, key))
    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in keys:
            errors.append(at(InvalidValue("required, but missing"), disk_key(field)))
    stood_in = {name for name, key in keys.items() if isinstance(raw[key], Placeholder)}
    checked = {name: keys[name] for name in values if name not in stood_in}
    errors += _refused(fields, checked, values, raw)
    if errors:
        raise ClassValidationError(cls.__name__, errors, cls)
    with attrs.validators.disabled() if stood_in else nullcontext():
        return cls(**{fields[name].alias or name: value for name, value in values.items()})


def _with_example(error: InvalidValue, field: "attrs.Attribute[Any]", raw: Any) -> InvalidValue:
    """Return an error about the kind of a value, with an example of a right one.

    The example is a text, or is made from the value by a function.
    """
    example = field.metadata.get("example")
    written = not isinstance(raw, EnvText | Secret)
    wrong_kind = written and example and str(error).startswith("expected")
    if not wrong_kind:
        return error
    return InvalidValue(f"{error}; write {example(raw) if callable(example) else example}")


def _is_left_out(field: "attrs.Attribute[Any]", raw: Any) -> bool:
    """Return whether a value is the same as none given, where the field has a default.

    null is, unless the field knows it. For a number, a boolean or an option an empty variable of
    the environment is, too, and the placeholder of one that is not set.
    """
    if field.default is attrs.NOTHING:
        return False
    accepted = set(choices(field.type))
    if raw is None:
        return accepted.isdisjoint({Any, NoneType})
    if isinstance(raw, Placeholder) or (isinstance(raw, EnvText) and not raw.strip()):
        return str not in accepted and any(map(_is_spelled, accepted))
    return False


def _is_spelled(cls: Any) -> bool:
    """Return whether the text of an environment variable may spell a value of a type."""
    if get_origin(cls) is Literal:
        return True
    return isinstance(cls, type) and bool(
        issubclass(cls, int | float | Enum) or (attrs.has(cls) and short_form(cls))
    )


def _long_form(cls: type[Any], raw: Any) -> Mapping[str, Any]:
    short = short_form(cls)
    if short and isinstance(raw, int | float | EnvText) and not isinstance(raw, bool):
        return {short: raw}
    if not isinstance(raw, Mapping):
        raise InvalidValue(f"expected an object{' or a number' if short else ''}, got {kind(raw)}")
    return raw


@lru_cache(maxsize=1024)
def _spellings(cls: type[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return field name by disk key, and by every way to write it."""
    fields = [field for field in attrs.fields(cls) if field.init]
    spellings = {disk_key(field): field.name for field in fields}
    return spellings, spellings | {field.name: field.name for field in fields} | synonyms(cls)


def _spelled(cls: type[Any], raw: Mapping[str, Any], errors: list[Exception]) -> dict[str, str]:
    """Return field name -> the key as the person spelled it."""
    spellings, known = _spellings(cls)  # type: ignore[arg-type]  # classes are hashable
    keys: dict[str, str] = {}
    hints = len(raw) <= len(known) + _HINTED  # of thousands, each would be compared
    for key in raw:
        name = known.get(key)
        if name is None:
            message = unknown_key(cls, key, spellings, compared=hints)
            errors.append(at(InvalidValue(message), str(key)))
        elif name in keys and raw[keys[name]] != raw[key]:
            errors.append(at(InvalidValue(f"contradicts {keys[name]}: they mean the same"), key))
        else:
            keys[name] = key
    return keys


class _Draft:
    """The values read, for validators, before there is an instance."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def _refused(
    fields: Fields, keys: Mapping[str, str], values: dict[str, Any], raw: Mapping[str, Any]
) -> Iterator[Exception]:
    """Run validators by themselves: an instance would stop at the first, without its place."""
    draft = _Draft(values)
    for name, key in keys.items():
        validator = fields[name].validator
        if validator is None:
            continue
        try:
            validator(draft, fields[name], values[name])
        except AttributeError:
            continue  # it looks at a field that is not there; the instance will have them all
        except Exception as error:
            yield at(with_origin(error, raw[key], fields[name].type), key)
        except BaseException as error:  # validators of plugins: anything may come out
            yield at(error, key)


def describe_class(cls: type[Any], describer: Describer) -> Schema:
    """Return the schema of an attrs class, by reference: two may refer to each other."""
    schema = describer.defined(_definition(cls), lambda: describe_fields(cls, describer))
    return {"anyOf": [{"type": "number"}, schema]} if short_form(cls) else schema


def describe_fields(cls: type[Any], describer: Describer, **other: Schema) -> Schema:
    """Return the schema of an attrs class; `other` replaces properties, by their disk keys."""
    attrs.resolve_types(cls)
    fields = {disk_key(field): field for field in attrs.fields(cls) if field.init}
    docs = field_docs(cls, [field.name for field in fields.values()])
    properties = {
        key: _describe_field(field, docs.get(field.name), other.get(key), describer)
        for key, field in fields.items()
    }
    keys = {field.name: key for key, field in fields.items()}
    names = {
        other: {"description": f"Another name of {keys[name]}."}
        for other, name in synonyms(cls).items()
        if "_" not in other  # the schema has the spelling of files
    }
    about = summary(cls)
    schema: Schema = {
        "type": "object",
        **({"description": about} if about else {}),
        "properties": {**properties, **names, **describer.extra_properties(cls)},
        "additionalProperties": False,
    }
    required = [key for key, field in fields.items() if field.default is attrs.NOTHING]
    return {**schema, "required": required} if required else schema


def _describe_field(
    field: "attrs.Attribute[Any]",
    description: str | None,
    instead: Schema | None,
    describer: Describer,
) -> Schema:
    schema = describer.part(field.type or Any) if instead is None else dict(instead)
    default = field.default
    if isinstance(default, str | int | float) and default != "" and not isinstance(default, Secret):
        schema["default"] = default
    return {**schema, "description": description} if description else schema


def _definition(cls: type) -> str:
    """Return the name of a class's definition: two plugins may each have a class `Settings`."""
    if cls.__module__ == DestinationConfig.__module__:
        return cls.__name__
    return re.sub(r"[^\w.]", "_", f"{cls.__module__}.{cls.__qualname__}")


CLASS: Final = Kind(attrs.has, read_class, describe_class)
