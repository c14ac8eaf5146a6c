"""Plugins: found through entry points, and verified against the contract of `hookspecs`.

A plugin that cannot be used (import error, unknown hook argument, another API version, a name
that is taken) is listed with the reason and does not affect the others. An installed extension
that cannot be used is an error, though: its work would be left undone without notice.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs import Factory, define, frozen

from walker_collector.config import CollectorConfig
from walker_collector.error_details import failure_of
from walker_collector.errors import PluginError
from walker_collector.extension_config import ExtensionEntry
from walker_collector.hooks import implements
from walker_collector.hookspecs import HOOKS
from walker_collector.tracebacks import log_traceback
from walker_collector.verification import (
    Kind,
    verify_destination,
    verify_extension,
    verify_source,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PREFIX: Final = re.compile(r"^(@[^/]+/)?((server|web|walker)-)?(destination-|dest-|source-)?")
"""Common beginnings of package names: `@walkeros/server-destination-`, `walker-dest-`."""

DESTINATIONS: Final = "walker_collector.destinations"
SOURCES: Final = "walker_collector.sources"
EXTENSIONS: Final = "walker_collector.extensions"


@frozen(kw_only=True)
class PluginInfo:
    """An installed plugin; `error` says why it cannot be used."""

    name: str
    kind: Kind
    origin: str
    distribution: str | None = None
    version: str | None = None
    aliases: tuple[str, ...] = ()
    plugin: Any = attrs.field(default=None, repr=False)
    error: str | None = None

    def class_of(self, package: str) -> type:
        """Return the class for a name or an alias, which may have a class of its own."""
        aliases = getattr(self.plugin, "aliases", ())
        own = aliases.get(package) if isinstance(aliases, Mapping) else None
        return own or self.plugin  # type: ignore[no-any-return]  # verified to be a class


@define
class Registry:
    """The plugins available to flows; filled by `discover` and `register`."""

    _destinations: dict[str, PluginInfo] = Factory(dict)
    _sources: dict[str, PluginInfo] = Factory(dict)
    _extensions: dict[str, PluginInfo] = Factory(dict)

    def discover(self) -> "Registry":
        """Add every installed plugin; returns the registry itself."""
        from importlib.metadata import (
            entry_points,
        )  # here, as it takes a seventh of the import time

        self._destinations |= _all_loaded(entry_points(group=DESTINATIONS), "destination")
        self._sources |= _all_loaded(entry_points(group=SOURCES), "source")
        self._extensions |= _all_loaded(entry_points(group=EXTENSIONS), "extension")
        return self

    def register(self, name: str, plugin: type) -> None:
        """Add a destination class from code; raises `PluginError` if it breaks the contract."""
        verify_destination(name, plugin)
        self._destinations[name] = _registered(name, "destination", plugin)

    def register_source(self, name: str, plugin: type) -> None:
        """Add a source class from code; raises `PluginError` if it breaks the contract."""
        verify_source(name, plugin)
        self._sources[name] = _registered(name, "source", plugin)

    def register_extension(self, name: str, plugin: Any) -> None:
        """Add an extension from code: a class or an instance; raises `PluginError`.

        A class with settings is instantiated by each flow that names it.
        """
        verify_extension(name, plugin)
        cls = plugin if isinstance(plugin, type) else type(plugin)
        self._extensions[name] = PluginInfo(
            name=name,
            kind="extension",
            origin=f"{cls.__module__}:{cls.__qualname__}",
            plugin=_extension(plugin),
        )

    def installed(self) -> list[PluginInfo]:
        """Return all plugins by kind and name, unusable ones with the reason."""
        kinds = (self._destinations, self._sources, self._extensions)
        return [info for plugins in kinds for info in _by_name(plugins)]

    def unusable_extensions(self) -> list[PluginInfo]:
        """Return the installed extensions that cannot be used, by name."""
        return [info for info in _by_name(self._extensions) if info.error is not None]

    def extensions(self) -> dict[str, Any]:
        """Return the extensions by name.

        Raises `PluginError` if one cannot be used: it may have to keep data from destinations, or
        to see every event, and that would be left undone without notice.
        """
        for info in self.unusable_extensions():
            raise PluginError(f"extension {info.name} {unusable(info)}")
        return {info.name: info.plugin for info in self._without_settings()}

    def active_extensions(self) -> list[str]:
        """Return the names of the extensions at work in flows that name none: all with hooks."""
        return [info.name for info in self._without_settings() if _takes_part(info.plugin)]

    def _without_settings(self) -> list[PluginInfo]:
        return [info for info in _by_name(self._extensions) if not isinstance(info.plugin, type)]

    def find_extension(self, package: str) -> Any:
        """Return an extension by name: a class that takes settings, or else an instance.

        Raises `PluginError` as `find` does.
        """
        info = self._extensions.get(package)
        if info is None:
            raise PluginError(
                _not_installed(self._extensions, package, "extension", "walker-ext-NAME")
            )
        if info.error is not None:
            raise PluginError(f"extension {info.name} {unusable(info)}")
        return info.plugin

    def find(self, package: str) -> type:
        """Return the destination class of a name or alias.

        Raises `PluginError` with the installed names, or the reason why it cannot be used.
        """
        return _find(self._destinations, package, "destination", "walker-dest-NAME")

    def find_source(self, package: str) -> type:
        """Return the source class of a name or alias; raises `PluginError` as `find` does."""
        return _find(self._sources, package, "source", "walker-source-NAME")


def _find(known: Mapping[str, PluginInfo], package: str, kind: Kind, pattern: str) -> type:
    info = known.get(package) or _find_alias(known, package, kind, pattern)
    if info.error is not None:
        raise PluginError(f"plugin {info.name} ({info.origin}) cannot be used: {info.error}")
    return info.class_of(package)


def _find_alias(
    known: Mapping[str, PluginInfo], package: str, kind: Kind, pattern: str
) -> PluginInfo:
    found = [info for info in _by_name(known) if package in info.aliases]
    if not found:
        raise PluginError(_not_installed(known, package, kind, pattern))
    if len(found) > 1:
        names = " and ".join(f"{info.name} ({info.origin})" for info in found)
        raise PluginError(f"several plugins go by {package}: {names}; name the one you mean")
    return found[0]


def _not_installed(known: Mapping[str, PluginInfo], package: str, kind: Kind, pattern: str) -> str:
    """Return a message with the nearest name, compared without the common beginnings."""
    names = {name for info in known.values() for name in (info.name, *info.aliases)}
    near = {_PREFIX.sub("", name): name for name in sorted(names)}
    close = get_close_matches(_PREFIX.sub("", package), near, n=1)
    installed = ", ".join(sorted(known)) or "none"
    return (
        f"no {kind} plugin named {package} is installed; "
        f"{f'did you mean {near[close[0]]}?' if close else f'installed: {installed}'}"
        f" (a plugin is a Python package: pip install {pattern})"
    )


def _registered(name: str, kind: Kind, plugin: type) -> PluginInfo:
    return PluginInfo(
        name=name,
        kind=kind,
        origin=f"{plugin.__module__}:{plugin.__qualname__}",
        aliases=tuple(getattr(plugin, "aliases", ())),
        plugin=plugin,
    )


def _by_name(plugins: Mapping[str, PluginInfo]) -> list[PluginInfo]:
    return [plugins[name] for name in sorted(plugins)]


def unusable(info: PluginInfo) -> str:
    """Return the reason why a plugin cannot be used and the remedy, to follow its name."""
    package = info.distribution or "its package"
    return f"({info.origin}) cannot be used: {info.error}; repair or uninstall {package}"


def _all_loaded(points: Iterable["EntryPoint"], kind: Kind) -> dict[str, PluginInfo]:
    """Load plugins; of two with the same name neither is used, as the choice would be arbitrary."""
    found: dict[str, PluginInfo] = {}
    for point in points:
        info = _loaded(point, kind)
        first = found.get(point.name)
        found[point.name] = _collided(first, info) if first else info
    return found


def _collided(first: PluginInfo, second: PluginInfo) -> PluginInfo:
    packages = " and ".join(f"{info.distribution} ({info.origin})" for info in (first, second))
    error = f"two installed packages have a plugin of this name: {packages}"
    return attrs.evolve(first, aliases=(), plugin=None, error=error)


def _loaded(point: "EntryPoint", kind: Kind) -> PluginInfo:
    info = PluginInfo(
        name=point.name,
        kind=kind,
        origin=point.value,
        distribution=point.dist.name if point.dist else None,
        version=point.dist.version if point.dist else None,
    )
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the command, and may be JSON
            plugin = point.load()
        _verify(kind)(point.name, plugin)
        if kind == "extension":
            plugin = _extension(plugin)
    except PluginError as error:
        return attrs.evolve(info, error=str(error))
    except BaseException as error:  # importing runs the plugin's code, which may even try to exit
        log_traceback(f"plugin {point.name} could not be loaded", error)
        return attrs.evolve(info, error=failure_of(error, point.module))
    return attrs.evolve(info, plugin=plugin, aliases=tuple(getattr(plugin, "aliases", ())))


def _takes_part(extension: Any) -> bool:
    return hasattr(extension, "watch") or any(implements(extension, hook) for hook in HOOKS)


def _extension(plugin: Any) -> Any:
    """Return an extension as it is kept: a class that takes settings, else an instance."""
    if not isinstance(plugin, type) or getattr(plugin, "settings", None) is not None:
        return plugin
    return plugin()


def extensions_at_work(
    config: CollectorConfig, registry: Registry | None
) -> Mapping[str, ExtensionEntry]:
    """Return the extensions that a flow names, or else all installed ones that need no settings."""
    if config.extensions is not None:
        return config.extensions
    found = registry.extensions() if registry else {}
    return {name: ExtensionEntry(package=name, plugin=plugin) for name, plugin in found.items()}


def _verify(kind: Kind) -> Callable[[str, Any], None]:
    if kind == "extension":
        return verify_extension
    return verify_source if kind == "source" else verify_destination
