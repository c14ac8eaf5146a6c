"""Reason, wait and place of a plugin's exception, even if its class has odd attributes."""

import traceback
from typing import Any, Final

from walker_collector.text import storable, type_name

_PYTHONS_OWN: Final = (ImportError, SyntaxError, AttributeError, NameError)


def attribute_of(error: BaseException, name: str) -> Any:
    """Return an attribute of an exception; None if it has none, or if reading it raises."""
    try:
        return getattr(error, name, None)
    except BaseException:  # a property of a plugin's class may raise anything, even SystemExit
        return None


def reason_of(error: BaseException) -> str:
    """Return the reason of one of the collector's errors; never empty, never raises."""
    reason = attribute_of(error, "reason")
    return storable(error if reason is None else reason) or type_name(error)


def after_of(error: BaseException) -> float | None:
    """Return the wait (s) that an error asks for, if it is a number; never raises."""
    after = attribute_of(error, "after")
    # Exactly these types: a subclass may have comparisons that raise.
    return after if type(after) is float or type(after) is int else None


def place_of(error: BaseException) -> str:
    """Return file and line where an exception was raised; never raises."""
    try:
        frames = traceback.extract_tb(error.__traceback__)
        return storable(f"{frames[-1].filename}:{frames[-1].lineno}") if frames else "?"
    except BaseException:  # as above
        return "?"


def failure_of(error: BaseException) -> str:
    """Return an exception of foreign code for messages: its type and place, and no more.

    Its text may quote a secret or a person's data. Python's own text about imports, syntax and
    names quotes neither, and is shown. Never raises.
    """
    if issubclass(type(error), _PYTHONS_OWN):
        return f"{type_name(error)}: {storable(error)}"
    return f"{type_name(error)} at {place_of(error)}"
