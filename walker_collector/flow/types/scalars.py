"""Single values: nothing is coerced, and a refusal never shows the value."""

from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

from cattrs import Converter

from walker_collector.config import EnvText, Placeholder, Secret
from walker_collector.flow.types.environment import option, plain, typed
from walker_collector.flow.types.kind import Describer, Hook, Kind, Schema
from walker_collector.flow.types.place import InvalidValue
from walker_collector.naming import hint, kind


def scalar(cls: type[Any], accepts: tuple[type, ...], name: str, schema: Schema) -> Kind:
    """Return the kind of a type of JSON scalars; errors say that `name` was expected."""

    def hook(raw: Any, asked: Any) -> Any:
        if issubclass(asked, Enum):  # a str or int enum is found as its base
            return _read_member(raw, asked)
        if isinstance(raw, EnvText) and cls in (int, float, bool):
            return typed(raw, cls)
        if isinstance(raw, Placeholder) and cls in (int, float, bool):
            return cls()
        if isinstance(raw, Secret) and cls in (str, Secret):
            # The package wants text, and may show it: known secrets are struck out wherever.
            return raw if cls is Secret else raw.reveal()
        if cls is int and isinstance(raw, float) and raw.is_integer():
            return int(raw)  # JSON knows one kind of number: 1e3 is a whole one
        if isinstance(raw, Secret):
            raise InvalidValue(
                f"expected {name}, got a secret, which is text; write it as $env.NAME"
            )
        if not isinstance(raw, accepts) or (isinstance(raw, bool) and cls is not bool):
            raise InvalidValue(f"expected {name}, got {kind(raw)}")
        return cls(raw) if cls in (float, Secret) or isinstance(raw, EnvText) else raw

    return Kind(cls, lambda *_: hook, lambda *_: dict(schema))


def read_enum(_: Any, __: Converter) -> Hook:
    """Return the hook that reads a member of an enum by its value."""
    return _read_member


def _read_member(raw: Any, cls: type[Enum]) -> Enum:
    if isinstance(raw, Placeholder):
        return next(iter(cls))
    if isinstance(raw, EnvText):
        raw = option(raw, (member.value for member in cls)) or str(raw)
    try:
        return cls(raw)
    except ValueError:
        options = (str(member.value) for member in cls)
        raise InvalidValue(f"not one of the choices{hint(str(raw), options, 'choices')}") from None


def describe_enum(cls: type[Enum], _: Describer) -> Schema:
    """Return the schema of an enum: its values."""
    return {"enum": [member.value for member in cls]}


def read_literal(cls: Any, _: Converter) -> Hook:
    """Return the hook that reads one of several literals; a placeholder becomes the first."""
    options = get_args(cls)

    def hook(raw: Any, _: Any) -> Any:
        if isinstance(raw, Placeholder):
            return options[0]
        if isinstance(raw, EnvText):
            raw = option(raw, options) or str(raw)
        if any(raw == option and type(raw) is type(option) for option in options):
            return raw
        raise InvalidValue(f"not one of the choices{hint(str(raw), map(str, options), 'choices')}")

    return hook


def describe_literal(cls: Any, _: Describer) -> Schema:
    """Return the schema of a choice between literals."""
    return {"enum": list(get_args(cls))}


ANYTHING: Final = Kind(
    lambda cls: cls is Any, lambda *_: lambda raw, _: plain(raw), lambda *_: Schema()
)
SCALARS: Final = (
    scalar(str, (str,), "a string", {"type": "string"}),
    scalar(Secret, (str,), "a string", {"type": "string", "writeOnly": True}),
    scalar(int, (int,), "a whole number", {"type": "integer"}),
    scalar(bool, (bool,), "true or false", {"type": "boolean"}),
    scalar(float, (int, float), "a number", {"type": "number"}),
)
ENUM: Final = Kind(Enum, read_enum, describe_enum)
"""By class, as cattrs before 26 has a hook of its own for Enum there."""
LITERAL: Final = Kind(lambda cls: get_origin(cls) is Literal, read_literal, describe_literal)
