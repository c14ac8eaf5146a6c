"""JSON Schema (draft 2020-12) of flow files, settings and rule settings."""

import re
from collections.abc import Mapping
from typing import Any, Final

from walker_collector.config import CollectorConfig, DestinationConfig, RuleConfig
from walker_collector.flow.shape import (
    IDLE_COLLECTOR_KEYS,
    IDLE_CONFIG_KEYS,
    VERSION,
    Entry,
    Flow,
    FlowFile,
    ShortFlow,
)
from walker_collector.flow.types import Schema, SchemaBuilder, describe_fields
from walker_collector.flow.unsupported import UNSUPPORTED
from walker_collector.plugins import PluginInfo, Registry

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_EXTRA: Final[Mapping[type, Schema]] = {
    RuleConfig: {
        "extend": {"type": "object", "description": "A patch of the rule the package ships."}
    },
    DestinationConfig: {key: {} for key in sorted(IDLE_CONFIG_KEYS)},
    CollectorConfig: {key: {} for key in (*sorted(IDLE_COLLECTOR_KEYS), "globalsStatic")},
}


def settings_schema(plugin: type) -> Schema:
    """Return the schema of a destination's `settings`; without a class, none are allowed."""
    return _document(getattr(plugin, "settings", None))


def rule_settings_schema(plugin: type) -> Schema:
    """Return the schema of the `settings` of a destination's mapping rules."""
    return _document(getattr(plugin, "rule_settings", None))


def _document(cls: type | None) -> Schema:
    builder = SchemaBuilder(_EXTRA)
    schema = describe_fields(cls, builder) if cls else _no_settings()
    head = {"$schema": DRAFT, **schema}
    return {**head, "$defs": builder.definitions} if builder.definitions else head


def _no_settings() -> Schema:
    return {"type": "object", "additionalProperties": False}


_IS_WEB: Final = {
    "properties": {"config": {"properties": {"platform": {"const": "web"}}}},
    "required": ["config"],
}


_NEEDS_SPOOL: Final = {
    "if": {"properties": {"deliver": {"const": False}}, "required": ["deliver"]},
    "then": {"required": ["spool"]},
}


def flow_schema(registry: Registry) -> Schema:
    """Return the schema of a whole flow file; each installed plugin brings its settings."""
    builder = SchemaBuilder(_EXTRA)
    parts = {
        "destinations": _objects_of(_destination(builder, registry)),
        "collector": builder.of(CollectorConfig),
    }
    builder.definitions[CollectorConfig.__name__] |= _NEEDS_SPOOL
    flow = builder.defined("Flow", lambda: describe_fields(Flow, builder, **parts))
    version = {"const": VERSION}
    flows = _objects_of({"if": _IS_WEB, "then": {}, "else": flow})
    return {
        "$schema": DRAFT,
        "title": "Flow file",
        "if": {"required": ["flows"]},
        "then": describe_fields(FlowFile, builder, flows=flows, version=version),
        "else": describe_fields(ShortFlow, builder, version=version, **parts),
        "$defs": builder.definitions,
    }


def _destination(builder: SchemaBuilder, registry: Registry) -> Schema:
    """Return the schema of an entry; `package` decides the schema of its `config`."""
    entry = describe_fields(Entry, builder, config={"type": "object"}, before=_ROUTE)
    for key in {*UNSUPPORTED, "code"} & entry["properties"].keys():
        del entry["properties"][key]
    choices = [
        _when_package(builder, names, plugin)
        for info in registry.installed()
        if info.kind == "destination" and info.error is None
        for plugin, names in _classes(info).items()
    ]
    return {**entry, "required": ["package"], "allOf": choices}


_ROUTE: Final[Schema] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}


def _classes(info: PluginInfo) -> dict[type, list[str]]:
    """Return the classes of a plugin, each with the names that a flow may call it by."""
    classes: dict[type, list[str]] = {}
    for name in (info.name, *info.aliases):
        classes.setdefault(info.class_of(name), []).append(name)
    return classes


def _when_package(builder: SchemaBuilder, names: list[str], plugin: type) -> Schema:
    pattern = "|".join(re.escape(name) for name in names)
    key = re.sub(r"[^\w.-]", "_", names[0]) + ".Config"
    config = builder.defined(key, lambda: _config(builder, plugin))
    then: Schema = {"properties": {"config": config}}
    if "required" in builder.definitions[key]:
        then["required"] = ["config"]
    return {"if": {"properties": {"package": {"pattern": f"^({pattern})(@.+)?$"}}}, "then": then}


def _config(builder: SchemaBuilder, plugin: type) -> Schema:
    settings = _part_of(builder, plugin, "settings")
    rule = describe_fields(RuleConfig, builder, settings=_part_of(builder, plugin, "rule_settings"))
    rules = _objects_of(_objects_of({"anyOf": [rule, {"type": "array", "items": rule}]}))
    schema = describe_fields(
        DestinationConfig, builder, settings=settings, mapping=rules, before=_ROUTE
    )
    declared = getattr(plugin, "settings", None)
    needed = declared and describe_fields(declared, builder)
    return {**schema, "required": ["settings"]} if needed and "required" in needed else schema


def _part_of(builder: SchemaBuilder, plugin: Any, attribute: str) -> Schema:
    cls = getattr(plugin, attribute, None)
    return builder.of(cls) if cls else _no_settings()


def _objects_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}
