"""The hooks of each destination: its plugin's own, with those of the extensions around them."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pluggy

from walker_collector import hookspecs
from walker_collector.config import DestinationEntry, SourceEntry
from walker_collector.error_details import definition_of, failure_of
from walker_collector.errors import PluginError
from walker_collector.extension_config import ExtensionConfig, ExtensionEntry
from walker_collector.hookspecs import HOOKS, PROJECT, Event, PushContext
from walker_collector.text import type_name

Hook = Callable[..., Any]
"""A resolved hook, called with keyword arguments only, as pluggy requires."""


class Hooks:
    """The hooks of one destination, each under its name, and its plugin as `instance`.

    `push_batch` is None if the plugin has none; else it is used instead of `push`. `transform` is
    None unless an extension has it. `extensions_read`: the paths of events that extensions
    read; None: any.
    """

    def __init__(
        self,
        instance: Any,
        hooks: Mapping[str, Hook | None],
        extensions_read: tuple[str, ...] | None,
    ) -> None:
        self.instance = instance
        self.extensions_read = extensions_read
        self.__dict__.update(hooks)

    if TYPE_CHECKING:

        def __getattr__(self, hook: str) -> Any: ...


_OF_EVENTS: Final = ("transform", "push", "push_batch")
"""The hooks that get events."""


class BrokenContract(PluginError):
    """A breach of the contract by a hook's result; the text has no data."""

    def __init__(self, hook: str, name: str, place: str, problem: str, advice: str) -> None:
        self.hook = hook
        self.brief = f"{name} {problem}"
        super().__init__(f"{name} ({place}) {problem}; {advice}")


def make_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows the collector's hooks."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def implements(plugin: Any, hook: str) -> bool:
    """Return whether a plugin has the hook."""
    return hasattr(getattr(plugin, hook, None), f"{PROJECT}_impl")


def connect(
    destinations: Mapping[str, DestinationEntry],
    extensions: Mapping[str, ExtensionEntry] | None = None,
) -> dict[str, Hooks]:
    """Instantiate the plugin of each destination and return its resolved hooks, by id.

    Extensions are registered first, so that a destination is called before their plain hooks and
    inside their wrappers. Raises `PluginError` if a plugin cannot be instantiated.
    """
    manager = make_manager()
    around = _registered(manager, extensions or {})
    proxies = {
        id: _PluginProxy(_instance(f"destination {id}", entry.plugin))
        for id, entry in destinations.items()
    }
    for id, proxy in proxies.items():
        manager.register(proxy, id)
    return {
        id: _resolve(
            manager,
            proxy,
            [
                *(other for other in proxies.values() if other is not proxy),
                *(other for other, config in around if not config.is_for(id)),
            ],
        )
        for id, proxy in proxies.items()
    }


def _registered(
    manager: pluggy.PluginManager, extensions: Mapping[str, ExtensionEntry]
) -> list[tuple["_PluginProxy", ExtensionConfig]]:
    """Register extensions, so that the first one is called first, and is the outermost wrapper."""
    made = [(name, _PluginProxy(entry.plugin), entry.config) for name, entry in extensions.items()]
    for name, proxy, _ in reversed(made):  # pluggy calls the last one first
        manager.register(proxy, f"extension {name}")
    return [(proxy, config) for _, proxy, config in made]


def connect_source(id: str, entry: SourceEntry, extensions: Mapping[str, ExtensionEntry]) -> Hook:
    """Instantiate the plugin of a source and return its hook `run`, with the extensions' around it.

    Extensions for some destinations only take no part. Raises `PluginError` if it cannot be
    instantiated.
    """
    manager = make_manager()
    general = {name: each for name, each in extensions.items() if each.config.destinations is None}
    _registered(manager, general)
    manager.register(_PluginProxy(_instance(f"source {id}", entry.plugin)), id)
    return manager.hook.run


class _PluginProxy:
    """Registered with pluggy in place of a plugin, since pluggy compares and hashes plugins.

    Two instances of one attrs class may be equal, or not hashable at all. A proxy has the plugin's
    hooks as attributes of its own, where pluggy's static look-up finds them.
    """

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        for hook in HOOKS:
            if implements(plugin, hook):
                setattr(self, hook, getattr(plugin, hook))


def _instance(place: str, plugin: type) -> Any:
    try:
        return plugin()
    except (Exception, SystemExit) as error:  # from the plugin's own code
        failure = failure_of(error, plugin.__module__)
        raise PluginError(f"{place}: {plugin.__qualname__}() raised {failure}") from error


def _resolve(
    manager: pluggy.PluginManager, proxy: _PluginProxy, others: list[_PluginProxy]
) -> Hooks:
    callers = {name: manager.subset_hook_caller(name, others) for name in HOOKS}
    hooks: dict[str, Hook | None] = {name: _direct(caller) for name, caller in callers.items()}
    if not implements(proxy, "push_batch"):
        hooks["push_batch"] = None  # an extension may have one, which wraps nothing here
    hooks["transform"] = _transform(callers["transform"])
    around = {
        each.plugin
        for name in _OF_EVENTS
        for each in callers[name].get_hookimpls()
        if each.plugin is not proxy
    }
    return Hooks(proxy.plugin, hooks, _reads_of(around, hooks["transform"]))


def _reads_of(extensions: Iterable[Any], transform: Hook | None) -> tuple[str, ...] | None:
    """Return the paths of events that extensions declare to read; None: they may read any."""
    if transform is not None:
        return None
    paths: list[str] = []
    for each in extensions:
        reads = getattr(each.plugin, "reads", None)
        if reads is None:
            return None
        paths += reads
    return tuple(paths)


def _transform(caller: pluggy.HookCaller) -> Hook | None:
    """Return the extensions' `transform`; a result of one, which would be lost, is an error."""
    call, implementations = _direct(caller), caller.get_hookimpls()
    if not implementations:
        return None

    def transform(*, event: Event, context: PushContext) -> None:
        result = call(event=event, context=context)
        results = result if call is caller else (result,)
        for item in results:
            if item is not None and item is not event:
                names = " or ".join(each.plugin_name for each in implementations)
                raise BrokenContract(
                    "transform",
                    f"transform of {names}",
                    ", ".join(definition_of(each.function) for each in implementations),
                    f"returned {type_name(item)}",
                    "change the event in place, and return nothing",
                )

    return transform


def _direct(caller: pluggy.HookCaller) -> Hook:
    """Return the plugin's own method if it takes every argument and no extension takes part.

    A call through pluggy takes as long as decoding the event.
    """
    implementations = caller.get_hookimpls()
    if len(implementations) != 1 or implementations[0].wrapper or implementations[0].hookwrapper:
        return caller
    if set(implementations[0].argnames) != set(HOOKS[caller.name]):
        return caller
    return implementations[0].function
