"""The JSON Schema of every kind of setting.

`$var.name` may stand wherever a value may, a whole `$env.NAME` where a number or boolean may,
`$env.NAME` and `$secret.NAME` where text may.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import Factory, define

from walker_collector.flow.types.kind import Schema
from walker_collector.flow.types.kinds import KINDS

_REFERENCES: Final[Mapping[str, Schema]] = {
    "Reference": {
        "description": "A reference to the environment, a secret or a variable.",
        "type": "string",
        "pattern": r"\$(env|secret|var)\.",
    },
    "ScalarReference": {
        "description": "A reference to the environment, or a variable, for a number or boolean.",
        "type": "string",
        "pattern": r"^\$(env|var)\.",
    },
    "Variable": {
        "description": "A reference to a variable, which may hold any type.",
        "type": "string",
        "pattern": r"^\$var\.",
    },
}
_SCALAR_TYPES: Final = frozenset({"integer", "number", "boolean"})


@define
class SchemaBuilder:
    """Describes types as schemas; `definitions` holds the shared and the recursive ones.

    `extra` holds, by class, the keys that it takes on disk beside its fields.
    """

    extra: Mapping[type, Schema] = Factory(dict)
    definitions: dict[str, Schema] = Factory(dict)

    def of(self, cls: Any) -> Schema:
        """Return the schema of a type, as written on disk."""
        for kind in reversed(KINDS):
            if kind.covers(cls):
                return kind.describe(cls, self)
        return {}  # a type that a plugin reads by a hook of its own

    def part(self, cls: Any) -> Schema:
        """Return the schema of a type inside another, where a reference may stand for it.

        Text needs no addition: a reference is text.
        """
        schema = self.of(cls)
        choices = schema.get("anyOf", [schema])
        if any(not choice or choice.get("type") == "string" for choice in choices):
            return schema
        scalar = any(choice.get("type") in _SCALAR_TYPES for choice in choices)
        name = "Reference" if "enum" in schema else "ScalarReference" if scalar else "Variable"
        reference = self.defined(name, lambda: dict(_REFERENCES[name]))
        return {"anyOf": [*choices, reference]}

    def defined(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to a definition, made on first use."""
        if name not in self.definitions:
            self.definitions[name] = {}  # before it is made: it may refer to itself
            self.definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def extra_properties(self, cls: type[Any]) -> Schema:
        """Return the keys that a class takes on disk beside its fields."""
        return self.extra.get(cls, {})
