"""Compile mapping values: a `ValueSpec` becomes a function of an input and its scope.

The language is walkerOS's (version 4, `Mapping.Value`). Its less obvious rules:

- A list of alternatives yields the first *defined* one if it is a value by itself, and the first
  *truthy* one (else the last) inside another list or a `set`. As in JavaScript, an empty object
  or list is truthy.
- An object is resolved in this order: `condition`, `consent`, the first one present of `loop`,
  `map`, `set`, `key` and `fn`, then `validate`. `value` is the default of all that, and the
  result if consent is denied. A false `condition` yields nothing at all.
- `map` and `set` read the input, not the value found by `key`. Each item of a `loop` is the input
  of its second value; `this` as its first value means the input itself, once.
- An input with a `consent` object of its own (an event, a loop's item) is checked by that.

None leaves are pruned from the result; `fn` and `condition` see them. Under `nullable` a None that
is present is a value, and a missing path is still missing.
"""

from collections.abc import Sequence
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
from walker_collector.mapping.pruning import PLAIN, Clean, copy_json, keep, no_null, prune
from walker_collector.mapping.scope import Resolve, Scope, consent_of
from walker_collector.naming import join
from walker_collector.people.gate import compile_gate
from walker_collector.secret import revealed


def compile_value(spec: ValueSpec | None, where: str = "value") -> Resolve:
    """Return a function that resolves the value; for None it always returns MISSING.

    `where` is the path of the value in its flow, for logs and errors. The function's result may
    share structure with its input. Raises ConfigError for a `fn`, `condition` or `validate` with
    the wrong parameters.
    """
    return _compile_value(spec, where, prune)


def node_of(spec: ValueSpec | None, where: str = "value") -> Node:
    """Return the value as a node: for code that reads, where `compile_value` would only call."""
    return _node(spec, where, prune)


@frozen(repr=False)
class Value:
    """A mapping value in a destination's settings: `value(event, context)` resolves it.

    Two values are equal if their specs are.
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
        return f"<Value {self.where}>"  # without the spec, which may hold a secret


def uses_scope(spec: ValueSpec | None) -> bool:
    """Return whether a value reads its scope: it calls a function or requires consent."""
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
    if value is MISSING:
        return _nothing
    value = revealed(value)
    if type(value) in PLAIN:
        return lambda _, scope: value
    # A destination may change the data it gets; the constant serves all later events.
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
        resolve = _with_validate(resolve, guarded(spec.validate, join(where, "validate"), **_TEST))
    if default is not MISSING:
        resolve = _with_default(resolve, _constant(default))
    if spec.consent is not None:
        resolve = _with_consent(resolve, spec.consent, _constant(default))
    # Outermost, so that a false condition leaves out the default too.
    if spec.condition:
        resolve = _with_condition(
            resolve, guarded(spec.condition, join(where, "condition"), **_TEST)
        )
    return resolve


_TEST: dict[str, Any] = {"finish": bool, "instead": False}
"""Arguments of `guarded` for `condition` and `validate`: a failure means no."""


def _compile_source(spec: ObjectSpec, where: str, clean: Clean) -> Resolve:
    """Compile the step that finds the object's value: the first of these that is present."""
    if spec.loop is not None:
        looped = generate(_list(spec.loop, where, clean), clean, where)
        return _first_defined([looped, _compile_single(spec, where, clean, _nothing)])
    if spec.map is not None:
        return generate(_object(spec.map, where, clean), clean, where)
    if spec.set is not None:
        return _set(_items(spec.set, join(where, "set"), clean))
    return _compile_single(spec, where, clean, compile_path("", clean))


def _node(spec: ValueSpec | None, where: str, clean: Clean) -> Node:
    """Return the node for the code generator; it calls a compiled value where it has no code."""
    if node := _read(spec):
        return node
    if isinstance(spec, ObjectSpec):
        if spec.map is not None and spec == ObjectSpec(map=spec.map):
            return _object(spec.map, where, clean)
        if spec.loop is not None and spec == ObjectSpec(loop=spec.loop):
            return _list(spec.loop, where, clean)
    return CallNode(_compile_value(spec, where, clean), spec)


def _read(spec: ValueSpec | None) -> ReadNode | None:
    """Return the node of a value that is only a path of plain keys, with or without a default."""
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
        return CallNode(_once(_compile_value(item_spec, item, clean)), item_spec)
    # Only values of the items end up in the result, so pruning the whole list would be wasted.
    inputs = _read(inputs_spec) or CallNode(
        _compile_value(inputs_spec, join(where, "loop", 0), no_null), inputs_spec
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
    if default is MISSING or "*" not in path:
        return compile_path(path, clean)  # `_with_default` adds the default
    segments = split(path)
    default = revealed(default)
    # Behind a `*` every missing slot gets the default: a copy, as it may be a list or an object.
    return lambda value, scope: clean(copy_json(read_path(value, segments, default)))


def _once(item: Resolve) -> Resolve:
    """Resolve `item` for the input itself, as a list of one: a loop over `this`."""

    def resolve(value: Any, scope: Scope) -> Any:
        found = item(value, scope)
        return [] if found is MISSING else [found]

    return resolve


def _set(items: Sequence[Resolve]) -> Resolve:
    def resolve(value: Any, scope: Scope) -> Any:
        found = [item(value, scope) for item in items]
        return [None if each is MISSING else each for each in found]

    return resolve


def _with_validate(resolve: Resolve, valid: Resolve) -> Resolve:
    def validated(value: Any, scope: Scope) -> Any:
        found = resolve(value, scope)
        return found if found is not MISSING and valid(found, scope) else MISSING

    return validated


def _with_default(resolve: Resolve, default: Resolve) -> Resolve:
    def completed(value: Any, scope: Scope) -> Any:
        found = resolve(value, scope)
        return default(value, scope) if found is MISSING else found

    return completed


def _with_consent(resolve: Resolve, required: Consent, denied: Resolve) -> Resolve:
    if not required:
        return resolve
    admits = compile_gate(required)  # any one of the required keys is enough

    def gated(value: Any, scope: Scope) -> Any:
        return (resolve if admits(consent_of(value, scope)) else denied)(value, scope)

    return gated


def _with_condition(resolve: Resolve, condition: Resolve) -> Resolve:
    def conditional(value: Any, scope: Scope) -> Any:
        return resolve(value, scope) if condition(value, scope) else MISSING

    return conditional
