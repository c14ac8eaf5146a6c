"""Calls with missing or unknown arguments: the error has the right call."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from walker_collector.errors import ConfigError, EventError, WalkerError

C = TypeVar("C", bound=type)
P = ParamSpec("P")
T = TypeVar("T")

MISSING: Final[Any] = object()
"""Stands for an argument that was not given."""
_USER: Final = '{"id": "u1"}'
_CONSENT: Final = '({"marketing": True}, user={"id": "u1"})'
_FLOW: Final = 'Collector.from_file("flow.json") or Collector.from_config({...})'
_RIGHT: Final[Mapping[str, str]] = {
    "__init__": _FLOW,
    "from_file": 'Collector.from_file("flow.json")',
    "from_config": "Collector.from_config({...})",
    "push_many": "push_many([event])",
    "apush_many": "apush_many([event])",
    "push_from": 'push_from("web", [event])',
    "consent": f"consent{_CONSENT}",
    "aconsent": f"aconsent{_CONSENT}",
    "user": f"user({_USER})",
    "globals": 'globals({"language": "en"})',
    "forget": f"forget({_USER})",
    "aforget": f"aforget({_USER})",
    "forget_soon": f"forget_soon({_USER})",
    "status": "status()",
    "status_of": 'status_of("customerio")',
    "dead": "dead()",
    "replay": "replay(collector.dead())",
    "bury": "bury(collector.dead())",
    "flush": "flush(timeout=10)",
    "aflush": "aflush(timeout=10)",
    "close": "close(timeout=10)",
    "aclose": "aclose(timeout=10)",
}
"""The right call of each method."""
_EACH: Final = "push(event, connection=...) for each event"
_STATED: Final = 'push("walker consent", data={...}, user={"id": "u1"}, connection=...)'
_AFTERWARDS: Final = f"forget({_USER}) after the commit: an erasure is no part of a transaction"
_IN_TRANSACTION: Final[Mapping[str, str]] = {
    "push_many": _EACH,
    "apush_many": _EACH,
    "push_from": _EACH,
    "consent": _STATED,
    "aconsent": _STATED,
    "forget": _AFTERWARDS,
    "aforget": f"a{_AFTERWARDS}",
}
"""The right call of each method that was given the connection of an application."""


def answering_wrong_calls(cls: C) -> C:
    """Decorate a class: calls that Python refuses raise an error with the right call."""
    for name in _RIGHT.keys() & vars(cls).keys():
        method = vars(cls)[name]
        if isinstance(method, classmethod):
            setattr(cls, name, classmethod(_answering(method.__func__, _refusal(name))))
        else:
            setattr(cls, name, _answering(method, _refusal(name)))
    for name in ("push", "apush"):
        if name in vars(cls):
            # At run time alone: type checkers refuse a push of nothing, and `raw_event` answers it,
            # as a wrapper would cost each push.
            vars(cls)[name].__defaults__ = (MISSING,)
    return cls


def answering(right: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function: calls that Python refuses raise EventError with the right call."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        name = function.__name__
        return _answering(function, lambda wrong: EventError(f"{name}: {wrong}; write {right}"))

    return decorate


def _answering(
    method: Callable[..., Any], refusal: Callable[[str], WalkerError]
) -> Callable[..., Any]:
    signature = inspect.signature(method)

    def check(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise the answer to wrong arguments."""
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise refusal(str(error)) from None

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            try:
                return await method(*args, **kwargs)
            except TypeError:
                check(args, kwargs)
                raise

        return acall

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except TypeError:
            check(args, kwargs)
            raise

    return call


def _refusal(name: str) -> Callable[[str], WalkerError]:
    """Return the function that makes the error of a method from a mistake."""
    right = _RIGHT[name]
    if name == "__init__":
        return lambda wrong: ConfigError(f"Collector: {wrong}; write {right}")
    if name in ("from_file", "from_config"):
        return lambda wrong: ConfigError(f"Collector.{name}: {wrong}; write {right}")

    def refused(wrong: str) -> WalkerError:
        instead = _IN_TRANSACTION.get(name) if "'connection'" in wrong else None
        return EventError(f"{name}: {wrong}; write {instead or right}")

    return refused
