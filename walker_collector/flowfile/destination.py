"""One entry of `destinations`: its plugin found, its settings and rules structured."""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs
from attrs import frozen

from walker_collector.config import (
    MISSING,
    DestinationConfig,
    DestinationEntry,
    Placeholder,
    Rules,
    TransformerConfig,
)
from walker_collector.errors import ConfigError, PluginError, Problem
from walker_collector.flowfile.findings import Findings
from walker_collector.flowfile.inheritance import inherit
from walker_collector.flowfile.references import Surroundings, resolve
from walker_collector.flowfile.rules import check_keys, read_rules, sound_rules
from walker_collector.flowfile.settings import read_settings
from walker_collector.flowfile.shape import IDLE_CONFIG_KEYS, Entry
from walker_collector.flowfile.steps import UNSUPPORTED, refuse_unsupported
from walker_collector.flowfile.transformers import Transformers
from walker_collector.mapping import compile_mapping
from walker_collector.naming import join, kind
from walker_collector.plugins import Registry
from walker_collector.structuring import CODE_PREFIX, disk_key, structure
from walker_collector.validators import names_destination

_OF_CONFIG: Final = {disk_key(field) for field in attrs.fields(DestinationConfig)} - {
    disk_key(field) for field in attrs.fields(Entry)
}
"""Keys that walkerOS reads in `config` only."""
_VERSIONED: Final = re.compile(r"(@?[^@]+)@.+")
"""A package with the version walkerOS's bundler would fetch; what is installed counts here."""


@frozen
class ReadDestination:
    """A destination as it was read: ready for use, or `entry` None where there are problems.

    `require` names what it waits for, whatever else is wrong with it.
    """

    entry: DestinationEntry | None = None
    require: tuple[str, ...] = ()


def read_destination(
    id: str,
    raw_entry: Any,
    around: Surroundings,
    registry: Registry,
    transformers: Transformers,
    found: Findings,
) -> ReadDestination:
    """Read one destination; what is wrong with it is told to `found`."""
    path = join("destinations", id)
    before = len(found.problems)
    try:
        names_destination(None, None, id)
    except ValueError as error:
        found.add(path, str(error))
    entry = _read_entry(raw_entry, around, path, found)
    if entry is None:
        return ReadDestination()
    around = around.with_variables(entry.variables)
    if disabled := _is_disabled(entry, around):
        around = attrs.evolve(around, lenient=True)
    raw = _merged(entry, path, around, found)
    if not disabled:
        refuse_unsupported(path, attrs.asdict(entry, recurse=False), found)
        refuse_unsupported(join(path, "config"), raw, found)
    config = {key: value for key, value in raw.items() if key not in {*UNSUPPORTED, "before"}}
    chain = () if disabled else _chain(entry, raw, path, transformers)
    require = _required(config.get("require"))
    plugin = _find_plugin(entry, path, registry, found)
    if plugin is None:
        return ReadDestination(require=require)
    made = _read_config(plugin, config, join(path, "config"), around.lenient, found)
    if made is None or len(found.problems) > before:
        return ReadDestination(require=require)
    made = attrs.evolve(made, before=chain)
    ready = DestinationEntry(package=entry.package or "", plugin=plugin, config=made)
    return ReadDestination(ready, require)


def _chain(
    entry: Entry, config: Mapping[str, Any], path: str, transformers: Transformers
) -> tuple[TransformerConfig, ...]:
    """Return the transformers that events pass first: named beside the config, else inside."""
    if entry.before:
        return transformers.chain(entry.before, join(path, "before"))
    if config.get("before"):
        return transformers.chain(config["before"], join(path, "config", "before"))
    return ()


