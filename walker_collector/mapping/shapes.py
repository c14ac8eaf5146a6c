"""The kind of result a mapping value can have, as far as its configuration tells. Pure."""

from collections.abc import Mapping

from walker_collector.config import MISSING, AlternativesSpec, ObjectSpec, ValueSpec


def may_make_object(spec: ValueSpec | None) -> bool:
    """Return whether a value can resolve to an object or to nothing.

    False for lists (`loop`, `set`) and for constants of another type; True for paths and
    functions, as their results are known only at run time.
    """
    if isinstance(spec, AlternativesSpec):
        return not spec.items or any(map(may_make_object, spec.items))
    if not isinstance(spec, ObjectSpec) or spec == ObjectSpec(nullable=spec.nullable):
        return True
    if isinstance(spec.value, Mapping):
        return True
    if spec.loop is None and (spec.map is not None or spec.set is not None):
        return spec.map is not None
    if spec.key or spec.fn:
        return True
    return spec.loop is None and spec.value in (MISSING, None)
