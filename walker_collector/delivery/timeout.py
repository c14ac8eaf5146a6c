"""A time limit for a hook that may hang: it runs on a thread that can be given up."""

import threading
from collections.abc import Callable
from typing import Any

from walker_collector.errors import DestinationDown, RetryLater

_GIVEN_UP_MAX = 8
_given_up: dict[str, list[threading.Thread]] = {}
_lock = threading.Lock()


def call_within(
    seconds: float, destination: str, hook: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Call a hook and return its answer, or raise RetryLater after `seconds`.

    Python cannot stop a thread: one that hangs is left behind. When several of one destination
    hang, DestinationDown is raised before another is started.
    """
    with _lock:
        hanging = [thread for thread in _given_up.get(destination, []) if thread.is_alive()]
        _given_up[destination] = hanging
    if len(hanging) >= _GIVEN_UP_MAX:
        raise DestinationDown(
            f"{len(hanging)} calls have not returned within {seconds:g} s; "
            "set a time limit in the plugin's own client"
        )
    answer: list[Any] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(hook(*args, **kwargs))
        except BaseException as raised:  # handed to the caller, whatever it is
            error.append(raised)

    thread = threading.Thread(target=run, name=f"walker-{destination}-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        with _lock:
            _given_up[destination].append(thread)
        raise RetryLater(f"no answer within {seconds * 1000:g} ms (timeout)")
    if error:
        raise error[0]
    return answer[0]
