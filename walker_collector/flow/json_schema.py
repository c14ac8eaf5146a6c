"""JSON Schema (draft 2020-12) of flow files, settings and rule settings."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from walker_collector.config import (
    CollectorConfig,
    DestinationConfig,
    RuleConfig,
    SourceConfig,
    SpoolConfig,
)
from walker_collector.extension_config import ExtensionConfig
from walker_collector.flow.extension_entry import Extension
from walker_collector.flow.shape import (
    IDLE_COLLECTOR_KEYS,
    IDLE_CONFIG_KEYS,
    IDLE_SOURCE_KEYS,
    VERSION,
    Entry,
    Flow,
    FlowFile,
    ShortFlow,
    Source,
)
from walker_collector.flow.source_entry import WITHOUT_EFFECT
from walker_collector.flow.types import Schema, SchemaBuilder, describe_fields
from walker_collector.flow.unsupported import OF_SOURCE, UNSUPPORTED
from walker_collector.plugins import PluginInfo, Registry
from walker_collector.verification import Kind

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_IDLE: Final[Schema] = {"description": "A key of walkerOS that has no effect here."}
_EXTRA: Final[Mapping[type, Schema]] = {
    RuleConfig: {
        "extend": {"type": "object", "description": "A patch of the rule the package ships."}
    },
    DestinationConfig: dict.fromkeys(sorted(IDLE_CONFIG_KEYS), _IDLE),
    SourceConfig: dict.fromkeys((*sorted(IDLE_SOURCE_KEYS), *sorted(WITHOUT_EFFECT)), _IDLE),
    CollectorConfig: dict.fromkeys(sorted(IDLE_COLLECTOR_KEYS), _IDLE)
    | {"globalsStatic": {"description": "The same as `globals`, which goes before it."}},
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
_ONE_PLACE: Final = {"oneOf": [{"required": ["path"]}, {"required": ["url"]}]}
"""A spool is in a file or in a database."""


def flow_schema(registry: Registry) -> Schema:
    """Return the schema of a whole flow file; each installed plugin brings its settings."""
    builder = SchemaBuilder(_EXTRA)
    parts = {
        "destinations": _objects_of(_destination(builder, registry)),
        "sources": _objects_of(_source(builder, registry)),
        "collector": builder.defined(
            CollectorConfig.__name__, lambda: _collector(builder, registry)
        ),
    }
    builder.definitions[CollectorConfig.__name__] |= _NEEDS_SPOOL
    builder.definitions[SpoolConfig.__name__] |= _ONE_PLACE
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
    choices = _choices(builder, registry, "destination", _config)
    return {**entry, "required": ["package"], "allOf": choices}


def _source(builder: SchemaBuilder, registry: Registry) -> Schema:
    """Return the schema of a source's entry, which may name a package that is not installed."""
    entry = describe_fields(Source, builder, config={"type": "object"}, before=_ROUTE, next=_ROUTE)
    for key in OF_SOURCE.keys() & entry["properties"].keys():
        del entry["properties"][key]
    return {**entry, "allOf": _choices(builder, registry, "source", _source_config)}


def _collector(builder: SchemaBuilder, registry: Registry) -> Schema:
    entry = describe_fields(Extension, builder, config={"type": "object"})
    choices = [
        _when_package(builder, "extension", [info.name], _extension_config, info.plugin)
        for info in registry.installed()
        if info.kind == "extension" and info.error is None
    ]
    extensions = _objects_of({**entry, "allOf": choices} if choices else entry)
    return describe_fields(CollectorConfig, builder, extensions=extensions)


def _extension_config(builder: SchemaBuilder, plugin: Any) -> Schema:
    cls = plugin if isinstance(plugin, type) else type(None)  # an instance takes no settings
    settings = _part_of(builder, cls, "settings")
    schema = describe_fields(ExtensionConfig, builder, settings=settings)
    return _needing_settings(schema, cls, builder)


def _choices(
    builder: SchemaBuilder,
    registry: Registry,
    kind: Kind,
    config_of: Callable[[SchemaBuilder, type], Schema],
) -> list[Schema]:
    """Return a schema for each class of plugin: its `package` decides on the `config`."""
    return [
        _when_package(builder, kind, names, config_of, plugin)
        for info in registry.installed()
        if info.kind == kind and info.error is None
        for plugin, names in _classes(info).items()
    ]


_ROUTE: Final[Schema] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}


_SUFFIXES: Final[Mapping[Kind, str]] = {
    "destination": ".Config",
    "source": ".SourceConfig",
    "extension": ".ExtensionConfig",
}


def _classes(info: PluginInfo) -> dict[type, list[str]]:
    """Return the classes of a plugin, each with the names that a flow may call it by."""
    classes: dict[type, list[str]] = {}
    for name in (info.name, *info.aliases):
        classes.setdefault(info.class_of(name), []).append(name)
    return classes


def _when_package(
    builder: SchemaBuilder,
    kind: Kind,
    names: list[str],
    config_of: Callable[[SchemaBuilder, type], Schema],
    plugin: type,
) -> Schema:
    pattern = "|".join(re.escape(name) for name in names)
    key = re.sub(r"[^\w.-]", "_", names[0]) + _SUFFIXES[kind]
    config = builder.defined(key, lambda: config_of(builder, plugin))
    then: Schema = {"properties": {"config": config}}
    if "required" in builder.definitions[key]:
        then["required"] = ["config"]
    named = {
        "properties": {"package": {"pattern": f"^({pattern})(@.+)?$"}},
        "required": ["package"],
    }
    return {"if": named, "then": then}


def _config(builder: SchemaBuilder, plugin: type) -> Schema:
    settings = _part_of(builder, plugin, "settings")
    rule = describe_fields(RuleConfig, builder, settings=_part_of(builder, plugin, "rule_settings"))
    rules = _objects_of(_objects_of({"anyOf": [rule, {"type": "array", "items": rule}]}))
    schema = describe_fields(
        DestinationConfig, builder, settings=settings, mapping=rules, before=_ROUTE
    )
    return _needing_settings(schema, plugin, builder)


def _source_config(builder: SchemaBuilder, plugin: type) -> Schema:
    settings = _part_of(builder, plugin, "settings")
    schema = describe_fields(SourceConfig, builder, settings=settings, before=_ROUTE, next=_ROUTE)
    return _needing_settings(schema, plugin, builder)


def _needing_settings(schema: Schema, plugin: type, builder: SchemaBuilder) -> Schema:
    declared = getattr(plugin, "settings", None)
    needed = declared and describe_fields(declared, builder)
    return {**schema, "required": ["settings"]} if needed and "required" in needed else schema


def _part_of(builder: SchemaBuilder, plugin: Any, attribute: str) -> Schema:
    cls = getattr(plugin, attribute, None)
    return builder.of(cls) if cls else _no_settings()


def _objects_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}
