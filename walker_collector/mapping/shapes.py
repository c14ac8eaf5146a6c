"""The sort of thing a mapping value makes, as far as it says so itself. Pure."""

from collections.abc import Mapping

from walker_collector.config import MISSING, AlternativesSpec, ObjectSpec, ValueSpec


def may_make_object(spec: ValueSpec | None) -> bool:
    """Tell whether a value may make an object, or nothing; False where it surely makes neither.

    A list of values (`loop`, `set`) and a constant that is no object never do; what a path or a
    function finds is not known.
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
