"""Single values: nothing is coerced, and a refusal never shows the value."""

from collections.abc import Callable
from enum import Enum
from typing import Any, get_args

from walker_collector.config import EnvText, Placeholder, Secret
from walker_collector.flow.types.environment import option, typed
from walker_collector.flow.types.place import InvalidValue
from walker_collector.naming import hint, kind


def scalar_hook(cls: type[Any], accepts: tuple[type, ...], name: str) -> Callable[[Any, Any], Any]:
    """Return how a type of JSON scalars is read; `name` says what is expected."""

    def hook(raw: Any, asked: Any) -> Any:
        if issubclass(asked, Enum):  # a str or int enum is found as its base
            return enum_hook(raw, asked)
        if isinstance(raw, EnvText) and cls in (int, float, bool):
            return typed(raw, cls)
        if isinstance(raw, Placeholder) and cls in (int, float, bool):
            return cls()
        if cls is int and isinstance(raw, float) and raw.is_integer():
            return int(raw)  # JSON knows one kind of number: 1e3 is a whole one
        if not isinstance(raw, accepts) or (isinstance(raw, bool) and cls is not bool):
            raise InvalidValue(f"expected {name}, got {kind(raw)}")
        return cls(raw) if cls in (float, Secret) or isinstance(raw, EnvText) else raw

    return hook


def enum_hook(raw: Any, cls: type[Enum]) -> Enum:
    """Read a member of an enum by its value."""
    if isinstance(raw, EnvText):
        raw = option(raw, (member.value for member in cls))
    try:
        return cls(raw)
    except ValueError:
        options = (str(member.value) for member in cls)
        raise InvalidValue(f"not one of the choices{hint(str(raw), options, 'choices')}") from None


def literal_hook(cls: Any) -> Callable[[Any, Any], Any]:
    """Return how one of several literals is read; what is stood in for takes the first."""
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
