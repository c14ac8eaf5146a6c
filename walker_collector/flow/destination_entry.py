"""Read one entry of `destinations`: find its plugin, build its settings and rules."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
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
from walker_collector.error_details import failure_of
from walker_collector.errors import ConfigError, PluginError, Problem
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.inheritance import inherit
from walker_collector.flow.plugin_settings import read_settings
from walker_collector.flow.references import ReferenceContext, resolve
from walker_collector.flow.rule_tree import check_keys, read_rules, sound_rules
from walker_collector.flow.shape import IDLE_CONFIG_KEYS, Entry
from walker_collector.flow.transformers import Transformers
from walker_collector.flow.types import CODE_PREFIX, disk_key, structure
from walker_collector.flow.unsupported import UNSUPPORTED, refuse_unsupported
from walker_collector.mapping import compile_mapping
from walker_collector.naming import join, kind
from walker_collector.plugins import Registry
from walker_collector.validators import names_destination

_OF_CONFIG: Final = {disk_key(field) for field in attrs.fields(DestinationConfig)} - {
    disk_key(field) for field in attrs.fields(Entry)
}
"""Keys that walkerOS reads in `config` only."""
_VERSIONED: Final = re.compile(r"(@?[^@]+)@.+")
"""A package with a version, for walkerOS's bundler. Here the installed version is used."""


@frozen
class ReadDestination:
    """One destination after reading: `entry` is None if it has problems.

    `require` names the destinations to wait for. It is known despite problems elsewhere.
    """

    entry: DestinationEntry | None = None
    require: tuple[str, ...] = ()


def read_destination(
    id: str,
    raw_entry: Any,
    context: ReferenceContext,
    registry: Registry,
    transformers: Transformers,
    diagnostics: Diagnostics,
) -> ReadDestination:
    """Read one destination; report its problems to `diagnostics`."""
    path = join("destinations", id)
    before = len(diagnostics.problems)
    _check_id(id, path, diagnostics)
    entry = _read_entry(raw_entry, context, path, diagnostics)
    if entry is None:
        return ReadDestination()
    context = context.with_variables(entry.variables)
    if disabled := _is_disabled(entry, context):
        # It is not run, so the machine need not have its secrets.
        context = attrs.evolve(context, lenient=True)
    raw = _merged(entry, path, context, diagnostics)
    chain = () if disabled else _chain(entry, raw, path, transformers, diagnostics)
    plugin = _find_plugin(entry, path, registry, diagnostics)
    require = _required(raw.get("require"))
    if plugin is None:
        return ReadDestination(require=require)
    config = _read_config(plugin, raw, path, context.lenient, diagnostics)
    if config is None or len(diagnostics.problems) > before:
        return ReadDestination(require=require)
    config = attrs.evolve(config, before=chain)
    made = DestinationEntry(package=entry.package or "", plugin=plugin, config=config)
    return ReadDestination(made, require)


def _check_id(id: str, path: str, diagnostics: Diagnostics) -> None:
    try:
        names_destination(None, None, id)
    except ValueError as error:
        diagnostics.add(path, str(error))


def _chain(
    entry: Entry,
    config: Mapping[str, Any],
    path: str,
    transformers: Transformers,
    diagnostics: Diagnostics,
) -> tuple[TransformerConfig, ...]:
    """Return the transformers before the mapping, and report steps that are not supported.

    walkerOS reads both beside `config` and inside it; `before` beside it wins.
    """
    refuse_unsupported(path, attrs.asdict(entry, recurse=False), diagnostics)
    refuse_unsupported(join(path, "config"), config, diagnostics)
    if entry.before:
        return transformers.chain(entry.before, join(path, "before"))
    if config.get("before"):
        return transformers.chain(config["before"], join(path, "config", "before"))
    return ()


def _read_entry(
    raw: Any, context: ReferenceContext, path: str, diagnostics: Diagnostics
) -> Entry | None:
    """Return the keys beside `config`. References in `config` and `env` are resolved later."""
    if not isinstance(raw, Mapping):
        diagnostics.read(raw, Entry, path)
        return None
    variables = raw.get("variables")
    context = context.with_variables(variables if isinstance(variables, Mapping) else None)
    misplaced = [key for key in raw if key in _OF_CONFIG]
    for key in misplaced:
        diagnostics.add(join(path, key), "stands inside config, as in walkerOS")
    kept = {key: value for key, value in raw.items() if key not in misplaced}
    scalars = {key: kept[key] for key in ("package", "disabled") if key in kept}
    if "disabled" in scalars:
        scalars["disabled"], _ = resolve(scalars["disabled"], attrs.evolve(context, lenient=True))
    return diagnostics.read({**kept, **scalars}, Entry, path)


