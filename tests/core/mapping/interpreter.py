"""The mapping language read straight off its rules: slow, without any preparation.

What the compiled form must agree with. Nothing of `walker_collector.mapping` is used here.
"""

from copy import deepcopy
from typing import Any, Literal

from walker_collector.config import MISSING, AlternativesSpec, ObjectSpec, PathSpec, ValueSpec

Mode = Literal["prune", "keep", "loop"]
"""What becomes of None: it goes, it is a value, or it goes on the surface alone."""


def resolve(
    spec: ValueSpec | None, value: Any, event: Any, consent: Any, mode: Mode = "prune"
) -> Any:
    """Resolve a value that stands on its own."""
    if isinstance(spec, AlternativesSpec):
        found = (resolve_item(item, value, event, consent, mode) for item in spec.items)
        return next((each for each in found if each is not MISSING), MISSING)
    return resolve_item(spec, value, event, consent, mode)


def resolve_item(
    spec: ValueSpec | None, value: Any, event: Any, consent: Any, mode: Mode = "prune"
) -> Any:
    """Resolve a value inside of a list or a `set`."""
    if isinstance(spec, AlternativesSpec):
        found = MISSING
        for item in spec.items:
            found = resolve_item(item, value, event, consent, mode)
            if found or found is None or isinstance(found, (dict, list)):
                break
        return found
    if isinstance(spec, PathSpec):
        spec = ObjectSpec(key=spec.path)
    if spec is None or spec in (
        ObjectSpec(),
        ObjectSpec(nullable=True),
        ObjectSpec(nullable=False),
    ):
        return MISSING
    assert isinstance(spec, ObjectSpec)
    if spec.nullable is not None:
        mode = "keep" if spec.nullable else "prune"
    return resolve_object(spec, value, event, consent, mode)


def resolve_object(spec: ObjectSpec, value: Any, event: Any, consent: Any, mode: Mode) -> Any:
    """Resolve the object form."""
    if isinstance(value, dict) and isinstance(value.get("consent"), dict):
        consent = value["consent"]
    default = cleaned(spec.value, mode)
    if spec.condition and not call(spec.condition, value, event):
        return MISSING
    if spec.consent and not any(spec.consent[key] and consent.get(key) for key in spec.consent):
        return default
    found = source(spec, value, event, consent, mode)
    if spec.validate and found is not MISSING and not call(spec.validate, found, event):
        found = MISSING
    return default if found is MISSING else found


def source(spec: ObjectSpec, value: Any, event: Any, consent: Any, mode: Mode) -> Any:
    """What the object finds before `validate` and its default."""
    if spec.loop:
        found = looped(spec.loop, value, event, consent, mode)
        return single(spec, value, event, mode, MISSING) if found is MISSING else found
    if spec.map is not None:
        made = {key: resolve(item, value, event, consent, mode) for key, item in spec.map.items()}
        return {key: found for key, found in made.items() if found is not MISSING}
    if spec.set is not None:
        items = [resolve_item(item, value, event, consent, mode) for item in spec.set]
        return [None if found is MISSING else found for found in items]
    return single(spec, value, event, mode, value)


def single(spec: ObjectSpec, value: Any, event: Any, mode: Mode, otherwise: Any) -> Any:
    """What `key`, `fn` or `value` find, the first there is."""
    if spec.key:
        return cleaned(read(value, spec.key.split("."), spec.value), mode)
    if spec.fn:
        return cleaned(call(spec.fn, value, event), mode)
    return cleaned(otherwise if spec.value is MISSING else spec.value, mode)


def looped(
    loop: tuple[ValueSpec, ValueSpec], value: Any, event: Any, consent: Any, mode: Mode
) -> Any:
    """The results of the items that have one."""
    scope, item = loop
    if scope == PathSpec("this"):
        found = [resolve(item, value, event, consent, mode)]
    else:
        inputs = resolve(scope, value, event, consent, "loop")
        if not isinstance(inputs, list):
            return MISSING
        inputs = [each for each in inputs if each is not None or mode == "keep"]
        found = [resolve(item, each, event, consent, mode) for each in inputs]
    return [each for each in found if each is not MISSING]


def call(function: Any, value: Any, event: Any) -> Any:
    """Call what tests use as callables: of one argument, or of the input and the event."""
    try:
        return function(value, event) if function.__code__.co_argcount == 2 else function(value)
    except Exception:
        return MISSING


def read(value: Any, keys: list[str], default: Any) -> Any:
    """Read a path."""
    for position, key in enumerate(keys):
        if key == "*" and isinstance(value, list):
            rest = keys[position + 1 :] or [""]
            slots = [read(item, rest, default) for item in value]
            return [None if slot is MISSING else slot for slot in slots]
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list) and key == "length":
            value = len(value)
        elif isinstance(value, list) and key.isdecimal() and str(int(key)) == key:
            value = value[int(key)] if int(key) < len(value) else MISSING
        else:
            value = MISSING
        if value is MISSING:
            return default
    return value


def cleaned(value: Any, mode: Mode) -> Any:
    """A copy in which None is what the mode says; unless kept, None itself is nothing."""
    if mode == "keep":
        return deepcopy(value)
    return MISSING if value is None else _pruned(deepcopy(value))


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(child) for key, child in value.items() if child is not None}
    return [_pruned(child) for child in value] if isinstance(value, list) else value
