"""Every kind of setting: read from plain JSON values, and described as JSON Schema.

Reading is strict and collects every mistake. Nothing is coerced: a number is not a string, and a
string is not a boolean. Keys are read in camelCase and snake_case. An unknown key is a mistake,
because a mapping that is silently not applied is worse than none.
"""

from walker_collector.flow.types.classes import describe_fields
from walker_collector.flow.types.converter import converter, structure, structure_or_raise
from walker_collector.flow.types.functions import (
    CODE_ADVICE,
    CODE_PREFIX,
    allow_functions,
    load_callable,
    without_imports,
)
from walker_collector.flow.types.kind import Schema
from walker_collector.flow.types.schema_builder import SchemaBuilder
from walker_collector.naming import disk_key

__all__ = [
    "CODE_ADVICE",
    "CODE_PREFIX",
    "Schema",
    "SchemaBuilder",
    "allow_functions",
    "converter",
    "describe_fields",
    "disk_key",
    "load_callable",
    "structure",
    "structure_or_raise",
    "without_imports",
]
