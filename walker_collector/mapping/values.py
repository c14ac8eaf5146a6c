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

None leaves are pruned from what a mapping yields; `fn` and `condition` see them. Under `nullable`
they are kept: None that stands there is a value, one that is looked for in vain is none.
"""

from collections.abc import Callable, Sequence
from itertools import chain
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
from walker_collector.consent import compile_gate
from walker_collector.hookspecs import Event
from walker_collector.mapping.callables import as_json, as_nullable_json, guarded
from walker_collector.mapping.codegen import (
    CallNode,
    LoopNode,
    Node,
    ObjectNode,
    ReadNode,
    generate,
)
from walker_collector.mapping.paths import compile_path, plain_keys, read_path, split
from walker_collector.mapping.pruning import PLAIN, copy_json, keep, no_null, prune
from walker_collector.mapping.scope import Scope, consent_of
from walker_collector.naming import join

Resolve = Callable[[Any, Scope], Any]
"""Finds a value in an input; MISSING where there is none. Never raises, never changes anything."""

Clean = Callable[[Any], Any]
"""What is done to a value from the input: `prune`, `keep` where nulls are values, or `no_null`
where it is only looped over.
"""


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


def uses_scope(spec: ValueSpec | None) -> bool:
    """Tell whether a value looks at its scope: calls somebody's code, or needs consent."""
    if isinstance(spec, AlternativesSpec):
        return any(map(uses_scope, spec.items))
    if not isinstance(spec, ObjectSpec):
        return False
    if spec.fn or spec.condition or spec.validate or spec.consent:
        return True
    parts = ((spec.map or {}).values(), spec.set or (), spec.loop or ())
    return any(map(uses_scope, chain(*parts)))


def _compile_value(spec: ValueSpec | None, where: str, clean: Clean) -> Resolve:
    if isinstance(spec, AlternativesSpec):
        return _first_defined(_items(spec.items, where, clean))
    return _compile_item(spec, where, clean)


def _compile_item(spec: ValueSpec | None, where: str, clean: Clean) -> Resolve:
    if isinstance(spec, PathSpec):
        return compile_path(spec.path, clean)
    if isinstance(spec, AlternativesSpec):
        return _first_truthy(_items(spec.items, where, clean))
    if isinstance(spec, ObjectSpec) and spec != ObjectSpec(nullable=spec.nullable):
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
    return lambda _, scope: copy_json(value)


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
            if found or found is None or type(found) is dict or type(found) is list:
                return found
        return found

    return resolve


def _compile_object(spec: ObjectSpec, where: str, clean: Clean) -> Resolve:
    if spec.nullable is not None:
        clean = keep if spec.nullable else prune
    default = clean(spec.value)
    resolve = _compile_source(spec, where, clean)
    if spec.validate:
        resolve = _validated(resolve, guarded(spec.validate, join(where, "validate"), **_ASKED))
    if default is not MISSING:
        resolve = _with_default(resolve, _constant(default))
    if spec.consent is not None:
        resolve = _with_consent(resolve, spec.consent, _constant(default))
    if spec.condition:
        resolve = _under(guarded(spec.condition, join(where, "condition"), **_ASKED), resolve)
    return resolve


_ASKED: dict[str, Any] = {"finish": bool, "instead": False}
"""How `condition` and `validate` are called: a failure is a no."""


def _compile_source(spec: ObjectSpec, where: str, clean: Clean) -> Resolve:
    """The step of the object that finds something; the first of these that is given."""
    if spec.loop is not None:
        looped = generate(_list(spec.loop, where, clean), clean, where)
        return _first_defined([looped, _compile_single(spec, where, clean, _nothing)])
    if spec.map is not None:
        return generate(_object(spec.map, where, clean), clean, where)
    if spec.set is not None:
        return _set(_items(spec.set, join(where, "set"), clean))
    return _compile_single(spec, where, clean, compile_path("", clean))


def _node(spec: ValueSpec | None, where: str, clean: Clean) -> Node:
    """What code is generated for, as far as that goes: the rest is a call of what is compiled."""
    if node := _read(spec):
        return node
    if isinstance(spec, ObjectSpec):
        if spec.map is not None and spec == ObjectSpec(map=spec.map):
            return _object(spec.map, where, clean)
        if spec.loop is not None and spec == ObjectSpec(loop=spec.loop):
            return _list(spec.loop, where, clean)
    return CallNode(_compile_value(spec, where, clean))


def _read(spec: ValueSpec | None) -> ReadNode | None:
    """The keys and the plain default of a value that says no more than these."""
    if isinstance(spec, ObjectSpec) and spec.key and type(spec.value) in PLAIN:
        path, default = spec.key, spec.value
        if spec != ObjectSpec(key=path, value=default):
            return None
    elif isinstance(spec, PathSpec):
        path, default = spec.path, MISSING
    else:
        return None
    keys = plain_keys(path)
    return None if keys is None else ReadNode(keys, default)


def _object(entries: dict[str, ValueSpec | None], where: str, clean: Clean) -> ObjectNode:
    return ObjectNode(
        tuple((key, _node(spec, join(where, "map", key), clean)) for key, spec in entries.items())
    )


def _list(loop: tuple[ValueSpec, ValueSpec], where: str, clean: Clean) -> LoopNode | CallNode:
    inputs_spec, item_spec = loop
    item = join(where, "loop", 1)
    if inputs_spec == PathSpec("this"):
        return CallNode(_once(_compile_value(item_spec, item, clean)))
    # Only items are taken from what is looped over, so only they need pruning.
    inputs = _read(inputs_spec) or CallNode(
        _compile_value(inputs_spec, join(where, "loop", 0), no_null)
    )
    return LoopNode(inputs, _node(item_spec, item, clean), uses_scope(item_spec))


def _compile_single(spec: ObjectSpec, where: str, clean: Clean, otherwise: Resolve) -> Resolve:
    if spec.key:
        return _compile_key(spec.key, spec.value, clean)
    if spec.fn:
        finish = as_nullable_json if clean is keep else as_json
        return guarded(spec.fn, join(where, "fn"), finish=finish, instead=MISSING)
    return otherwise if spec.value is MISSING else _constant(clean(spec.value))


def _compile_key(path: str, default: Any, clean: Clean) -> Resolve:
    """A path; behind a `*` the default stands in every slot that is missing."""
    if default is MISSING or "*" not in path:
        return compile_path(path, clean)
    segments = split(path)
    return lambda value, scope: clean(copy_json(read_path(value, segments, default)))


def _once(item: Resolve) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        found = item(value, scope)
        return [] if found is MISSING else [found]

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
    admits = compile_gate(required)

    def gated(value: Any, scope: Scope) -> Any:
        return (resolve if admits(consent_of(value, scope)) else denied)(value, scope)

    return gated


def _under(condition: Resolve, resolve: Resolve) -> Resolve:
    def conditional(value: Any, scope: Scope) -> Any:
        return resolve(value, scope) if condition(value, scope) else MISSING

    return conditional
