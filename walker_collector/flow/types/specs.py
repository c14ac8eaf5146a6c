"""The mapping language's own types: values, and consent."""

from collections.abc import Callable, Mapping
from typing import Any

from cattrs import Converter
from cattrs.errors import ClassValidationError

from walker_collector.config import AlternativesSpec, EnvText, ObjectSpec, PathSpec, ValueSpec
from walker_collector.errors import ConfigError
from walker_collector.flow.types.environment import typed
from walker_collector.flow.types.functions import CODE_ADVICE, CODE_PREFIX
from walker_collector.flow.types.place import PLACE, InvalidValue, at
from walker_collector.mapping import Value
from walker_collector.naming import kind


def spec_hook(_: Any, converter: Converter) -> Callable[[Any, Any], ValueSpec]:
    """Return how a value is read: a path, a list of alternatives, or an object."""

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
        raise InvalidValue(f"expected a path, a list of alternatives or an object, got {kind(raw)}")

    return hook


def value_hook(_: Any, converter: Converter) -> Callable[[Any, Any], Value]:
    """Return how a plugin's mapping value is read: compiled, and knowing its place."""

    def hook(raw: Any, _: Any) -> Value:
        if isinstance(raw, Value):
            return raw
        spec = converter.structure(raw, ValueSpec)
        try:
            return Value(spec, PLACE.get())
        except ConfigError as error:  # a callable that cannot be called with a value
            raise InvalidValue("; ".join(problem.message for problem in error.problems)) from error

    return hook


def consent_hook(raw: Any, _: Any) -> dict[str, bool]:
    """Read consent: truthy is granted, as in walkerOS; but a string is a mistake.

    The string "false" would grant.
    """
    if not isinstance(raw, Mapping):
        raise InvalidValue(f"expected an object of consent keys, got {kind(raw)}")
    grants, errors = {}, []
    for key, value in raw.items():
        try:
            grants[key] = _grant(value)
        except InvalidValue as error:
            errors.append(at(error, key))
    if errors:
        raise ClassValidationError("consent", errors, dict)
    return grants


def _grant(value: Any) -> bool:
    if isinstance(value, EnvText):
        return bool(typed(value, bool))
    if value is None or isinstance(value, bool | int | float):
        return bool(value)
    raise InvalidValue(f"expected true or false, got {kind(value)}")
