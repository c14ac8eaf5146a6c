"""A time limit for hooks that may hang: the call runs on a thread that can be left behind."""

import threading
from collections.abc import Callable
from typing import Any, Final

from walker_collector.errors import DestinationDown, PartDown, RetryLater

_GIVEN_UP_MAX: Final = 8
"""Hanging threads of one destination; more are not started."""


class TimeLimit:
    """Calls the hooks of one destination, each for at most `seconds`.

    Python cannot stop a thread, so a hanging one is left behind.
    """

    def __init__(self, destination: str, seconds: float) -> None:
        self._name = f"walker-{destination}-call"
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._given_up: list[threading.Thread] = []
        self.running: set[int] = set()
        """The identifiers of the threads that are inside a hook."""
        self._lock = threading.Lock()

    def __call__(self, hook: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a hook and return its result, or raise RetryLater after the time limit.

        Raises DestinationDown instead of starting another thread while too many hang.
        """
        with self._lock:
            self._given_up = [thread for thread in self._given_up if thread.is_alive()]
            hanging = len(self._given_up)
        if hanging >= _GIVEN_UP_MAX:
            raise DestinationDown(
                f"{hanging} calls have not returned within {self._seconds:g} s; "
                "set a time limit in the plugin's own client"
            )
        answer: list[Any] = []
        error: list[BaseException] = []

        def run() -> None:
            me = threading.get_ident()
            self.running.add(me)
            try:
                answer.append(hook(*args, **kwargs))
            except BaseException as raised:  # handed to the caller, whatever it is
                error.append(raised)
            finally:
                self.running.discard(me)

        thread = threading.Thread(target=run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as refused:  # too many threads: no fault of the event's
            raise PartDown(f"no thread for the call: {refused}") from None
        thread.join(self._seconds)
        if thread.is_alive():
            with self._lock:
                self._given_up.append(thread)
            raise RetryLater(f"no answer within {self._seconds * 1000:g} ms (timeout)")
        if error:
            raise error[0]
        return answer[0]
