"""Calls of the Python functions that a mapping names: `fn`, `condition`, `validate`.

They are the user's code, so they may fail. A failure costs one value and nothing else; it is
logged once per place in the flow.
"""

import inspect
from collections.abc import Callable
from typing import Any

from walker_collector.config import MISSING
from walker_collector.error_details import failure_of
from walker_collector.errors import ConfigError, EventError, Problem
from walker_collector.events import Bounds, decode, encode
from walker_collector.mapping.pruning import prune
from walker_collector.mapping.scope import Resolve, Scope
from walker_collector.text import get_logger
from walker_collector.tracebacks import HINT, attachment, is_wanted

logger = get_logger("walker_collector.mapping")


def guarded(
    function: Callable[..., Any], where: str, *, finish: Callable[[Any], Any], instead: Any
) -> Resolve:
    """Wrap a function so that it never raises, but returns `instead` when it fails.

    `finish` converts the result; an exception there counts as a failure too. The first failure is
    logged as an error with `where`, the event's id, and the type and place of the exception. Its
    message stays out of the log, as it may hold a person's data.
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
    """Convert a function's result to a pruned JSON value, by the rules for pushed events.

    MISSING and None are no value. Raises EventError if the result is not JSON.
    """
    return MISSING if value is None else prune(as_nullable_json(value))


def as_nullable_json(value: Any) -> Any:
    """Convert a function's result to a JSON value and keep its nulls; MISSING is no value."""
    if value is None or value is MISSING:
        return value
    # Through the encoder of events, so that depth, size and types have the same rules as theirs.
    return decode(encode({"value": value}, Bounds())).get("value", MISSING)


def _report(error: Exception, where: str, scope: Scope) -> None:
    logger.error(
        "%s: %s; event %s gets no value from it (further failures here are not logged)%s",
        where,
        _describe(error),
        scope.event.get("id"),
        "" if is_wanted(logger) else HINT,
        extra=attachment(logger, error),
    )


def _describe(error: Exception) -> str:
    if isinstance(error, EventError):  # from `as_json`; its text is the collector's own
        return f"the answer is no JSON: {error}"
    return f"raised {failure_of(error)}"


def _with_two_arguments(function: Callable[..., Any], where: str) -> Resolve:
    if inspect.iscoroutinefunction(function):
        raise ConfigError([Problem(where, "is async; a mapping calls plain functions")])
    if _takes_context(function, where):
        return function
    return lambda value, scope: function(value)


def _takes_context(function: Callable[..., Any], where: str) -> bool:
    """Return whether a function wants the context as its second argument.

    It does if the argument is required or named `context`, or if there is `*args`.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-ins (int, str) have no signature; useful ones take the value
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
