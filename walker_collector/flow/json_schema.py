"""JSON Schema (draft 2020-12) of flow files, settings and rule settings, made from their classes.

Keys stand in camelCase. `$var.name` may stand wherever a value may, a whole `$env.NAME` where a
number or boolean may, `$env.NAME` and `$secret.NAME` where text may.
Descriptions come from docstrings: the class's first paragraph, and for a field the line
`name: what it is`, or `name, other: ...`.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs
from attrs import Factory, define

from walker_collector.config import (
    CollectorConfig,
    DestinationConfig,
    ObjectSpec,
    RuleConfig,
    Secret,
    ValueSpec,
)
from walker_collector.flow.shape import (
    IDLE_COLLECTOR_KEYS,
    IDLE_CONFIG_KEYS,
    VERSION,
    Entry,
    Flow,
    FlowFile,
    ShortFlow,
)
from walker_collector.flow.types import SHORT_FORM, SYNONYMS, disk_key
from walker_collector.flow.unsupported import UNSUPPORTED
from walker_collector.mapping import Value
from walker_collector.plugins import PluginInfo, Registry

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
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
_SCALARS: Final[Mapping[Any, Schema]] = {
    Any: {},
    str: {"type": "string"},
    Secret: {"type": "string", "writeOnly": True},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    dict: {"type": "object"},
}


_SCALAR_TYPES: Final = frozenset({"integer", "number", "boolean"})


def settings_schema(plugin: type) -> Schema:
    """Return the schema of a destination's `settings`; without a class, none are allowed."""
    return _document(getattr(plugin, "settings", None))


def rule_settings_schema(plugin: type) -> Schema:
    """Return the schema of the `settings` of a destination's mapping rules."""
    return _document(getattr(plugin, "rule_settings", None))


def _document(cls: type | None) -> Schema:
    builder = _Builder()
    schema = builder.of_class(cls) if cls else _no_settings()
    head = {"$schema": DRAFT, **schema}
    return {**head, "$defs": builder.definitions} if builder.definitions else head


def _no_settings() -> Schema:
    return {"type": "object", "additionalProperties": False}


# --- types -----------------------------------------------------------------------------------


