"""Calls with missing or unknown arguments: the error says what to write instead."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from walker_collector.errors import ConfigError, EventError, WalkerError

C = TypeVar("C", bound=type)

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


def answering_wrong_calls(cls: C) -> C:
    """Decorate a class: calls that Python refuses raise an error with the right call."""
    for name in _RIGHT.keys() & vars(cls).keys():
        method = vars(cls)[name]
        if isinstance(method, classmethod):
            setattr(cls, name, classmethod(_answering(method.__func__, name)))
        else:
            setattr(cls, name, _answering(method, name))
    for name in ("push", "apush"):
        if name in vars(cls):
            # At run time alone: type checkers refuse a push of nothing, and `raw_event` answers it,
            # as a wrapper would cost each push.
            vars(cls)[name].__defaults__ = (MISSING,)
    return cls


def _answering(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    signature = inspect.signature(method)

    def check(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise the answer to wrong arguments."""
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _wrong_call(name, str(error)) from None

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


def _wrong_call(name: str, wrong: str) -> WalkerError:
    if name == "__init__":
        return ConfigError(f"Collector: {wrong}; write {_RIGHT[name]}")
    if name in ("from_file", "from_config"):
        return ConfigError(f"Collector.{name}: {wrong}; write {_RIGHT[name]}")
    return EventError(f"{name}: {wrong}; write {_RIGHT[name]}")
