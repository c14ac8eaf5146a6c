"""Keys that stand at a wrong place of a flow, and the places where they belong."""

from collections.abc import Iterable
from typing import Any, Final

import attrs

from walker_collector.config import (
    CollectorConfig,
    DestinationConfig,
    RuleConfig,
    SourceConfig,
    SpoolConfig,
)
from walker_collector.flow.shape import Entry, Flow, FlowFile, ShortFlow, Source
from walker_collector.flow.types import disk_key
from walker_collector.flow.types.unknown import Places


def _keys(cls: type[Any] | None) -> set[str]:
    fields = attrs.fields(cls) if cls is not None else ()
    return {name for field in fields for name in (field.name, disk_key(field))}


def _inside(keys: Iterable[str], part: str) -> dict[str, str]:
    return {key: f'write it into {part}: {{"{part}": {{"{key}": ...}}}}' for key in keys}


_PACKAGE: Final = dict.fromkeys(
    ("type", "plugin", "kind", "name", "destination", "source"), "the plugin is named by package"
)
_OF_FLOW: Final = {
    **_inside(_keys(CollectorConfig), "collector"),
    **dict.fromkeys(("package", "settings", "mapping"), "it belongs to one of the destinations"),
}
FLOW_PLACES: Final[Places] = {
    Flow: _OF_FLOW,
    ShortFlow: {
        **_OF_FLOW,
        "default": 'several flows stand in flows: {"flows": {"default": ...}}',
    },
    FlowFile: dict.fromkeys(_keys(Flow), "it belongs to one of the flows"),
    CollectorConfig: _inside(_keys(SpoolConfig), "spool"),
    Entry: _PACKAGE,
    Source: _PACKAGE,
}
"""Keys of the outer parts of a flow file."""


def places_of_destination(plugin: Any) -> Places:
    """Return the keys that may stand at a wrong place of a destination's config."""
    settings = getattr(plugin, "settings", None)
    rule_settings = getattr(plugin, "rule_settings", None)
    of_config = dict.fromkeys(_keys(DestinationConfig), "it belongs to config of the destination")
    of_rule = dict.fromkeys(_keys(RuleConfig), "it belongs to a rule of mapping")
    places: dict[type, dict[str, str]] = {
        DestinationConfig: of_rule | _inside(_keys(settings), "settings"),
        RuleConfig: of_config | _inside(_keys(rule_settings), "settings"),
    }
    if settings is not None:
        places[settings] = of_rule | of_config
    if rule_settings is not None:
        places[rule_settings] = of_config | dict.fromkeys(
            _keys(RuleConfig), "it belongs to the rule, beside settings"
        )
    return places


def places_of_source(plugin: Any) -> Places:
    """Return the keys that may stand at a wrong place of a source's config."""
    settings = getattr(plugin, "settings", None)
    places: dict[type, dict[str, str]] = {SourceConfig: _inside(_keys(settings), "settings")}
    if settings is not None:
        places[settings] = dict.fromkeys(_keys(SourceConfig), "it belongs to config of the source")
    return places
