"""The mapping language, compiled from configuration into callables. Pure, without I/O."""

from walker_collector.mapping.ignoring import Ignoring, compile_ignoring
from walker_collector.mapping.mapper import (
    UNMATCHED,
    CompiledMapping,
    Mapped,
    Mapper,
    MappingOutcome,
    compile_mapping,
    compile_rules,
)
from walker_collector.mapping.paths import (
    compile_path,
    delete_by_path,
    get_by_path,
    set_by_path,
)
from walker_collector.mapping.rules import AT_NAME, each_rule, rules_for, walk_rules
from walker_collector.mapping.scope import LocalScope, Resolve, Scope
from walker_collector.mapping.shapes import may_make_object
from walker_collector.mapping.values import Value, compile_value

__all__ = [
    "AT_NAME",
    "UNMATCHED",
    "CompiledMapping",
    "Ignoring",
    "LocalScope",
    "Mapped",
    "Mapper",
    "MappingOutcome",
    "Resolve",
    "Scope",
    "Value",
    "compile_ignoring",
    "compile_mapping",
    "compile_path",
    "compile_rules",
    "compile_value",
    "delete_by_path",
    "each_rule",
    "get_by_path",
    "may_make_object",
    "rules_for",
    "set_by_path",
    "walk_rules",
]
