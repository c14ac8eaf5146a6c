"""Verification of a plugin's class against the contract of `hookspecs`.

What would seem to work, and be without effect, is refused: a hook that is never called, or does not
run. Each message names the plugin, its file and line, and the remedy.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

import attrs
import pluggy

from walker_collector.error_details import definition_of
from walker_collector.errors import PluginError
from walker_collector.events.parts import KEYS
from walker_collector.hooks import implements, make_manager
from walker_collector.hookspecs import (
    API_VERSION,
    EXTENSION_HOOKS,
    HOOKS,
    PROJECT,
    SOURCE_HOOKS,
    arguments_of,
)
from walker_collector.naming import disk_key, hint
from walker_collector.text import brief, storable, with_article

Kind = Literal["destination", "source", "extension"]

_METHODS: Final = {
    "simulate": ("event", "data", "rule", "context"),
    "simulate_consent": ("update", "state", "person", "context"),
    "estimate": ("batch", "settings"),
    "check_settings": ("settings", "rules"),
    "advise": ("config",),
    "wants_consent": ("settings",),
}
"""The methods of a destination that are no hooks, with their arguments, given by position."""
_OF_THE_CLASS: Final = ("check_settings", "advise")
"""Those that are called without an instance."""


def verify_destination(name: str, plugin: Any) -> None:
    """Check a destination class, and those of its aliases, against the contract.

    Raises `PluginError`.
    """
    for own_name, own in _with_aliases(name, plugin):
        with _located(own):
            _verify_destination_class(own_name, own)


def verify_source(name: str, plugin: Any) -> None:
    """Check a source class, and those of its aliases, against the contract.

    Raises `PluginError`.
    """
    for own_name, own in _with_aliases(name, plugin):
        with _located(own):
            _verify_source_class(own_name, own)


def _verify_source_class(name: str, plugin: Any) -> None:
    _verify_class(name, plugin, "source")
    if not implements(plugin, "run"):
        raise PluginError(f"plugin {name}: {plugin.__qualname__} has no run marked with @hookimpl")
    _verify_settings(name, plugin, "settings")


@contextmanager
def _located(plugin: Any) -> Iterator[None]:
    """Add the plugin's file and line to a PluginError, unless it has those of a hook."""
    try:
        yield
    except PluginError as error:
        text, place = str(error), definition_of(plugin)
        if not place or (text.endswith(")") and place.rpartition(":")[0] in text):
            raise
        raise PluginError(f"{text} (in {place})") from error.__cause__


def _with_aliases(name: str, plugin: Any) -> Iterator[tuple[str, Any]]:
    """Yield a plugin, and the classes of its aliases, each with its name."""
    yield name, plugin
    aliases = getattr(plugin, "aliases", ())
    yield from aliases.items() if isinstance(aliases, Mapping) else ()


def _verify_class(name: str, plugin: Any, kind: Kind) -> None:
    if not isinstance(plugin, type):
        raise PluginError(f"plugin {name}: {with_article(kind)} is a class, got {plugin!r}")
    own = SOURCE_HOOKS if kind == "source" else HOOKS.keys() - SOURCE_HOOKS - EXTENSION_HOOKS
    _verify_hooks(name, plugin, own)
    _verify_constructor(name, plugin)
    for hook in HOOKS.keys() - own:
        if implements(plugin, hook):
            raise PluginError(f"plugin {name}: hook {hook} is never called at {with_article(kind)}")


def _verify_settings(name: str, plugin: type, attribute: str) -> None:
    declared = getattr(plugin, attribute, None)
    if declared is None or (isinstance(declared, type) and attrs.has(declared)):
        return
    given = f"the class {declared.__qualname__}" if isinstance(declared, type) else repr(declared)
    raise PluginError(
        f"plugin {name}: {attribute} must be an attrs class (@attrs.frozen) or None, not"
        f" {brief(storable(given), 80)}"
    )


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
        least = 0 if attribute == "linger" else 1
        if number is not None and (type(number) is not int or number < least):
            raise PluginError(
                f"plugin {name}: {attribute} must be a whole number from {least}, not {number!r}"
            )
    if type(getattr(plugin, "relays", False)) is not bool:
        raise PluginError(f"plugin {name}: relays must be True or False, not {plugin.relays!r}")
    _verify_names(name, plugin, "message_parts", "names")
    _verify_reads(name, plugin)
    _verify_guarded(name, plugin)
    _verify_methods(name, plugin)


def _verify_names(name: str, plugin: Any, attribute: str, what: str) -> None:
    found = getattr(plugin, attribute, None)
    if found is None:
        return
    if not isinstance(found, tuple) or not all(isinstance(each, str) and each for each in found):
        raise PluginError(f"plugin {name}: {attribute} must be a tuple of {what}, not {found!r}")


def _verify_reads(name: str, plugin: Any) -> None:
    """Refuse paths that begin with no part of an event: such a plugin would get events without."""
    _verify_names(name, plugin, "reads", "paths in an event")
    for path in getattr(plugin, "reads", None) or ():
        part = path.partition(".")[0]
        if part not in KEYS:
            raise PluginError(
                f"plugin {name}: reads has {path!r}, but events have no part {part}"
                f"{hint(part, KEYS)}"
            )


