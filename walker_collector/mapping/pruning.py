"""Remove null leaves from mapped values, unless `nullable` keeps them.

A key with the value None is dropped. A slot of a list keeps its place: JSON has no undefined, so
null and a missing value are both None there. Values are copied only if something is removed.
"""

from collections.abc import Callable
from typing import Any, Final

from walker_collector.config import MISSING, Missing

PLAIN: Final = frozenset({str, int, float, bool, Missing})
"""Types of values without nulls inside: the quick test before `prune`."""

Clean = Callable[[Any], Any]
"""`prune`, or `keep` where nulls are values, or `no_null` for a list that is only looped over."""


def no_null(value: Any) -> Any:
    """Return the value as it is, or MISSING for None."""
    return MISSING if value is None else value


def keep(value: Any) -> Any:
    """Return the value as it is, for `nullable`."""
    return value


def prune(value: Any) -> Any:
    """Return the value without None leaves: a copy, or the value itself if it has none.

    None alone becomes MISSING.
    """
    if value is None:
        return MISSING
    return _without_null(value) if _holds_null(value) else value


def _holds_null(value: Any) -> bool:
    # Types are tested before the recursive call: calls for scalars would take most of the time.
    if type(value) is dict:
        for child in value.values():
            kind = type(child)
            if child is None or ((kind is dict or kind is list) and _holds_null(child)):
                return True
    elif type(value) is list:
        for child in value:
            kind = type(child)
            if (kind is dict or kind is list) and _holds_null(child):
                return True
    return False


def _without_null(value: Any) -> Any:
    if type(value) is dict:
        return {key: _without_null(child) for key, child in value.items() if child is not None}
    if type(value) is list:
        return [_without_null(child) for child in value]
    return value


def copy_json(value: Any) -> Any:
    """Return a copy that shares no list or dict with the JSON value."""
    if type(value) is dict:
        return {key: copy_json(child) for key, child in value.items()}
    if type(value) is list:
        return [copy_json(child) for child in value]
    return value