def _read_entry(raw: Any, around: Surroundings, path: str, found: Findings) -> Entry | None:
    """Return the keys beside `config`, which like `env` is not resolved yet."""
    if not isinstance(raw, Mapping):
        found.read(raw, Entry, path)
        return None
    variables = raw.get("variables")
    around = around.with_variables(variables if isinstance(variables, Mapping) else None)
    misplaced = [key for key in raw if key in _OF_CONFIG]
    for key in misplaced:
        found.add(join(path, key), "stands inside config, as in walkerOS")
    kept = {key: value for key, value in raw.items() if key not in misplaced}
    scalars = {key: kept[key] for key in ("package", "disabled") if key in kept}
    if "disabled" in scalars:
        scalars["disabled"], _ = resolve(scalars["disabled"], attrs.evolve(around, lenient=True))
    return found.read({**kept, **scalars}, Entry, path)


def _is_disabled(entry: Entry, around: Surroundings) -> bool:
    if entry.disabled:
        return True
    around = attrs.evolve(around, lenient=True)
    config = resolve(entry.config, around)[0] if isinstance(entry.config, str) else entry.config
    disabled = config.get("disabled") if isinstance(config, Mapping) else None
    return structure(resolve(disabled, around)[0], bool)[0] is True


def _required(raw: Any) -> tuple[str, ...]:
    names = raw if isinstance(raw, list | tuple) else ()
    return tuple(name for name in names if isinstance(name, str))


def _find_plugin(entry: Entry, path: str, registry: Registry, found: Findings) -> type | None:
    if entry.code is not None:
        found.add(join(path, "code"), _advice_on_code(entry))
        if not entry.package:
            return None
    if not entry.package:
        found.add(
            join(path, "package"), "required: which plugin delivers the events, such as console"
        )
        return None
    versioned = _VERSIONED.fullmatch(entry.package)
    try:
        return registry.find(versioned[1] if versioned else entry.package)
    except PluginError as error:
        found.add(join(path, "package"), str(error))
        return None


def _advice_on_code(entry: Entry) -> str:
    if not isinstance(entry.code, str) or entry.code.startswith(CODE_PREFIX):
        return (
            "JavaScript cannot run here; name a package (console prints events), or write a"
            " destination in Python (`walker new destination NAME`)"
        )
    if entry.package:
        return "the name of an export, which is not needed here: package says it all; remove it"
    return "the name of an export, which says nothing here; name its package instead"


def _merged(entry: Entry, path: str, around: Surroundings, found: Findings) -> dict[str, Any]:
    """Return the raw config, references resolved, with the keys walkerOS allows beside it."""
    beside = {"id": entry.id, "logger": entry.logger, "mock": entry.mock, "env": entry.env}
    given = {key: value for key, value in beside.items() if value not in (None, MISSING)}
    outer = found.take(resolve(given, around, path))
    inner = found.take(resolve(entry.config, around, join(path, "config")))
    if not isinstance(inner, Mapping):
        if not isinstance(inner, Placeholder):
            found.add(join(path, "config"), f"expected an object, got {kind(inner)}")
        inner = {}
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
    settings, wrong = read_settings(
        plugin, raw.get("settings"), join(path, "settings"), lenient, found
    )
    config = {key: value for key, value in raw.items() if key != "mapping"}
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
    if result is not None and not wrong:
        _advise(plugin, result, path, found)
    return result


def _compile(config: DestinationConfig, path: str, found: Findings) -> None:
    """Report the problems that the mapping's compiler finds."""
    try:
        compile_mapping(config)
    except ConfigError as error:
        found.problems += [Problem(f"{path}.{item.path}", item.message) for item in error.problems]


def _advise(plugin: Any, config: DestinationConfig, path: str, found: Findings) -> None:
    """Report the warnings that the plugin has of its configuration."""
    advise = getattr(plugin, "advise", None)
    for place, message in advise(config) if advise is not None else ():
        found.warnings.append(f"{path}.{place}: {message}")


def _check(plugin: Any, settings: Any, rules: Rules, path: str, found: Findings) -> None:
    """Report the problems that the plugin finds in its configuration."""
    check = getattr(plugin, "check", None)
    if check is not None:
        for place, message in check(settings, rules):
            found.add(f"{path}.{place}" if place else path, message)
