"""A page of tables from the JSON Schema of flow files: one section per object, one row per key."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

INTRODUCTION: Final = """\
# Every key of a flow file

This page lists the type, default and meaning of every key. [The flow file](../flow-file.md)
explains them with examples. The page is made from the JSON Schema of flow files,
[flow.schema.json](flow.schema.json), by `python docs/generate.py`. With the schema, an editor
completes keys and marks mistakes:

```json
{
  "$schema": "./flow.schema.json",
  "version": 4
}
```

`walker schema --flow > flow.schema.json` writes the schema for your installation, with the settings
of all installed destinations.

`$env.NAME` and `$secret.NAME` are allowed for text; `$var.name` is allowed everywhere. A whole
`$env.NAME` may also be a number or a boolean. A flow file may have its keys in snake_case as well;
the schema, and so an editor, has camelCase only.
"""
_SECTIONS: Final = {
    "Value": "Value",
    "ObjectSpec": "Object of a value",
    "BatchConfig": "`batch`",
    "BreakerConfig": "`breaker`",
    "RetryConfig": "`retry`",
    "SpoolConfig": "`spool`",
}
"""Definitions that are referred to, with the headings they stand under."""
_REFERENCES: Final = ("#/$defs/Variable", "#/$defs/ScalarReference", "#/$defs/Reference")
_PARTS: Final = ("settings", "rule settings")


def page(schema: Schema) -> str:
    """Return the page, as Markdown."""
    definitions = schema["$defs"]
    config = definitions["console.Config"]
    rule = config["properties"]["mapping"]["additionalProperties"]["additionalProperties"]["anyOf"]
    entry = definitions["Flow"]["properties"]["destinations"]["additionalProperties"]
    source = definitions["Flow"]["properties"]["sources"]["additionalProperties"]
    sections = [
        INTRODUCTION,
        *_section(2, "The file", schema["then"]),
        *_section(2, "A flow", definitions["Flow"]),
        *_section(2, "`collector`", definitions["CollectorConfig"]),
        *_section(3, _SECTIONS["SpoolConfig"], definitions["SpoolConfig"]),
        *_section(2, "A destination", entry),
        *_section(2, "`config` of a destination", config),
        *(
            text
            for name in ("BatchConfig", "BreakerConfig", "RetryConfig")
            for text in _section(3, _SECTIONS[name], definitions[name])
        ),
        *_section(2, "A rule of `mapping`", rule[0]),
        *_section(2, "Value", definitions["Value"]),
        *_section(3, _SECTIONS["ObjectSpec"], definitions["ObjectSpec"]),
        *_packages(definitions),
        *_section(2, "A source", source),
        *_section(2, "`config` of a source", definitions["http.SourceConfig"]),
        *_sources(definitions),
    ]
    return "\n".join(sections)


def _packages(definitions: Schema) -> Iterator[str]:
    """Yield, for each package, what its settings and its rules' settings may hold."""
    for name in sorted(definitions):
        if not name.endswith(".Config"):
            continue
        package = name.removesuffix(".Config")
        config = definitions[name]["properties"]
        rules = config["mapping"]["additionalProperties"]["additionalProperties"]["anyOf"]
        found = (config["settings"], rules[0]["properties"]["settings"])
        for part, schema in zip(_PARTS, found, strict=True):
            resolved = _resolved(schema, definitions)
            if resolved.get("properties"):
                yield from _section(2, f"`{package}`: {part}", resolved)


def _sources(definitions: Schema) -> Iterator[str]:
    """Yield, for each package of a source, what its settings may hold."""
    for name in sorted(definitions):
        if name.endswith(".SourceConfig"):
            settings = _resolved(definitions[name]["properties"]["settings"], definitions)
            yield from _section(2, f"Source `{name.removesuffix('.SourceConfig')}`", settings)


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Return a definition where a schema refers to one, alone or beside null and references."""
    for choice in schema.get("anyOf", [schema]):
        reference = choice.get("$ref")
        if reference is not None and reference not in _REFERENCES:
            found: Schema = definitions[reference.removeprefix("#/$defs/")]
            return found
    return schema


def _section(level: int, heading: str, schema: Schema) -> Iterator[str]:
    yield f"\n{'#' * level} {heading}\n"
    yield f"{schema['description']}\n"
    properties = schema.get("properties", {})
    told = {key: item for key, item in properties.items() if not _is_idle(item)}
    idle = [f"`{key}`" for key in properties if key not in told]
    if not properties:
        yield f"It is {type_of(schema)}.\n"
    if told:
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        for key, item in told.items():
            yield _row(key, item, key in schema.get("required", ()))
    if idle:
        yield f"\nRead and without effect here: {', '.join(idle)}."


def _is_idle(schema: Schema) -> bool:
    return not schema


def _row(key: str, schema: Schema, required: bool) -> str:
    default = "required" if required else _default(schema)
    meaning = schema.get("description", "").replace("|", "\\|")
    return f"| `{key}` | {type_of(schema)} | {default} | {meaning} |"


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    value = json.dumps(schema["default"]).strip('"')
    return f"`{value}`"


def type_of(schema: Schema) -> str:
    """Return a schema's type in words, without null and references, which may stand anywhere."""
    choices = [
        choice
        for choice in _choices(schema)
        if choice.get("type") != "null" and choice.get("$ref") not in _REFERENCES
    ]
    return " or ".join(dict.fromkeys(map(_one_type, choices)))


def _choices(schema: Schema) -> Iterator[Schema]:
    for choice in schema.get("anyOf", ()):
        yield from _choices(choice)
    if "anyOf" not in schema:
        yield schema


def _one_type(schema: Schema) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].removeprefix("#/$defs/"))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in values)
    if schema.get("pattern") == "^[^:$]+:[^:]+$":
        return "`module:name`"
    kind: str = schema.get("type", "any")
    if kind == "array":
        return f"list of {type_of(schema['items'])}" if schema.get("items") else "list"
    if kind == "object" and schema.get("additionalProperties"):
        return f"object of {type_of(schema['additionalProperties'])}"
    return "secret" if schema.get("writeOnly") else kind


def _link(definition: str) -> str:
    heading = _SECTIONS.get(definition)
    if heading is None:
        return "object"
    anchor = heading.strip("`").lower().replace(" ", "-")
    return f"[{anchor if definition == 'Value' else heading}](#{anchor})"
