"""Warn of paths that begin with no part of an event: they find nothing, in any event."""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

import attrs

from walker_collector.config import (
    AlternativesSpec,
    DestinationConfig,
    ObjectSpec,
    PathSpec,
    Placeholder,
    TransformerConfig,
    ValueSpec,
)
from walker_collector.events import KEYS
from walker_collector.mapping import Value, each_rule
from walker_collector.naming import join

_INPUT: Final = "this"
"""The first value of a loop that means its input: then the second one reads that, too."""


def unread_paths(config: DestinationConfig, path: str) -> Iterator[str]:
    """Yield a warning for each path of a destination's mapping that no event has."""
    known = {*KEYS, *_written(config)}
    for place, spec in _specs(config, path):
        for where, read in _paths(spec, place):
            first = read.split(".", 1)[0]
            if first not in known and first not in ("", "*", _INPUT):
                yield f"{where}: an event has no part {first[:80]}; did you mean {_meant(read)}?"


def _meant(path: str) -> str:
    first, dot, rest = path.partition(".")
    if first == "event" and rest.partition(".")[0] in KEYS:
        return rest
    close = get_close_matches(first[:20], KEYS, 1, 0.75)
    if close:
        return f"{close[0]}{dot}{rest}"
    return f'data.{path[:80]}, or a constant: {{"value": {json.dumps(path[:80])}}}'


def _written(config: DestinationConfig) -> Iterator[str]:
    """Yield the first parts of the paths that policies write, which may be new to the event."""
    layers: list[DestinationConfig | TransformerConfig] = [config, *config.before]
    for layer in layers:
        rules = [rule for _, rule in each_rule(layer.mapping or {})]
        for policy in (layer.policy, *(rule.policy for rule in rules)):
            yield from (path.split(".", 1)[0] for path in policy or ())


def _specs(config: DestinationConfig, path: str) -> Iterator[tuple[str, ValueSpec | None]]:
    """Yield place and value of everything that reads an event."""
    rules = each_rule(config.mapping or {}, join(path, "mapping"))
    for place, layer in ((path, config), *rules):
        yield join(place, "data"), layer.data
        for key, value in (layer.policy or {}).items():
            yield join(place, "policy", key), value
        yield from _settings(layer.settings)


def _settings(settings: Any) -> Iterator[tuple[str, ValueSpec | None]]:
    for field in attrs.fields(type(settings)) if attrs.has(type(settings)) else ():
        value = getattr(settings, field.name)
        if isinstance(value, Value):
            yield value.where, value.spec


def _paths(spec: ValueSpec | None, place: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of the paths that read the event itself, not an item of a loop."""
    if isinstance(spec, PathSpec) and not isinstance(spec.path, Placeholder):
        yield place, spec.path
    elif isinstance(spec, AlternativesSpec):
        for index, item in enumerate(spec.items):
            yield from _paths(item, join(place, index))
    elif isinstance(spec, ObjectSpec):
        if spec.loop is not None:
            items, item = spec.loop
            yield from _paths(items, join(place, "loop", 0))
            if isinstance(items, PathSpec) and items.path == _INPUT:
                yield from _paths(item, join(place, "loop", 1))
        for key, value in (spec.map or {}).items():
            yield from _paths(value, join(place, "map", key))
        for index, value in enumerate(spec.set or ()):
            yield from _paths(value, join(place, "set", index))
        if spec.key and not isinstance(spec.key, Placeholder):
            yield join(place, "key"), spec.key
