"""Read one entry of `destinations`: find its plugin, build its settings and rules."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final

import attrs
from attrs import frozen

from walker_collector.config import (
    DestinationConfig,
    DestinationEntry,
    Rules,
    TransformerConfig,
)
from walker_collector.error_details import definition_of, failure_of
from walker_collector.errors import PluginError
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.entry import (
    check_id,
    check_mapping,
    is_disabled,
    keys_of_config,
    merged_config,
    package_of,
    read_entry,
)
from walker_collector.flow.inheritance import inherit
from walker_collector.flow.loading import Loading
from walker_collector.flow.misplaced import places_of_destination
from walker_collector.flow.plugin_settings import read_settings
from walker_collector.flow.rule_tree import check_keys, outside_of, read_rules, sound_rules
from walker_collector.flow.shape import IDLE_CONFIG_KEYS, Entry
from walker_collector.flow.types import CODE_PREFIX, structure
from walker_collector.flow.types.unknown import keys_elsewhere
from walker_collector.flow.unread_paths import unread_paths
from walker_collector.flow.unsupported import UNSUPPORTED, refuse_unsupported
from walker_collector.mapping import each_rule
from walker_collector.naming import join
from walker_collector.text import type_name
from walker_collector.tracebacks import log_traceback

_OF_CONFIG: Final = keys_of_config(DestinationConfig, Entry)


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
    loading: Loading,
) -> ReadDestination:
    """Read one destination; report its problems to the diagnostics of `loading`."""
    context, diagnostics = loading.context, loading.diagnostics
    path = join("destinations", id)
    before = len(diagnostics.problems)
    check_id(id, path, diagnostics)
    entry = read_entry(raw_entry, Entry, _OF_CONFIG, context, path, diagnostics)
    if entry is None:
        return ReadDestination()
    context = context.with_variables(entry.variables)
    if disabled := is_disabled(entry, context):
        # It is not run, so the machine need not have its secrets.
        context = attrs.evolve(context, lenient=True)
    raw = merged_config(entry, path, context, IDLE_CONFIG_KEYS, diagnostics)
    chain = () if disabled else _chain(entry, raw, path, loading)
    plugin = _find_plugin(entry, path, loading)
    require = _required(raw.get("require"))
    if plugin is None:
        return ReadDestination(require=require)
    raw = {**raw, "before": chain}
    with keys_elsewhere(places_of_destination(plugin)):
        config = _read_config(plugin, raw, path, context.lenient, diagnostics)
    if config is None or len(diagnostics.problems) > before:
        return ReadDestination(require=require)
    made = DestinationEntry(package=entry.package or "", plugin=plugin, config=config)
    return ReadDestination(made, require)


def _chain(
    entry: Entry,
    config: Mapping[str, Any],
    path: str,
    loading: Loading,
) -> tuple[TransformerConfig, ...]:
    """Return the transformers before the mapping, and report steps that are not supported.

    walkerOS reads both beside `config` and inside it; `before` beside it wins.
    """
    refuse_unsupported(path, attrs.asdict(entry, recurse=False), loading.diagnostics)
    refuse_unsupported(join(path, "config"), config, loading.diagnostics)
    if entry.before:
        return loading.transformers.chain(entry.before, join(path, "before"))
    if config.get("before"):
        return loading.transformers.chain(config["before"], join(path, "config", "before"))
    return ()


def _required(raw: Any) -> tuple[str, ...]:
    names = raw if isinstance(raw, list | tuple) else ()
    return tuple(name for name in names if isinstance(name, str))


def _find_plugin(entry: Entry, path: str, loading: Loading) -> type | None:
    diagnostics = loading.diagnostics
    if entry.code is not None:
        diagnostics.add(join(path, "code"), _advice_on_code(entry))
        if not entry.package:
            return None
    if not entry.package:
        diagnostics.add(
            join(path, "package"), "required: which plugin delivers the events, such as console"
        )
        return None
    try:
        return loading.registry.find(package_of(entry))
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


def _read_config(
    plugin: Any, raw: Mapping[str, Any], path: str, lenient: bool, diagnostics: Diagnostics
) -> DestinationConfig | None:
    path = join(path, "config")
    settings, wrong = read_settings(
        plugin, raw.get("settings"), join(path, "settings"), lenient, diagnostics
    )
    config = {key: value for key, value in raw.items() if key not in UNSUPPORTED}
    config["settings"] = settings
    place = join(path, "mapping")
    inherited = inherit(raw.get("mapping"), plugin, place)
    config["mapping"], problems = read_rules(plugin, inherited.rules, place)
    misplaced = check_keys(inherited.rules, place)
    result, more = structure(config, DestinationConfig, path)
    problems += misplaced + outside_of(misplaced, more)
    diagnostics.warnings += inherited.warnings
    diagnostics.problems += [*wrong, *inherited.problems, *map(inherited.locate, problems)]
    if result is not None:
        check_mapping(result, path, diagnostics)
    if not wrong:
        # The plugin checks the sound rules even if others are broken, so that one run of
        # `walker validate` shows every problem.
        broken = {problem.path for problem in (*inherited.problems, *problems)}
        sound = (
            sound_rules(config["mapping"], place, broken) if broken else result and result.mapping
        )
        _check(plugin, settings, sound or {}, path, diagnostics)
    if result is not None and getattr(plugin, "relays", False):
        _refuse_consent(result, path, diagnostics)
    if result is not None and not wrong:
        diagnostics.warnings += unread_paths(result, path)
        _advise(plugin, result, path, diagnostics)
    return result


def _refuse_consent(config: DestinationConfig, path: str, diagnostics: Diagnostics) -> None:
    """Report consent that a destination requires which sends all events on, as they came."""
    rules = each_rule(config.mapping, "mapping")
    places = ["consent"] if config.consent else []
    places += [join(place, "consent") for place, rule in rules if rule.consent]
    for place in places:
        diagnostics.add(
            f"{path}.{place}",
            "nothing is held or dropped by consent here, where events are sent on with theirs: "
            "require it where they are delivered, in the flow that reads them",
        )


def _advise(plugin: Any, config: DestinationConfig, path: str, diagnostics: Diagnostics) -> None:
    """Report the plugin's warnings about its configuration."""
    advise = getattr(plugin, "advise", None)
    with _reported(plugin, "advise", path, diagnostics):
        for place, message in advise(config) if advise is not None else ():
            diagnostics.warnings.append(f"{path}.{place}: {message}")


@contextmanager
def _reported(plugin: type, method: str, path: str, diagnostics: Diagnostics) -> Iterator[None]:
    """Report an exception of the plugin's code as a problem of its destination."""
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the command, and may be JSON
            yield
    except BaseException as error:
        log_traceback(f"{path}: {method}", error)
        failure = failure_of(error, plugin.__module__)
        diagnostics.add(path, f"{method} of the package raised {failure}")


def _check(plugin: Any, settings: Any, rules: Rules, path: str, diagnostics: Diagnostics) -> None:
    """Report the plugin's objections to its configuration."""
    check = getattr(plugin, "check_settings", None)
    with _reported(plugin, "check_settings", path, diagnostics):
        found = check(settings, rules) if check is not None else ()
        pairs = list(found) if isinstance(found, Iterable) else [found]
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
            message = (
                f"check_settings of the package ({definition_of(check)}) returned"
                f" {type_name(found)}; it yields pairs: the place of a problem, and its text"
            )
            diagnostics.add(path, message)
            return
        for place, message in pairs:
            diagnostics.add(f"{path}.{place}" if place else path, str(message))
