"""Calling the Python code a mapping names: `fn`, `condition`, `validate`.

It belongs to someone else, so it may fail: a failure costs the value it was asked for, is
reported once per place, and reaches nothing else.
"""

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any

from walker_collector.config import MISSING
from walker_collector.errors import ConfigError, EventError, Problem
from walker_collector.events import Bounds, decode, encode
from walker_collector.mapping.pruning import prune
from walker_collector.mapping.scope import Scope

logger = logging.getLogger("walker_collector.mapping")

ScopedFunction = Callable[[Any, Scope], Any]


def guarded(
    function: Callable[..., Any], where: str, *, finish: Callable[[Any], Any], instead: Any
) -> ScopedFunction:
    """Return the function as one that never raises: `instead` is returned for a failure.

    `finish` makes of the answer what is needed; raising there is a failure, too. The first
    failure is logged as an error with `where`, the event's id, and the kind and place of the
    exception; not with its message, which may hold a person's data.
    Raises ConfigError if the function takes neither (value) nor (value, context), or is async.
    """
    call = _with_two_arguments(function, where)
    reported = False

    def run(value: Any, scope: Scope) -> Any:
        nonlocal reported
        try:
            return finish(call(value, scope))
        except Exception as error:
            if not reported:
                reported = True
                _report(error, where, scope)
            return instead

    return run


def as_json(value: Any) -> Any:
    """Return what Python code made as a pruned JSON value, by the rules for events pushed.

    MISSING and None are no value. Raises EventError for what JSON cannot say.
    """
    return MISSING if value is None else prune(as_nullable_json(value))


def as_nullable_json(value: Any) -> Any:
    """Return what Python code made as a JSON value, nulls and all; MISSING is no value."""
    if value is None or value is MISSING:
        return value
    return decode(encode({"value": value}, Bounds())).get("value", MISSING)


def _report(error: Exception, where: str, scope: Scope) -> None:
    logger.error(
        "%s: %s; it has no value for event %s (further failures here are not logged)",
        where,
        _describe(error),
        scope.event.get("id"),
    )


def _describe(error: Exception) -> str:
    if isinstance(error, EventError):  # from `as_json`; its text is the collector's own
        return f"the answer is no JSON: {error}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} raised in {place.name} at {place.filename}:{place.lineno}"


def _with_two_arguments(function: Callable[..., Any], where: str) -> ScopedFunction:
    if inspect.iscoroutinefunction(function):
        raise ConfigError([Problem(where, "is async; a mapping calls plain functions")])
    if _takes_context(function, where):
        return function
    return lambda value, scope: function(value)


def _takes_context(function: Callable[..., Any], where: str) -> bool:
    """Whether a second argument is asked for: by being required, by its name, or by `*args`."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-ins (int, str) do not say; all useful ones take the value
        return False
    positional = [p for p in signature.parameters.values() if p.kind in _POSITIONAL]
    second = positional[1:2]
    wanted = any(p.default is p.empty or p.name == "context" for p in second) or any(
        p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()
    )
    try:
        signature.bind(*([None, None] if wanted else [None]))
    except TypeError:
        message = f"must take (value) or (value, context), not {signature}"
        raise ConfigError([Problem(where, message)]) from None
    return wanted


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
