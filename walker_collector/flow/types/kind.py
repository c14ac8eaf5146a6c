"""The shape of a kind of setting: the types it covers, how it is read, how it is described."""

from collections.abc import Callable
from typing import Any, Protocol

from attrs import frozen
from cattrs import Converter

Hook = Callable[[Any, Any], Any]
"""A function of cattrs: a plain value and the type wanted -> the value read."""

Schema = dict[str, Any]
"""A JSON Schema."""


class Describer(Protocol):
    """Makes the schemas of the types inside a type."""

    def of(self, cls: Any) -> Schema:
        """Return the schema of a type, as written on disk."""

    def part(self, cls: Any) -> Schema:
        """Return the schema of a type inside another, where a reference may stand for it."""

    def defined(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to a shared definition, made on first use."""

    def extra_properties(self, cls: type[Any]) -> Schema:
        """Return the keys that a class takes on disk beside its fields."""


@frozen
class Kind:
    """A kind of setting.

    matches: a class, with its subclasses, or a predicate over types.
    read: makes the hook that builds a value of a type.
    describe: makes the JSON Schema of a type.
    """

    matches: type | Callable[[Any], bool]
    read: Callable[[Any, Converter], Hook]
    describe: Callable[[Any, Describer], Schema]

    def covers(self, cls: Any) -> bool:
        """Return whether a type is of this kind."""
        if isinstance(self.matches, type):
            return isinstance(cls, type) and issubclass(cls, self.matches)
        return self.matches(cls)
