"""Merge one object over another, as walkerOS does (core, assign.ts)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_LISTS: Final = frozenset({list, tuple})
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both objects as one: `above` wins, and two lists under one key are united.

    Shallow: an object replaces an object.
    """
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if type(below[key]) is list and type(above[key]) in _LISTS:
            merged[key] = _unite(below[key], above[key])
    return merged


def _unite(first: list[Any], second: Sequence[Any]) -> list[Any]:
    """Return the first list with the items of the second that it lacks.

    Objects and lists are compared by identity, as in JavaScript.
    """
    united = list(first)
    seen = {_mark(item) for item in first}
    for item in second:
        if (mark := _mark(item)) not in seen:
            seen.add(mark)
            united.append(item)
    return united


def _mark(item: Any) -> tuple[Any, Any]:
    if type(item) in _SCALARS:
        return type(item) is bool, item  # True is not 1
    return "identity", id(item)