def _is_disabled(entry: Entry, context: ReferenceContext) -> bool:
    if entry.disabled:
        return True
    context = attrs.evolve(context, lenient=True)
    config = resolve(entry.config, context)[0] if isinstance(entry.config, str) else entry.config
    disabled = config.get("disabled") if isinstance(config, Mapping) else None
    return structure(resolve(disabled, context)[0], bool)[0] is True


def _required(raw: Any) -> tuple[str, ...]:
    names = raw if isinstance(raw, list | tuple) else ()
    return tuple(name for name in names if isinstance(name, str))


def _find_plugin(
    entry: Entry, path: str, registry: Registry, diagnostics: Diagnostics
) -> type | None:
    if entry.code is not None:
        diagnostics.add(join(path, "code"), _advice_on_code(entry))
        if not entry.package:
            return None
    if not entry.package:
        diagnostics.add(
            join(path, "package"), "required: which plugin delivers the events, such as console"
        )
        return None
    versioned = _VERSIONED.fullmatch(entry.package)
    try:
        return registry.find(versioned[1] if versioned else entry.package)
    except PluginError as error:
        diagnostics.add(join(path, "package"), str(error))
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


def _merged(
    entry: Entry, path: str, context: ReferenceContext, diagnostics: Diagnostics
) -> dict[str, Any]:
    """Return the config with references resolved and the keys that walkerOS allows beside it."""
    beside = {"id": entry.id, "logger": entry.logger, "mock": entry.mock, "env": entry.env}
    given = {key: value for key, value in beside.items() if value not in (None, MISSING)}
    outer = diagnostics.take(resolve(given, context, path))
    inner = diagnostics.take(resolve(entry.config, context, join(path, "config")))
    if not isinstance(inner, Mapping):
        if not isinstance(inner, Placeholder):
            diagnostics.add(join(path, "config"), f"expected an object, got {kind(inner)}")
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
    plugin: Any, raw: Mapping[str, Any], path: str, lenient: bool, diagnostics: Diagnostics
) -> DestinationConfig | None:
    path = join(path, "config")
    settings, wrong = read_settings(
        plugin, raw.get("settings"), join(path, "settings"), lenient, diagnostics
    )
    config = {key: value for key, value in raw.items() if key not in {*UNSUPPORTED, "before"}}
    config["settings"] = settings
    place = join(path, "mapping")
    inherited = inherit(raw.get("mapping"), plugin, place)
    config["mapping"], problems = read_rules(plugin, inherited.rules, place)
    problems += check_keys(inherited.rules, place)
    result, more = structure(config, DestinationConfig, path)
    problems += more
    diagnostics.warnings += inherited.warnings
    diagnostics.problems += [*wrong, *inherited.problems, *map(inherited.locate, problems)]
    if result is not None:
        _compile(result, path, diagnostics)
    if not wrong:
        # The plugin checks the sound rules even if others are broken, so that one run of
        # `walker validate` shows every problem.
        broken = {problem.path for problem in (*inherited.problems, *problems)}
        sound = (
            sound_rules(config["mapping"], place, broken) if broken else result and result.mapping
        )
        _check(plugin, settings, sound or {}, path, diagnostics)
    if result is not None and not wrong:
        _advise(plugin, result, path, diagnostics)
    return result


def _compile(config: DestinationConfig, path: str, diagnostics: Diagnostics) -> None:
    """Report the problems that the mapping's compiler finds."""
    try:
        compile_mapping(config)
    except ConfigError as error:
        diagnostics.problems += [
            Problem(f"{path}.{item.path}", item.message) for item in error.problems
        ]


def _advise(plugin: Any, config: DestinationConfig, path: str, diagnostics: Diagnostics) -> None:
    """Report the plugin's warnings about its configuration."""
    advise = getattr(plugin, "advise", None)
    with _reported("advise", path, diagnostics):
        for place, message in advise(config) if advise is not None else ():
            diagnostics.warnings.append(f"{path}.{place}: {message}")


@contextmanager
def _reported(method: str, path: str, diagnostics: Diagnostics) -> Iterator[None]:
    """Report an exception of the plugin's code as a problem of its destination."""
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the command, and may be JSON
            yield
    except BaseException as error:
        diagnostics.add(path, f"{method} of the package raised {failure_of(error)}")


def _check(plugin: Any, settings: Any, rules: Rules, path: str, diagnostics: Diagnostics) -> None:
    """Report the plugin's objections to its configuration."""
    check = getattr(plugin, "check", None)
    with _reported("check", path, diagnostics):
        for place, message in check(settings, rules) if check is not None else ():
            diagnostics.add(f"{path}.{place}" if place else path, str(message))
