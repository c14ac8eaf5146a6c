"""Only JSON values without null leaves leave a mapping, unless it says `nullable`; nothing is
copied unless it must be.

A key whose value is None is dropped. A slot of a list keeps its place: JSON has no undefined, so
both null and "nothing found here" are None there.
"""

from typing import Any, Final

from walker_collector.config import MISSING, Missing

PLAIN: Final = frozenset({str, int, float, bool, Missing})
"""Types of which every value is clean already: the quick test before `prune`."""


def no_null(value: Any) -> Any:
    """Return the value as it is, or MISSING for None."""
    return MISSING if value is None else value


def keep(value: Any) -> Any:
    """Return the value as it is, for `nullable`."""
    return value


def prune(value: Any) -> Any:
    """Return the value without None leaves, itself where there is nothing to prune.

    None alone is MISSING. The input is never changed.
    """
    if value is None:
        return MISSING
    return _without_null(value) if _holds_null(value) else value


def _holds_null(value: Any) -> bool:
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
