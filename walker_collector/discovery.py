"""Installed plugins: found through entry points, imported when they are first asked for.

A flow imports only the plugins that it names. Others, which may be broken, neither cost time nor
say anything.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs import Factory, define, frozen

from walker_collector.error_details import failure_of
from walker_collector.errors import PluginError
from walker_collector.tracebacks import log_traceback
from walker_collector.verification import (
    Kind,
    verify_destination,
    verify_extension,
    verify_source,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_VERIFY: Final[Mapping[Kind, Callable[[str, Any], None]]] = {
    "destination": verify_destination,
    "source": verify_source,
    "extension": verify_extension,
}


@frozen(kw_only=True)
class PluginInfo:
    """An installed plugin; `error` says why it cannot be used, `cause` is the exception."""

    name: str
    kind: Kind
    origin: str
    distribution: str | None = None
    version: str | None = None
    aliases: tuple[str, ...] = ()
    plugin: Any = attrs.field(default=None, repr=False)
    error: str | None = None
    cause: BaseException | None = attrs.field(default=None, repr=False, eq=False)

    def class_of(self, package: str) -> type:
        """Return the class for a name or an alias, which may have a class of its own."""
        aliases = getattr(self.plugin, "aliases", ())
        own = aliases.get(package) if isinstance(aliases, Mapping) else None
        return own or self.plugin  # type: ignore[no-any-return]  # verified to be a class


@define
class Plugins:
    """The plugins of one kind by name: imported ones, and entry points of others."""

    kind: Kind
    _known: dict[str, PluginInfo] = Factory(dict)
    _points: dict[str, "EntryPoint"] = Factory(dict)

    def add(self, info: PluginInfo) -> None:
        """Add a plugin from code, in place of an installed one of its name."""
        self._points.pop(info.name, None)
        self._known[info.name] = info

    def discover(self, points: Iterable["EntryPoint"]) -> None:
        """Add installed plugins; of two with one name, neither is used: the choice is arbitrary."""
        found: dict[str, EntryPoint] = {}
        for point in points:
            self._known.pop(point.name, None)
            if (first := found.get(point.name)) is not None:
                self._points.pop(point.name, None)
                self._known[point.name] = _collided(self.kind, first, point)
            else:
                self._points[point.name] = found[point.name] = point

    def get(self, name: str) -> PluginInfo | None:
        """Return a plugin by name, imported."""
        if (point := self._points.pop(name, None)) is not None:
            self._known[name] = _loaded(self.kind, point)
        return self._known.get(name)

    def names(self) -> list[str]:
        """Return the names of all, without an import."""
        return sorted(self._known | self._points)

    def all(self) -> list[PluginInfo]:
        """Return all by name, imported."""
        return [info for name in self.names() if (info := self.get(name)) is not None]

    def distribution_of(self, name: str) -> str | None:
        """Return the package that a plugin was installed with, without an import."""
        if (point := self._points.get(name)) is not None:
            return point.dist.name if point.dist else None
        info = self._known.get(name)
        return info.distribution if info else None


def log_cause(info: PluginInfo) -> None:
    """Log the traceback of a plugin that could not be imported, if tracebacks are wanted."""
    if info.cause is not None:
        log_traceback(f"{info.kind} {info.name} could not be loaded", info.cause)


def instantiated(plugin: Any) -> Any:
    """Return an extension as it is kept: a class that takes settings, else an instance."""
    if not isinstance(plugin, type) or getattr(plugin, "settings", None) is not None:
        return plugin
    return plugin()


def _found(kind: Kind, point: "EntryPoint") -> PluginInfo:
    return PluginInfo(
        name=point.name,
        kind=kind,
        origin=point.value,
        distribution=point.dist.name if point.dist else None,
        version=point.dist.version if point.dist else None,
    )


def _collided(kind: Kind, *points: "EntryPoint") -> PluginInfo:
    infos = [_found(kind, point) for point in points]
    packages = " and ".join(f"{info.distribution} ({info.origin})" for info in infos)
    error = f"two installed packages have a plugin of this name: {packages}"
    return attrs.evolve(infos[0], error=error)


def _loaded(kind: Kind, point: "EntryPoint") -> PluginInfo:
    info = _found(kind, point)
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the command, and may be JSON
            plugin = point.load()
        _VERIFY[kind](point.name, plugin)
        if kind == "extension":
            plugin = instantiated(plugin)
    except PluginError as error:
        return attrs.evolve(info, error=str(error))
    except BaseException as error:  # importing runs the plugin's code, which may even try to exit
        return attrs.evolve(info, error=failure_of(error, point.module), cause=error)
    return attrs.evolve(info, plugin=plugin, aliases=tuple(getattr(plugin, "aliases", ())))
