"""Plugins: found through entry points, and verified against the contract of `hookspecs`.

A plugin that cannot be used (import error, unknown hook argument, another API version, a name
that is taken) is listed with the reason and does not affect the others. An installed extension
that cannot be used is an error, though: its work would be left undone without notice.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import pluggy
from attrs import Factory, define, frozen

from walker_collector.error_details import failure_of
from walker_collector.errors import PluginError
from walker_collector.hooks import implements, make_manager
from walker_collector.hookspecs import API_VERSION, HOOKS, PROJECT, SOURCE_HOOKS, arguments_of
from walker_collector.naming import hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PREFIX: Final = re.compile(r"^(@[^/]+/)?((server|web|walker)-)?(destination-|dest-|source-)?")
"""Common beginnings of package names: `@walkeros/server-destination-`, `walker-dest-`."""

DESTINATIONS: Final = "walker_collector.destinations"
SOURCES: Final = "walker_collector.sources"
EXTENSIONS: Final = "walker_collector.extensions"


Kind = Literal["destination", "source", "extension"]


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
        """Add an extension from code: a class or an instance; raises `PluginError`."""
        verify_hooks(name, plugin)
        cls = plugin if isinstance(plugin, type) else type(plugin)
        self._extensions[name] = PluginInfo(
            name=name,
            kind="extension",
            origin=f"{cls.__module__}:{cls.__qualname__}",
            plugin=plugin() if isinstance(plugin, type) else plugin,
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
        return {info.name: info.plugin for info in _by_name(self._extensions)}

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
        if kind == "extension" and isinstance(plugin, type):
            plugin = plugin()
    except PluginError as error:
        return attrs.evolve(info, error=str(error))
    except BaseException as error:  # importing runs the plugin's code, which may even try to exit
        return attrs.evolve(info, error=failure_of(error))
    return attrs.evolve(info, plugin=plugin, aliases=tuple(getattr(plugin, "aliases", ())))


def _verify(kind: Kind) -> Callable[[str, Any], None]:
    if kind == "extension":
        return verify_hooks
    return verify_source if kind == "source" else verify_destination


def verify_destination(name: str, plugin: Any) -> None:
    """Check a destination class, and those of its aliases, against the contract.

    Raises `PluginError`.
    """
    for own_name, own in _with_aliases(name, plugin):
        _verify_destination_class(own_name, own)


def verify_source(name: str, plugin: Any) -> None:
    """Check a source class, and those of its aliases, against the contract.

    Raises `PluginError`.
    """
    for own_name, own in _with_aliases(name, plugin):
        _verify_class(own_name, own, "source")
        if not implements(own, "run"):
            raise PluginError(
                f"plugin {own_name}: {own.__qualname__} has no run marked with @hookimpl"
            )
        _verify_settings(own_name, own, "settings")


def _with_aliases(name: str, plugin: Any) -> Iterator[tuple[str, Any]]:
    """Yield a plugin, and the classes of its aliases, each with its name."""
    yield name, plugin
    aliases = getattr(plugin, "aliases", ())
    yield from aliases.items() if isinstance(aliases, Mapping) else ()


def _verify_class(name: str, plugin: Any, kind: Kind) -> None:
    if not isinstance(plugin, type):
        raise PluginError(f"plugin {name}: a {kind} is a class, got {plugin!r}")
    own = SOURCE_HOOKS if kind == "source" else HOOKS.keys() - SOURCE_HOOKS
    _verify_hooks(name, plugin, own)
    for hook in HOOKS.keys() - own:
        if implements(plugin, hook):
            raise PluginError(f"plugin {name}: hook {hook} is never called at a {kind}")


def _verify_settings(name: str, plugin: type, attribute: str) -> None:
    declared = getattr(plugin, attribute, None)
    if declared is not None and not attrs.has(declared):
        raise PluginError(f"plugin {name}: {attribute} must be an attrs class or None")


def _verify_destination_class(name: str, plugin: Any) -> None:
    _verify_class(name, plugin, "destination")
    if not (implements(plugin, "push") or implements(plugin, "push_batch")):
        raise PluginError(
            f"plugin {name}: {plugin.__qualname__} has neither push nor push_batch"
            " marked with @hookimpl"
        )
    for attribute in ("settings", "rule_settings"):
        _verify_settings(name, plugin, attribute)
    for attribute in ("concurrency", "batch_size", "batch_bytes", "linger"):
        number = getattr(plugin, attribute, None)
        if number is not None and (type(number) is not int or number < (attribute != "linger")):
            raise PluginError(f"plugin {name}: {attribute} must be a whole number, not {number!r}")
    _verify_message_parts(name, plugin)
    _verify_guarded(name, plugin)


def _verify_message_parts(name: str, plugin: type) -> None:
    parts = getattr(plugin, "message_parts", ())
    if not isinstance(parts, tuple) or not all(isinstance(part, str) for part in parts):
        raise PluginError(f"plugin {name}: message_parts must be a tuple of names, not {parts!r}")


def _verify_guarded(name: str, plugin: type) -> None:
    guarded: Any = getattr(plugin, "guarded", frozenset())
    if not isinstance(guarded, frozenset) or not all(isinstance(key, str) for key in guarded):
        raise PluginError(f"plugin {name}: guarded must be a frozenset of names, not {guarded!r}")


def verify_hooks(name: str, plugin: Any) -> None:
    """Check hook names and arguments, and the API version; raises `PluginError`."""
    _verify_hooks(name, plugin, HOOKS)


def _verify_hooks(name: str, plugin: Any, hooks: Iterable[str]) -> None:
    """Check a plugin whose methods of these names have to be hooks."""
    version = getattr(plugin, "api_version", 1)
    if version != API_VERSION:
        raise PluginError(
            f"plugin {name} was written for hook API {version}, this collector has"
            f" {API_VERSION}: install matching versions of both"
        )
    manager = make_manager()
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_explain(name, plugin, manager, error)) from error
    for hook in hooks:
        _verify_call(name, plugin, hook)


def _verify_call(name: str, plugin: Any, hook: str) -> None:
    """Refuse functions that would seem to have worked without ever running.

    These are hooks without a mark, which are never called, and async ones and generators, which
    return at once.
    """
    function = getattr(plugin, hook, None)
    if function is None:
        return
    if not implements(plugin, hook):
        if isinstance(plugin, type) and inspect.isfunction(function):
            raise PluginError(f"plugin {name}: {hook} is not marked with @hookimpl")
        return
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(
            f"plugin {name}: hook {hook} is async; hooks run in threads: write a plain function"
        )
    options = getattr(function, f"{PROJECT}_impl")
    wraps = options.get("wrapper") or options.get("hookwrapper")
    if inspect.isgeneratorfunction(function) and not wraps:
        raise PluginError(
            f"plugin {name}: hook {hook} is a generator, which is not run; return instead of yield,"
            " or mark it with @hookimpl(wrapper=True) if it wraps the destinations' hooks"
        )


def _explain(
    name: str, plugin: Any, manager: pluggy.PluginManager, error: pluggy.PluginValidationError
) -> str:
    """Return a message with the plugin, the hook and the argument at fault."""
    for hook in dir(plugin):
        if manager.parse_hookimpl_opts(plugin, hook) is None:
            continue
        if hook not in HOOKS:
            return f"plugin {name}: there is no hook {hook}{hint(hook, HOOKS)}"
        for argument in arguments_of(getattr(plugin, hook)):
            if argument not in HOOKS[hook]:
                given = ", ".join(HOOKS[hook])
                return f"plugin {name}: hook {hook} has no argument {argument} (there are: {given})"
    return f"plugin {name}: {error}"
