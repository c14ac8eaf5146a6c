"""Plugins: found through entry points, and verified against the contract of `hookspecs`.

A plugin that cannot be used (import error, unknown hook argument, another API version, a name
that is taken) is listed with the reason and does not affect the others. An installed extension
that would be at work and cannot be used is an error, though: its work would be left undone without
notice.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from attrs import define, field

from walker_collector.config import CollectorConfig
from walker_collector.discovery import PluginInfo as PluginInfo  # public here
from walker_collector.discovery import Plugins, instantiated, log_cause
from walker_collector.errors import PluginError
from walker_collector.extension_config import ExtensionEntry
from walker_collector.hooks import implements
from walker_collector.hookspecs import HOOKS
from walker_collector.text import counted
from walker_collector.verification import (
    Kind,
    verify_destination,
    verify_extension,
    verify_source,
)

_PREFIX: Final = re.compile(r"^(@[^/]+/)?((server|web|walker)-)?(destination-|dest-|source-)?")
"""Common beginnings of package names: `@walkeros/server-destination-`, `walker-dest-`."""

DESTINATIONS: Final = "walker_collector.destinations"
SOURCES: Final = "walker_collector.sources"
EXTENSIONS: Final = "walker_collector.extensions"


_OWN: Final = "walker-collector"
"""The package of the extensions that come along, which nobody installs for their effect alone."""


@define
class Registry:
    """The plugins available to flows; filled by `discover` and `register`."""

    _destinations: Plugins = field(init=False, factory=lambda: Plugins("destination"))
    _sources: Plugins = field(init=False, factory=lambda: Plugins("source"))
    _extensions: Plugins = field(init=False, factory=lambda: Plugins("extension"))

    def discover(self) -> "Registry":
        """Add every installed plugin; returns the registry itself.

        A plugin is imported when a flow names it.
        """
        from importlib.metadata import (
            entry_points,
        )  # here, as it takes a seventh of the import time

        self._destinations.discover(entry_points(group=DESTINATIONS))
        self._sources.discover(entry_points(group=SOURCES))
        self._extensions.discover(entry_points(group=EXTENSIONS))
        return self

    def register(self, name: str, plugin: type) -> None:
        """Add a destination class from code; raises `PluginError` if it breaks the contract."""
        verify_destination(name, plugin)
        self._destinations.add(_registered(name, "destination", plugin))

    def register_source(self, name: str, plugin: type) -> None:
        """Add a source class from code; raises `PluginError` if it breaks the contract."""
        verify_source(name, plugin)
        self._sources.add(_registered(name, "source", plugin))

    def register_extension(self, name: str, plugin: Any) -> None:
        """Add an extension from code: a class or an instance; raises `PluginError`.

        A class with settings is instantiated by each flow that names it.
        """
        verify_extension(name, plugin)
        cls = plugin if isinstance(plugin, type) else type(plugin)
        self._extensions.add(
            PluginInfo(
                name=name,
                kind="extension",
                origin=f"{cls.__module__}:{cls.__qualname__}",
                plugin=instantiated(plugin),
            )
        )

    def installed(self) -> list[PluginInfo]:
        """Return all plugins by kind and name, unusable ones with the reason; imports them all."""
        kinds = (self._destinations, self._sources, self._extensions)
        return [info for plugins in kinds for info in plugins.all()]

    def unusable_extensions(self) -> list[PluginInfo]:
        """Return the installed extensions that cannot be used, by name."""
        return [info for info in self._extensions.all() if info.error is not None]

    def extensions(self) -> dict[str, Any]:
        """Return the extensions by name.

        Raises `PluginError` if one cannot be used: it may have to keep data from destinations, or
        to see every event, and that would be left undone without notice.
        """
        for info in self.unusable_extensions():
            log_cause(info)
            raise PluginError(f"extension {info.name} {unusable(info)}")
        return {info.name: info.plugin for info in self._extensions.all() if _is_made(info.plugin)}

    def extensions_left_out(self, named: Iterable[str]) -> list[str]:
        """Return the extensions of others that a flow which names these leaves out.

        That is those that it would have if it named none.
        """
        others = set(self._extensions.names()).difference(named)
        found = [
            self._extensions.get(name)
            for name in sorted(others)
            if self._extensions.distribution_of(name) != _OWN
        ]
        return [info.name for info in found if info and _takes_part(info.plugin)]

    def find_extension(self, package: str) -> Any:
        """Return an extension by name: a class that takes settings, or else an instance.

        Raises `PluginError` as `find` does.
        """
        info = self._extensions.get(package)
        if info is None:
            raise PluginError(_not_installed(self._extensions, package, "walker-ext-NAME"))
        if info.error is not None:
            log_cause(info)
            raise PluginError(f"extension {info.name} {unusable(info)}")
        return info.plugin

    def find(self, package: str) -> type:
        """Return the destination class of a name or alias.

        Raises `PluginError` with the installed names, or the reason why it cannot be used.
        """
        return _find(self._destinations, package, "walker-dest-NAME")

    def find_source(self, package: str) -> type:
        """Return the source class of a name or alias; raises `PluginError` as `find` does."""
        return _find(self._sources, package, "walker-source-NAME")


def _find(known: Plugins, package: str, pattern: str) -> type:
    info = known.get(package) or _find_alias(known, package, pattern)
    if info.error is not None:
        log_cause(info)
        raise PluginError(f"plugin {info.name} ({info.origin}) cannot be used: {info.error}")
    return info.class_of(package)


def _find_alias(known: Plugins, package: str, pattern: str) -> PluginInfo:
    found = [info for info in known.all() if package in info.aliases]
    if not found:
        raise PluginError(_not_installed(known, package, pattern))
    if len(found) > 1:
        names = " and ".join(f"{info.name} ({info.origin})" for info in found)
        raise PluginError(f"several plugins go by {package}: {names}; name the one you mean")
    return found[0]


def _not_installed(known: Plugins, package: str, pattern: str) -> str:
    """Return a message with the nearest name, compared without the common beginnings."""
    plugins = known.all()
    names = {name for info in plugins for name in (info.name, *info.aliases)}
    near = {_PREFIX.sub("", name): name for name in sorted(names)}
    close = get_close_matches(_PREFIX.sub("", package), near, n=1)
    installed = ", ".join(known.names()) or "none"
    broken = sum(info.error is not None for info in plugins)
    return (
        f"no {known.kind} plugin named {package} is installed; "
        f"{f'did you mean {near[close[0]]}?' if close else f'installed: {installed}'}"
        f" (a plugin is a Python package: pip install {pattern})"
    ) + (f"; {_told_by_command(broken)}" if broken else "")


def _told_by_command(broken: int) -> str:
    cannot = "that cannot be used is" if broken == 1 else "that cannot be used are"
    return f"{counted(broken, 'plugin')} {cannot} shown by walker destinations"


def _registered(name: str, kind: Kind, plugin: type) -> PluginInfo:
    return PluginInfo(
        name=name,
        kind=kind,
        origin=f"{plugin.__module__}:{plugin.__qualname__}",
        aliases=tuple(getattr(plugin, "aliases", ())),
        plugin=plugin,
    )


def unusable(info: PluginInfo) -> str:
    """Return the reason why a plugin cannot be used and the remedy, to follow its name."""
    package = info.distribution or "its package"
    return f"({info.origin}) cannot be used: {info.error}; repair or uninstall {package}"


def _is_made(extension: Any) -> bool:
    """Return whether an extension needs no settings: each flow makes those that take some."""
    return not isinstance(extension, type)


def _takes_part(extension: Any) -> bool:
    """Return whether an extension is at work in flows that name none."""
    if extension is None or not _is_made(extension):
        return False
    return hasattr(extension, "watch") or any(implements(extension, hook) for hook in HOOKS)


def extensions_at_work(
    config: CollectorConfig, registry: Registry | None
) -> Mapping[str, ExtensionEntry]:
    """Return the extensions that a flow names, or else all installed ones that need no settings."""
    if config.extensions is not None:
        return config.extensions
    found = registry.extensions() if registry else {}
    return {name: ExtensionEntry(package=name, plugin=plugin) for name, plugin in found.items()}