@define
class _Builder:
    """Turns types into schemas; what refers to itself or is shared stands in `definitions`."""

    definitions: dict[str, Schema] = Factory(dict)

    def of(self, cls: Any) -> Schema:
        """Return the schema of a type, as written on disk."""
        if cls in _SCALARS:
            return dict(_SCALARS[cls])
        if cls in (ValueSpec, Value):
            return self.defined("Value", self._value)
        if attrs.has(cls):
            schema = self.defined(_name(cls), lambda: self.of_class(cls))
            return {"anyOf": [{"type": "number"}, schema]} if cls in SHORT_FORM else schema
        if isinstance(cls, type) and issubclass(cls, Enum):
            return {"enum": [member.value for member in cls]}
        return self._generic(get_origin(cls), get_args(cls))

    def of_class(self, cls: type[Any], **other: Schema) -> Schema:
        """Return the schema of an attrs class; `other` replaces properties, by their disk keys."""
        attrs.resolve_types(cls)
        fields = {disk_key(field): field for field in attrs.fields(cls) if field.init}
        told = _field_docs(cls, [field.name for field in fields.values()])
        properties = {
            key: self._property(field, told.get(field.name), other.get(key))
            for key, field in fields.items()
        }
        required = [key for key, field in fields.items() if field.default is attrs.NOTHING]
        schema: Schema = {
            "type": "object",
            "description": _summary(cls),
            "properties": {**properties, **self._more_properties(cls)},
            "additionalProperties": False,
        }
        return {**schema, "required": required} if required else schema

    def defined(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to a definition, made on first use."""
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _part(self, cls: Any) -> Schema:
        return self._or_reference(self.of(cls))

    def _property(
        self, field: "attrs.Attribute[Any]", description: str | None, instead: Schema | None
    ) -> Schema:
        """Return the schema of a field, or the one that stands instead, described."""
        schema = self._part(field.type or Any) if instead is None else dict(instead)
        default = field.default
        if isinstance(default, str | int | float) and not isinstance(default, Secret):
            schema["default"] = default
        return {**schema, "description": description} if description else schema

    def _more_properties(self, cls: type[Any]) -> Schema:
        """Return the properties beside the fields: their other names, and idle keys."""
        synonyms = SYNONYMS.get(cls, {}).items()
        return {
            **{key: {"description": f"Another name of {name}."} for key, name in synonyms},
            **_MORE_PROPERTIES.get(cls, {}),
        }

    def _or_reference(self, schema: Schema) -> Schema:
        """Let a reference stand for a value that is no string anyway."""
        choices = schema.get("anyOf", [schema])
        if any(not choice or choice.get("type") == "string" for choice in choices):
            return schema
        scalar = any(choice.get("type") in _SCALAR_TYPES for choice in choices)
        name = "Reference" if "enum" in schema else "ScalarReference" if scalar else "Variable"
        reference = self.defined(name, lambda: dict(_REFERENCES[name]))
        return {"anyOf": [*choices, reference]}

    def _generic(self, origin: Any, args: tuple[Any, ...]) -> Schema:
        if origin is Literal:
            return {"enum": list(args)}
        if origin in (Union, UnionType):
            return {"anyOf": [self.of(member) for member in args]}
        if origin is Callable:
            return _callable()
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self._part(args[1])}
        if origin is tuple and Ellipsis not in args:
            return {
                "type": "array",
                "prefixItems": [self._part(item) for item in args],
                "minItems": len(args),
                "maxItems": len(args),
            }
        return {"type": "array", "items": self._part(args[0]) if args else {}}

    def _value(self) -> Schema:
        return {
            "description": "How a value is found in an event: a path, alternatives, or steps.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"$ref": "#/$defs/Value"}},
                self.of(ObjectSpec),
            ],
        }


def _name(cls: type) -> str:
    """Return a definition's name: two plugins may each have a class `Settings`."""
    if cls.__module__ == DestinationConfig.__module__:
        return cls.__name__
    return re.sub(r"[^\w.]", "_", f"{cls.__module__}.{cls.__qualname__}")


def _callable() -> Schema:
    return {"type": "string", "pattern": "^[^:$]+:[^:]+$", "description": 'A "module:name".'}


_MORE_PROPERTIES: Final[Mapping[type, Schema]] = {
    RuleConfig: {
        "extend": {"type": "object", "description": "A patch of the rule the package ships."}
    },
    DestinationConfig: {key: {} for key in sorted(IDLE_CONFIG_KEYS)},
    CollectorConfig: {key: {} for key in (*sorted(IDLE_COLLECTOR_KEYS), "globalsStatic")},
}


# --- descriptions ----------------------------------------------------------------------------


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def _field_docs(cls: type, names: list[str]) -> dict[str, str]:
    """Return the descriptions of fields in the docstrings of a class and its bases."""
    told: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        told.update(_own_field_docs(base, names))
    return told


def _own_field_docs(cls: type, names: list[str]) -> dict[str, str]:
    told: dict[str, str] = {}
    current: list[str] = []
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        head, colon, text = line.partition(":")
        heads = re.split(r",\s*", head)
        if colon and all(name in names for name in heads):
            current = heads
            told.update(dict.fromkeys(heads, text.strip()))
        elif line.startswith(" ") and current:
            told.update({name: f"{told[name]} {line.strip()}" for name in current})
        else:
            current = []
    return told


# --- flow files ------------------------------------------------------------------------------

_IS_WEB: Final = {
    "properties": {"config": {"properties": {"platform": {"const": "web"}}}},
    "required": ["config"],
}


def flow_schema(registry: Registry) -> Schema:
    """Return the schema of a whole flow file; each installed plugin brings its settings."""
    builder = _Builder()
    parts = {
        "destinations": _objects_of(_destination(builder, registry)),
        "collector": builder.of(CollectorConfig),
    }
    flow = builder.defined("Flow", lambda: builder.of_class(Flow, **parts))
    version = {"const": VERSION}
    flows = _objects_of({"if": _IS_WEB, "then": {}, "else": flow})
    return {
        "$schema": DRAFT,
        "title": "Flow file",
        "if": {"required": ["flows"]},
        "then": builder.of_class(FlowFile, flows=flows, version=version),
        "else": builder.of_class(ShortFlow, version=version, **parts),
        "$defs": builder.definitions,
    }


def _destination(builder: _Builder, registry: Registry) -> Schema:
    """Return the schema of an entry; `package` decides the schema of its `config`."""
    entry = builder.of_class(Entry, config={"type": "object"}, before=_ROUTE)
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


def _when_package(builder: _Builder, names: list[str], plugin: type) -> Schema:
    pattern = "|".join(re.escape(name) for name in names)
    key = re.sub(r"[^\w.-]", "_", names[0]) + ".Config"
    config = builder.defined(key, lambda: _config(builder, plugin))
    then: Schema = {"properties": {"config": config}}
    if "required" in builder.definitions[key]:
        then["required"] = ["config"]
    return {"if": {"properties": {"package": {"pattern": f"^({pattern})(@.+)?$"}}}, "then": then}


def _config(builder: _Builder, plugin: type) -> Schema:
    settings = _part_of(builder, plugin, "settings")
    rule = builder.of_class(RuleConfig, settings=_part_of(builder, plugin, "rule_settings"))
    rules = _objects_of(_objects_of({"anyOf": [rule, {"type": "array", "items": rule}]}))
    schema = builder.of_class(DestinationConfig, settings=settings, mapping=rules, before=_ROUTE)
    declared = getattr(plugin, "settings", None)
    needed = declared and builder.of_class(declared)
    return {**schema, "required": ["settings"]} if needed and "required" in needed else schema


def _part_of(builder: _Builder, plugin: Any, attribute: str) -> Schema:
    cls = getattr(plugin, attribute, None)
    return builder.of(cls) if cls else _no_settings()


def _objects_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}