def _verify_guarded(name: str, plugin: type) -> None:
    """Refuse names of no setting: the rules that they are meant for would be open to anybody."""
    guarded: Any = getattr(plugin, "guarded", frozenset())
    if not isinstance(guarded, frozenset) or not all(isinstance(key, str) for key in guarded):
        raise PluginError(f"plugin {name}: guarded must be a frozenset of names, not {guarded!r}")
    declared = getattr(plugin, "rule_settings", None)
    if declared is None:  # then there is nothing to guard
        return
    known = [disk_key(field) for field in attrs.fields(declared)]
    for key in sorted(guarded.difference(known)):
        raise PluginError(
            f"plugin {name}: guarded has {key!r}, but rule_settings have no such key, as flow files"
            f" write it{hint(key, known)}"
        )


def _verify_methods(name: str, plugin: type) -> None:
    """Refuse a method beside the hooks that cannot be called with the collector's arguments.

    Only plain functions are looked at: nobody can tell of properties, compiled or decorated ones.
    """
    for method, arguments in _METHODS.items():
        found = inspect.getattr_static(plugin, method, None)
        function = found.__func__ if isinstance(found, staticmethod) else found
        if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
            continue
        at = f"(in {definition_of(function)})"
        if inspect.iscoroutinefunction(function):
            raise PluginError(f"plugin {name}: {method} is async; write a plain function {at}")
        is_static, of_class = function is not found, method in _OF_THE_CLASS
        given = arguments if is_static or of_class else ("self", *arguments)
        try:
            inspect.signature(function).bind(*given)
        except TypeError:
            mark = "@staticmethod, and " if of_class and not is_static else ""
            form = f"def {method}({', '.join(given)})"
            raise PluginError(
                f"plugin {name}: {method} is called with {', '.join(arguments)}: write {mark}{form}"
                f" {at}"
            ) from None


def _verify_constructor(name: str, plugin: type, given: int = 0) -> None:
    """Refuse a class that cannot be instantiated with so many arguments."""
    try:
        parameters = list(inspect.signature(plugin).parameters.values())
    except (TypeError, ValueError):  # of a class written in C, say
        return
    if given and not any(each.kind is not each.KEYWORD_ONLY for each in parameters[:1]):
        raise PluginError(
            f"plugin {name}: {plugin.__qualname__}() takes no argument, but has `settings`: write"
            " def __init__(self, settings)"
        )
    needed = [
        each.name
        for each in parameters[given:]
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed:
        raise PluginError(
            f"plugin {name}: {plugin.__qualname__}() needs the arguments {', '.join(needed)}, but"
            " the collector makes its instances without any; the hooks get `context.settings`"
        )


def verify_extension(name: str, plugin: Any) -> None:
    """Check an extension, a class, an instance or a module, against the contract.

    Raises `PluginError`.
    """
    with _located(plugin if isinstance(plugin, type) else type(plugin)):
        _verify_hooks(name, plugin, HOOKS)
        _verify_reads(name, plugin)
        if not isinstance(plugin, type):
            return
        _verify_settings(name, plugin, "settings")
        _verify_constructor(name, plugin, 0 if getattr(plugin, "settings", None) is None else 1)


def _verify_hooks(name: str, plugin: Any, hooks: Iterable[str]) -> None:
    """Check the methods of a plugin that have these names of hooks."""
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
    at = f"(in {definition_of(function)})"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(
            f"plugin {name}: hook {hook} is async; hooks run in threads: write a plain function,"
            f" which may run a loop of its own; see the guide about async clients {at}"
        )
    if isinstance(plugin, type) and _takes_no_self(plugin, hook):
        raise PluginError(
            f"plugin {name}: hook {hook} has no self: write def {hook}(self, ...) {at}"
        )
    options = getattr(function, f"{PROJECT}_impl")
    wraps = options.get("wrapper") or options.get("hookwrapper")
    if inspect.isgeneratorfunction(function) and not wraps:
        raise PluginError(
            f"plugin {name}: hook {hook} is a generator, which is not run; return instead of yield,"
            f" or mark it with @hookimpl(wrapper=True) if it wraps the destinations' hooks {at}"
        )


def _takes_no_self(plugin: type, hook: str) -> bool:
    """Return whether an instance would be taken for the hook's first argument."""
    function = inspect.getattr_static(plugin, hook)
    if not inspect.isfunction(function):  # a staticmethod, classmethod, or callable object
        return False
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None:
        return True
    return first.name in HOOKS[hook] and first.kind is not first.VAR_POSITIONAL


def _explain(
    name: str, plugin: Any, manager: pluggy.PluginManager, error: pluggy.PluginValidationError
) -> str:
    """Return a message with the plugin, the hook and the argument at fault."""
    for hook in dir(plugin):
        if manager.parse_hookimpl_opts(plugin, hook) is None:
            continue
        if hook not in HOOKS:
            at = f"(in {definition_of(getattr(plugin, hook))})"
            return f"plugin {name}: there is no hook {hook}{hint(hook, HOOKS)} {at}"
        for argument in arguments_of(getattr(plugin, hook)):
            if argument not in HOOKS[hook]:
                given = ", ".join(HOOKS[hook])
                return f"plugin {name}: hook {hook} has no argument {argument} (there are: {given})"
    return f"plugin {name}: {error}"
