"""Read `collector.extensions`: which extensions are at work, in this order, with their settings."""

from collections.abc import Collection, Mapping
from typing import Any

from attrs import Factory, frozen

from walker_collector.discovery import log_cause
from walker_collector.error_details import failure_of
from walker_collector.errors import PluginError
from walker_collector.extension_config import ExtensionConfig, ExtensionEntry
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.plugin_settings import read_settings
from walker_collector.flow.types import structure
from walker_collector.naming import hint, join, kind
from walker_collector.plugins import Registry, unusable
from walker_collector.tracebacks import log_traceback

PATH = "collector.extensions"


@frozen(kw_only=True)
class Extension:
    """One extension of a flow: which package, with which configuration.

    package: the name of an installed extension.
    config: its settings, and the destinations that it is for.
    """

    package: str
    config: dict[str, Any] = Factory(dict)


def read_extensions(
    raw: Any, registry: Registry, lenient: bool, diagnostics: Diagnostics
) -> dict[str, ExtensionEntry] | None:
    """Read the extensions of a flow; None if it names none, so that the installed ones count."""
    if raw is None:
        for info in registry.unusable_extensions():
            log_cause(info)
            diagnostics.add(f"extension {info.name}", unusable(info))
        return None
    if not isinstance(raw, Mapping):
        diagnostics.add(PATH, f"expected an object, got {kind(raw)}")
        return {}
    found: dict[str, ExtensionEntry] = {}
    named: set[str] = set()
    for id, entry in raw.items():
        read, problems = structure(entry, Extension, join(PATH, id))
        diagnostics.problems += problems
        if read is None:
            continue
        named.add(read.package)
        # As it is: what stands for a number from the environment is read with the settings.
        config = entry.get("config") or {}
        made = _read(read.package, config, join(PATH, id), registry, lenient, diagnostics)
        if made is not None and not made.config.disabled:
            found[id] = made
    diagnostics.warnings += [
        f"{PATH}: {name} is installed, and not at work here, as the flow does not name it; name it,"
        ' with "disabled": true if that is meant'
        for name in registry.extensions_left_out(named)
    ]
    return found


def check_destinations(
    extensions: Mapping[str, ExtensionEntry] | None,
    destinations: Collection[str],
    diagnostics: Diagnostics,
) -> None:
    """Report the destinations that an extension names and the flow lacks."""
    for id, entry in (extensions or {}).items():
        for name in entry.config.destinations or ():
            if name not in destinations:
                message = f"there is no destination {name}{hint(name, destinations)}"
                diagnostics.add(join(PATH, id, "config", "destinations"), message)


def _read(
    package: str,
    raw: Mapping[str, Any],
    path: str,
    registry: Registry,
    lenient: bool,
    diagnostics: Diagnostics,
) -> ExtensionEntry | None:
    try:
        plugin = registry.find_extension(package)
    except PluginError as error:
        diagnostics.add(join(path, "package"), str(error))
        return None
    path = join(path, "config")
    settings, wrong = read_settings(
        plugin if isinstance(plugin, type) else None,
        raw.get("settings"),
        join(path, "settings"),
        lenient,
        diagnostics,
    )
    rest = {key: value for key, value in raw.items() if key != "settings"}
    config, problems = structure({**rest, "settings": settings}, ExtensionConfig, path)
    diagnostics.problems += [*wrong, *problems]
    if wrong or config is None:
        return None
    if isinstance(plugin, type):
        try:
            plugin = plugin(settings)
        except (Exception, SystemExit) as error:  # from the plugin's own code
            log_traceback(path, error)
            failure = failure_of(error, plugin.__module__)
            diagnostics.add(path, f"{plugin.__qualname__}(settings) raised {failure}")
            return None
    return ExtensionEntry(package=package, plugin=plugin, config=config)
