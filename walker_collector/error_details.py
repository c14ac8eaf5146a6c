"""Reason, wait and place of a plugin's exception, even if its class has odd attributes."""

import traceback
from typing import Any

from walker_collector.text import storable


def reason_of(error: BaseException) -> str:
    """Return the reason of one of the collector's errors; never empty, never raises."""
    reason: Any = getattr(error, "reason", None)
    return storable(error if reason is None else reason) or type(error).__name__


def after_of(error: BaseException) -> float | None:
    """Return the wait (s) that an error asks for, if it is a number."""
    after: Any = getattr(error, "after", None)
    return after if isinstance(after, int | float) else None


def place_of(error: BaseException) -> str:
    """Return file and line where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"


def failure_of(error: BaseException) -> str:
    """Return an exception of foreign code for messages: its type and place, and no more.

    Its text may quote a secret or a person's data. Python's own text about imports, syntax and
    names quotes neither, and is shown.
    """
    if isinstance(error, ImportError | SyntaxError | AttributeError | NameError):
        return f"{type(error).__name__}: {storable(error)}"
    return f"{type(error).__name__} at {place_of(error)}"
