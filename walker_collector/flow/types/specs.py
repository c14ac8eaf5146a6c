"""The mapping language's own types: values, and consent."""

from collections.abc import Mapping
from typing import Any, Final

from cattrs import Converter
from cattrs.errors import ClassValidationError

from walker_collector.config import (
    AlternativesSpec,
    Consent,
    EnvText,
    ObjectSpec,
    PathSpec,
    Placeholder,
    ValueSpec,
)
from walker_collector.errors import ConfigError
from walker_collector.flow.types.containers import describe_mapping
from walker_collector.flow.types.environment import typed
from walker_collector.flow.types.functions import CODE_ADVICE, CODE_PREFIX
from walker_collector.flow.types.kind import Describer, Hook, Kind, Schema
from walker_collector.flow.types.place import PLACE, InvalidValue, at, with_origin
from walker_collector.mapping import Value
from walker_collector.naming import kind


def read_spec(_: Any, converter: Converter) -> Hook:
    """Return the hook that reads a value: a path, a list of alternatives, or an object."""

    def hook(raw: Any, _: Any) -> ValueSpec:
        if isinstance(raw, ValueSpec):
            return raw
        if isinstance(raw, str):
            if raw.startswith(CODE_PREFIX):
                raise InvalidValue(CODE_ADVICE)
            return PathSpec(str(raw) if isinstance(raw, EnvText) else raw)
        if isinstance(raw, list | tuple):
            return AlternativesSpec(converter.structure(raw, tuple[ValueSpec, ...]))
        if isinstance(raw, Mapping):
            return converter.structure(raw, ObjectSpec)
        wanted = "expected a path, a list of alternatives or an object"
        advice = '; a constant is written {"value": ...}' if isinstance(raw, int | float) else ""
        raise InvalidValue(f"{wanted}, got {kind(raw)}{advice}")

    return hook


def read_value(_: Any, converter: Converter) -> Hook:
    """Return the hook that compiles a plugin's mapping value, which keeps its place."""

    def hook(raw: Any, _: Any) -> Value:
        if isinstance(raw, Value):
            return raw
        spec = converter.structure(raw, ValueSpec)
        try:
            return Value(spec, PLACE.get())
        except ConfigError as error:  # a callable that cannot be called with a value
            raise InvalidValue("; ".join(problem.message for problem in error.problems)) from error

    return hook


def describe_value(_: Any, describer: Describer) -> Schema:
    """Return the schema of a value, which may hold values."""
    return describer.defined(
        "Value",
        lambda: {
            "description": "How a value is found in an event: a path, alternatives, or steps.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"$ref": "#/$defs/Value"}},
                describer.of(ObjectSpec),
            ],
        },
    )


def read_consent(raw: Any, _: Any) -> dict[str, bool]:
    """Return consent by key: truthy is granted, as in walkerOS, but a string is refused.

    Any other rule for strings would take "false" for a grant.
    """
    if not isinstance(raw, Mapping):
        wanted = 'expected an object of consent keys, such as {"marketing": true}'
        raise InvalidValue(f"{wanted}, got {kind(raw)}")
    grants, errors = {}, []
    for key, value in raw.items():
        try:
            _check_key(key)
            grants[key] = _grant(value)
        except InvalidValue as error:
            errors.append(at(with_origin(error, value, bool), key))
    if errors:
        raise ClassValidationError("consent", errors, dict)
    return grants


_KEY_MAX: Final = 200


def _check_key(key: str) -> None:
    if len(key) > _KEY_MAX or not key.isprintable():
        raise InvalidValue(
            f"a consent key is up to {_KEY_MAX} characters, none of them a line end or control"
            " character"
        )


def _grant(value: Any) -> bool:
    if isinstance(value, EnvText):
        return bool(typed(value, bool))
    if isinstance(value, Placeholder):
        return False
    if value is None or isinstance(value, bool | int | float):
        return bool(value)
    raise InvalidValue(f"expected true or false, got {kind(value)}")


SPEC: Final = Kind(lambda cls: cls is ValueSpec, read_spec, describe_value)
VALUE: Final = Kind(lambda cls: cls is Value, read_value, describe_value)
CONSENT: Final = Kind(lambda cls: cls == Consent, lambda *_: read_consent, describe_mapping)
