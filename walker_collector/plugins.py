"""Plugins: found through entry points, verified, and resolved to the hooks of each destination.

A plugin that cannot be used (import error, unknown hook argument, another API version, a name
that is taken) is listed with the reason and does not affect the others. An installed extension
that cannot be used is an error, though: its work would be left undone without notice.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import pluggy
from attrs import Factory, define, frozen

from walker_collector import hookspecs
from walker_collector.config import DestinationEntry
from walker_collector.errors import PluginError
from walker_collector.naming import hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PREFIX: Final = re.compile(r"^(@[^/]+/)?((server|web|walker)-)?(destination-|dest-)?")
"""Common beginnings of package names: `@walkeros/server-destination-`, `walker-dest-`."""

DESTINATIONS: Final = "walker_collector.destinations"
EXTENSIONS: Final = "walker_collector.extensions"

Hook = Callable[..., Any]
"""A resolved hook, called with keyword arguments only, as pluggy requires."""


@frozen(kw_only=True)
class PluginInfo:
    """An installed plugin; `error` says why it cannot be used."""

    name: str
    kind: Literal["destination", "extension"]
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

    _known: dict[str, PluginInfo] = Factory(dict)
    _extensions: dict[str, PluginInfo] = Factory(dict)

    def discover(self) -> "Registry":
        """Add every installed plugin; returns the registry itself."""
        from importlib.metadata import (
            entry_points,
        )  # here, as it takes a seventh of the import time

        self._known |= _all_loaded(entry_points(group=DESTINATIONS), "destination")
        self._extensions |= _all_loaded(entry_points(group=EXTENSIONS), "extension")
        return self

    def register(self, name: str, plugin: type) -> None:
        """Add a destination class from code; raises `PluginError` if it breaks the contract."""
        verify_destination(name, plugin)
        self._known[name] = PluginInfo(
            name=name,
            kind="destination",
            origin=f"{plugin.__module__}:{plugin.__qualname__}",
            aliases=tuple(getattr(plugin, "aliases", ())),
            plugin=plugin,
        )

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
        """Return all plugins by name, destinations first, unusable ones with the reason."""
        return [*_by_name(self._known), *_by_name(self._extensions)]

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
        info = self._known.get(package) or self._find_alias(package)
        if info.error is not None:
            raise PluginError(f"plugin {info.name} ({info.origin}) cannot be used: {info.error}")
        return info.class_of(package)

    def _find_alias(self, package: str) -> PluginInfo:
        found = [info for info in _by_name(self._known) if package in info.aliases]
        if not found:
            raise PluginError(self._not_installed(package))
        if len(found) > 1:
            names = " and ".join(f"{info.name} ({info.origin})" for info in found)
            raise PluginError(f"several plugins go by {package}: {names}; name the one you mean")
        return found[0]

    def _not_installed(self, package: str) -> str:
        """Return a message with the nearest name, compared without the common beginnings."""
        names = {name for info in self._known.values() for name in (info.name, *info.aliases)}
        near = {_PREFIX.sub("", name): name for name in sorted(names)}
        close = get_close_matches(_PREFIX.sub("", package), near, n=1)
        installed = ", ".join(sorted(self._known)) or "none"
        return (
            f"no destination plugin named {package} is installed; "
            f"{f'did you mean {near[close[0]]}?' if close else f'installed: {installed}'}"
            " (a plugin is a Python package: pip install walker-dest-NAME)"
        )


def _by_name(plugins: Mapping[str, PluginInfo]) -> list[PluginInfo]:
    return [plugins[name] for name in sorted(plugins)]


def unusable(info: PluginInfo) -> str:
    """Return the reason why a plugin cannot be used and the remedy, to follow its name."""
    package = info.distribution or "its package"
    return f"({info.origin}) cannot be used: {info.error}; mend or uninstall {package}"


def _all_loaded(
    points: Iterable["EntryPoint"], kind: Literal["destination", "extension"]
) -> dict[str, PluginInfo]:
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


def _loaded(point: "EntryPoint", kind: Literal["destination", "extension"]) -> PluginInfo:
    info = PluginInfo(
        name=point.name,
        kind=kind,
        origin=point.value,
        distribution=point.dist.name if point.dist else None,
        version=point.dist.version if point.dist else None,
    )
    try:
        plugin = point.load()
        (verify_destination if kind == "destination" else verify_hooks)(point.name, plugin)
        if kind == "extension" and isinstance(plugin, type):
            plugin = plugin()
    except PluginError as error:
        return attrs.evolve(info, error=str(error))
    except (Exception, SystemExit) as error:  # importing runs the plugin's code
        return attrs.evolve(info, error=f"{type(error).__name__}: {error}")
    return attrs.evolve(info, plugin=plugin, aliases=tuple(getattr(plugin, "aliases", ())))


# --- verification ----------------------------------------------------------------------------


def verify_destination(name: str, plugin: Any) -> None:
    """Check a destination class, and those of its aliases, against the contract.

    Raises `PluginError`.
    """
    _verify_class(name, plugin)
    aliases = getattr(plugin, "aliases", ())
    for alias, own in aliases.items() if isinstance(aliases, Mapping) else ():
        _verify_class(alias, own)


def _verify_class(name: str, plugin: Any) -> None:
    if not isinstance(plugin, type):
        raise PluginError(f"plugin {name}: a destination is a class, got {plugin!r}")
    verify_hooks(name, plugin)
    if not (implements(plugin, "push") or implements(plugin, "push_batch")):
        raise PluginError(
            f"plugin {name}: {plugin.__qualname__} has neither push nor push_batch"
            " marked with @hookimpl"
        )
    for attribute in ("settings", "rule_settings"):
        declared = getattr(plugin, attribute, None)
        if declared is not None and not attrs.has(declared):
            raise PluginError(f"plugin {name}: {attribute} must be an attrs class or None")
    for attribute in ("concurrency", "batch_size", "batch_bytes", "linger"):
        number = getattr(plugin, attribute, None)
        if number is not None and (type(number) is not int or number < (attribute != "linger")):
            raise PluginError(f"plugin {name}: {attribute} must be a whole number, not {number!r}")
    _verify_message_parts(name, plugin)


def _verify_message_parts(name: str, plugin: type) -> None:
    parts = getattr(plugin, "message_parts", ())
    if not isinstance(parts, tuple) or not all(isinstance(part, str) for part in parts):
        raise PluginError(f"plugin {name}: message_parts must be a tuple of names, not {parts!r}")


def verify_hooks(name: str, plugin: Any) -> None:
    """Check hook names and arguments, and the API version; raises `PluginError`."""
    version = getattr(plugin, "api_version", 1)
    if version != hookspecs.API_VERSION:
        raise PluginError(
            f"plugin {name} was written for hook API {version}, this collector has"
            f" {hookspecs.API_VERSION}: install matching versions of both"
        )
    manager = _make_manager()
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_explain(name, plugin, manager, error)) from error
    for hook in _SPECS:
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
    options = getattr(function, f"{hookspecs.PROJECT}_impl")
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
    specs = {spec: _arguments(getattr(hookspecs, spec)) for spec in _SPECS}
    for hook in dir(plugin):
        if manager.parse_hookimpl_opts(plugin, hook) is None:
            continue
        if hook not in specs:
            return f"plugin {name}: there is no hook {hook}{hint(hook, specs)}"
        for argument in _arguments(getattr(plugin, hook)):
            if argument not in specs[hook]:
                given = ", ".join(specs[hook])
                return f"plugin {name}: hook {hook} has no argument {argument} (there are: {given})"
    return f"plugin {name}: {error}"


def _arguments(function: Any) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(function).parameters if name != "self")


_SPECS: Final = tuple(
    name for name, spec in vars(hookspecs).items() if hasattr(spec, f"{hookspecs.PROJECT}_spec")
)


def implements(plugin: Any, hook: str) -> bool:
    """Return whether a plugin has the hook."""
    return hasattr(getattr(plugin, hook, None), f"{hookspecs.PROJECT}_impl")


def _make_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


# --- hooks of a destination ------------------------------------------------------------------


@frozen(eq=False)
class Hooks:
    """The hooks of one destination: its own, and those of the extensions.

    `instance` is the destination's plugin. `push_batch` is None if the plugin has none, and used
    instead of `push` if it has one.
    """

    instance: Any
    init: Hook
    push: Hook
    push_batch: Hook | None
    consent: Hook
    erased: Hook
    shutdown: Hook


class _PluginProxy:
    """Registered with pluggy in place of a plugin, since pluggy compares and hashes plugins.

    Two instances of one attrs class may be equal, or not hashable at all. A proxy has the plugin's
    hooks as attributes of its own, where pluggy's static look-up finds them.
    """

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        for hook in _SPECS:
            if implements(plugin, hook):
                setattr(self, hook, getattr(plugin, hook))


def connect(
    destinations: Mapping[str, DestinationEntry], extensions: Mapping[str, Any] | None = None
) -> dict[str, Hooks]:
    """Instantiate the plugin of each destination and return its resolved hooks, by id.

    Extensions are registered first, so that a destination is called before their plain hooks and
    inside their wrappers. Raises `PluginError` if a plugin cannot be instantiated.
    """
    manager = _make_manager()
    for name, extension in (extensions or {}).items():
        manager.register(_PluginProxy(extension), f"extension {name}")
    proxies = {id: _PluginProxy(_instance(id, entry.plugin)) for id, entry in destinations.items()}
    for id, proxy in proxies.items():
        manager.register(proxy, id)
    return {
        id: _resolve(manager, proxy, [other for other in proxies.values() if other is not proxy])
        for id, proxy in proxies.items()
    }


def _instance(id: str, plugin: type) -> Any:
    try:
        return plugin()
    except (Exception, SystemExit) as error:  # from the plugin's own code
        raise PluginError(
            f"destination {id}: {plugin.__qualname__}() failed: {type(error).__name__}: {error}"
        ) from error


def _direct(caller: pluggy.HookCaller, name: str) -> Hook:
    """Return the plugin's own method if it takes every argument and no extension takes part.

    A call through pluggy takes as long as decoding the event.
    """
    implementations = caller.get_hookimpls()
    if len(implementations) != 1 or implementations[0].wrapper or implementations[0].hookwrapper:
        return caller
    if set(implementations[0].argnames) != set(_arguments(getattr(hookspecs, name))):
        return caller
    return implementations[0].function


def _resolve(
    manager: pluggy.PluginManager, proxy: _PluginProxy, others: list[_PluginProxy]
) -> Hooks:
    def hook(name: str) -> pluggy.HookCaller:
        return manager.subset_hook_caller(name, others)

    return Hooks(
        instance=proxy.plugin,
        init=hook("init"),
        push=_direct(hook("push"), "push"),
        push_batch=_direct(hook("push_batch"), "push_batch")
        if implements(proxy, "push_batch")
        else None,
        consent=hook("consent"),
        erased=hook("erased"),
        shutdown=hook("shutdown"),
    )
