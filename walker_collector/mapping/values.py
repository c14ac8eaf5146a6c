"""Mapping values: what a `ValueSpec` says, compiled once into a function of input and scope.

The language is walkerOS's (version 4, `Mapping.Value`). Its less obvious rules:

- A list of alternatives yields the first that is *defined* where a value stands on its own, and
  the first that is *truthy* (else the last) inside another list or a `set`. As in JavaScript an
  empty object or list is truthy.
- An object goes by `condition`, `consent`, then one of `loop`, `map`, `set`, `key`, `fn`, the
  first there is; then `validate`. `value` is the default of all that, and the answer where
  consent is denied. A false `condition` yields nothing at all.
- `map` and `set` read the input, not what `key` found. The items of a `loop` are its `item`'s
  input; `this` as its scope is the input itself, once.
- An input with a `consent` object of its own (an event, a loop's item) is judged by that.

None leaves are pruned from what a mapping yields; `fn` and `condition` see them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen

from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    Consent,
    ObjectSpec,
    PathSpec,
    ValueSpec,
)
from walker_collector.hookspecs import Event
from walker_collector.mapping.calls import as_json, isolate
from walker_collector.mapping.fields import Entry, as_field, compile_map
from walker_collector.mapping.paths import compile_path, split, walk
from walker_collector.mapping.pruning import PLAIN, duplicate, no_null, prune
from walker_collector.mapping.scope import LocalScope, Scope
from walker_collector.naming import join

Resolve = Callable[[Any, Scope], Any]
"""Finds a value in an input; MISSING where there is none. Never raises, never changes anything."""

Clean = Callable[[Any], Any]
"""What is done to a value from the input: `prune`, or `no_null` where it is only looped over."""


def compile_value(spec: ValueSpec | None, where: str = "value") -> Resolve:
    """Return the function that resolves the value; None as a spec resolves to nothing.

    `where` is the path of the value in its flow, for logs and errors. What the function returns
    may share structure with its input. Raises ConfigError for a `fn`, `condition` or `validate`
    that cannot be called as one.
    """
    return _compile_value(spec, where, prune)


@frozen(repr=False)
class Value:
    """A mapping value in a destination's settings: `value(event, context)` resolves it.

    Equal to another one of the same spec.
    """

    spec: ValueSpec
    where: str = field(default="value", eq=False)
    _resolve: Resolve = field(init=False, eq=False)

    @_resolve.default
    def _compile(self) -> Resolve:
        return compile_value(self.spec, self.where)

    def __call__(self, event: Event, context: Scope) -> Any:
        return self._resolve(event, context)

    def __repr__(self) -> str:
        return f"<Value {self.where}>"  # a spec may hold what must not be shown


def _compile_value(spec: ValueSpec | None, where: str, clean: Clean) -> Resolve:
    if isinstance(spec, AlternativesSpec):
        return _first_defined(_items(spec.items, where, clean))
    return _compile_item(spec, where, clean)


def _compile_item(spec: ValueSpec | None, where: str, clean: Clean) -> Resolve:
    if isinstance(spec, PathSpec):
        return compile_path(spec.path, clean)
    if isinstance(spec, AlternativesSpec):
        return _first_truthy(_items(spec.items, where, clean))
    if isinstance(spec, ObjectSpec) and spec != ObjectSpec():
        return _compile_object(spec, where, clean)
    return _nothing


def _items(specs: Sequence[ValueSpec | None], where: str, clean: Clean) -> list[Resolve]:
    return [_compile_item(spec, join(where, at), clean) for at, spec in enumerate(specs)]


def _nothing(value: Any, scope: Scope) -> Any:
    return MISSING


def _constant(value: Any) -> Resolve:
    """Yield the value; a list or an object as a copy, for it outlives the event."""
    if value is MISSING:
        return _nothing
    if type(value) in PLAIN:
        return lambda _, scope: value
    return lambda _, scope: duplicate(value)


def _first_defined(items: Sequence[Resolve]) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        for item in items:
            found = item(value, scope)
            if found is not MISSING:
                return found
        return MISSING

    return resolve


def _first_truthy(items: Sequence[Resolve]) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        found: Any = MISSING
        for item in items:
            found = item(value, scope)
            if found or type(found) is dict or type(found) is list:
                return found
        return found

    return resolve


def _compile_object(spec: ObjectSpec, where: str, clean: Clean) -> Resolve:
    default = prune(spec.value)
    resolve = _compile_source(spec, where, clean)
    if spec.validate:
        resolve = _validated(resolve, isolate(spec.validate, join(where, "validate"), **_ASKED))
    if default is not MISSING:
        resolve = _with_default(resolve, _constant(default))
    if spec.consent is not None:
        resolve = _with_consent(resolve, spec.consent, _constant(default))
    if spec.condition:
        resolve = _under(isolate(spec.condition, join(where, "condition"), **_ASKED), resolve)
    return resolve


_ASKED: dict[str, Any] = {"finish": bool, "instead": False}
"""How `condition` and `validate` are called: a failure is a no."""


def _compile_source(spec: ObjectSpec, where: str, clean: Clean) -> Resolve:
    """The step of the object that finds something; the first of these that is given."""
    if spec.loop is not None:
        return _compile_loop(spec.loop, _compile_single(spec, where, clean, _nothing), where, clean)
    if spec.map is not None:
        return compile_map(
            [
                as_field(key, item)
                or Entry(key, _compile_value(item, join(where, "map", key), clean))
                for key, item in spec.map.items()
            ],
            clean,
        )
    if spec.set is not None:
        return _set(_items(spec.set, join(where, "set"), clean))
    return _compile_single(spec, where, clean, compile_path("", clean))


def _compile_single(spec: ObjectSpec, where: str, clean: Clean, otherwise: Resolve) -> Resolve:
    if spec.key:
        return _compile_key(spec.key, spec.value, clean)
    if spec.fn:
        return isolate(spec.fn, join(where, "fn"), finish=as_json, instead=MISSING)
    return otherwise if spec.value is MISSING else _constant(prune(spec.value))


def _compile_key(path: str, default: Any, clean: Clean) -> Resolve:
    """A path; behind a `*` the default stands in every slot that is missing."""
    if default is MISSING or "*" not in path:
        return compile_path(path, clean)
    segments = split(path)
    return lambda value, scope: prune(duplicate(walk(value, segments, default)))


def _compile_loop(
    loop: tuple[ValueSpec, ValueSpec], otherwise: Resolve, where: str, clean: Clean
) -> Resolve:
    scope_spec, item_spec = loop
    item = _compile_value(item_spec, join(where, "loop", 1), clean)
    if scope_spec == PathSpec("this"):
        return _once(item)
    # Only items are taken from what is looped over, so only they need pruning.
    return _loop(_compile_value(scope_spec, join(where, "loop", 0), no_null), item, otherwise)


def _once(item: Resolve) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        found = item(value, scope)
        return [] if found is MISSING else [found]

    return resolve


def _loop(find: Resolve, item: Resolve, otherwise: Resolve) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        inputs = find(value, scope)
        if type(inputs) is not list:
            return otherwise(value, scope)
        state = _consent_of(value, scope)
        if state is not scope.consent:
            scope = LocalScope(scope.event, state)
        found = [item(each, scope) for each in inputs if each is not None]
        return [each for each in found if each is not MISSING]

    return resolve


def _set(items: Sequence[Resolve]) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        found = [item(value, scope) for item in items]
        return [None if each is MISSING else each for each in found]

    return resolve


def _validated(resolve: Resolve, valid: Resolve) -> Resolve:
    def checked(value: Any, scope: Scope) -> Any:
        found = resolve(value, scope)
        return found if found is not MISSING and valid(found, scope) else MISSING

    return checked


def _with_default(resolve: Resolve, default: Resolve) -> Resolve:
    def completed(value: Any, scope: Scope) -> Any:
        found = resolve(value, scope)
        return default(value, scope) if found is MISSING else found

    return completed


def _with_consent(resolve: Resolve, required: Consent, denied: Resolve) -> Resolve:
    """Any one of the required keys is enough; see `walker_collector.consent.grants`."""
    if not required:
        return resolve
    keys = [key for key, wanted in required.items() if wanted]

    def gated(value: Any, scope: Scope) -> Any:
        state = _consent_of(value, scope)
        for key in keys:
            if state.get(key):
                return resolve(value, scope)
        return denied(value, scope)

    return gated


def _consent_of(value: Any, scope: Scope) -> Any:
    """The input's own consent object replaces what the scope says."""
    own = value.get("consent") if type(value) is dict else None
    return own if type(own) is dict else scope.consent


def _under(condition: Resolve, resolve: Resolve) -> Resolve:
    def conditional(value: Any, scope: Scope) -> Any:
        return resolve(value, scope) if condition(value, scope) else MISSING

    return conditional
