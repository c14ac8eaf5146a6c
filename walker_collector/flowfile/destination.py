"""One entry of `destinations`: its plugin found, its settings and rules structured."""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs
from attrs import frozen

from walker_collector.config import MISSING, DestinationConfig, DestinationEntry, Rules
from walker_collector.errors import ConfigError, PluginError, Problem
from walker_collector.flowfile.findings import Findings
from walker_collector.flowfile.inheritance import inherit
from walker_collector.flowfile.references import Surroundings, resolve
from walker_collector.flowfile.rules import check_keys, read_rules, sound_rules
from walker_collector.flowfile.settings import read_settings
from walker_collector.flowfile.shape import IDLE_CONFIG_KEYS, Entry, unsupported
from walker_collector.mapping import compile_mapping
from walker_collector.naming import join
from walker_collector.plugins import Registry
from walker_collector.structuring import structure

_VERSIONED: Final = re.compile(r"(@?[^@]+)@.+")
"""A package with the version walkerOS's bundler would fetch; what is installed counts here."""


@frozen
class ReadDestination:
    """What was read of a destination: ready for use, or `entry` None where there are problems.

    `require` names what it waits for, whatever else is wrong with it.
    """

    entry: DestinationEntry | None = None
    require: tuple[str, ...] = ()


def read_destination(
    id: str, raw_entry: Any, around: Surroundings, registry: Registry, found: Findings
) -> ReadDestination:
    """Read one destination; what is wrong with it is told to `found`."""
    path = join("destinations", id)
    before = len(found.problems)
    entry = found.read(raw_entry, Entry, path)
    if not isinstance(raw_entry, Mapping):
        return ReadDestination()
    if entry.disabled or entry.config.get("disabled") is True:
        around = attrs.evolve(around, lenient=True)
    raw = _merged(entry, path, around.with_variables(entry.variables), found)
    found.problems += unsupported(path, attrs.asdict(entry, recurse=False))
    found.problems += unsupported(join(path, "config"), raw)
    require = _required(raw.get("require"))
    plugin = _find_plugin(entry.package, join(path, "package"), registry, found)
    if plugin is None:
        return ReadDestination(require=require)
    config = _read_config(plugin, raw, join(path, "config"), around.lenient, found)
    if config is None or len(found.problems) > before:
        return ReadDestination(require=require)
    made = DestinationEntry(package=entry.package or "", plugin=plugin, config=config)
    return ReadDestination(made, require)


def _required(raw: Any) -> tuple[str, ...]:
    names = raw if isinstance(raw, list | tuple) else ()
    return tuple(name for name in names if isinstance(name, str))


def _find_plugin(
    package: str | None, path: str, registry: Registry, found: Findings
) -> type | None:
    if not package:
        found.add(path, "required: which plugin delivers the events, such as console")
        return None
    versioned = _VERSIONED.fullmatch(package)
    try:
        return registry.find(versioned[1] if versioned else package)
    except PluginError as error:
        found.add(path, str(error))
        return None


def _merged(entry: Entry, path: str, around: Surroundings, found: Findings) -> dict[str, Any]:
    """Return the raw config, references resolved, with the keys walkerOS allows beside it."""
    beside = {"id": entry.id, "logger": entry.logger, "mock": entry.mock, "env": entry.env}
    given = {key: value for key, value in beside.items() if value not in (None, MISSING)}
    outer = found.take(resolve(given, around, path))
    inner = found.take(resolve(entry.config, around, join(path, "config")))
    config = {
        **outer,
        **{key: value for key, value in inner.items() if key not in IDLE_CONFIG_KEYS},
    }
    if isinstance(inner.get("env"), Mapping):
        config["env"] = {**outer["env"], **inner["env"]}
    if entry.disabled:
        config["disabled"] = True
    return config


def _read_config(
    plugin: Any, raw: Mapping[str, Any], path: str, lenient: bool, found: Findings
) -> DestinationConfig | None:
    settings, wrong = read_settings(plugin, raw.get("settings"), join(path, "settings"), lenient)
    config = {key: value for key, value in raw.items() if key not in ("credentials", "mapping")}
    config["settings"] = settings
    place = join(path, "mapping")
    inherited = inherit(raw.get("mapping"), plugin, place)
    config["mapping"], problems = read_rules(plugin, inherited.rules, place)
    problems += check_keys(inherited.rules, place)
    result, more = structure(config, DestinationConfig, path)
    problems += more
    found.warnings += inherited.warnings
    found.problems += [*wrong, *inherited.problems, *map(inherited.locate, problems)]
    if result is not None:
        _compile(result, path, found)
    if not wrong:
        broken = {problem.path for problem in (*inherited.problems, *problems)}
        _check(plugin, settings, sound_rules(config["mapping"], place, broken), path, found)
    return result


def _compile(config: DestinationConfig, path: str, found: Findings) -> None:
    """Let the mapping's compiler say what it cannot work with."""
    try:
        compile_mapping(config)
    except ConfigError as error:
        found.problems += [Problem(f"{path}.{item.path}", item.message) for item in error.problems]


def _check(plugin: Any, settings: Any, rules: Rules, path: str, found: Findings) -> None:
    """Let the plugin say what does not fit together."""
    check = getattr(plugin, "check", None)
    if check is not None:
        for place, message in check(settings, rules):
            found.add(f"{path}.{place}" if place else path, message)
