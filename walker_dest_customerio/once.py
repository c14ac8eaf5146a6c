"""Calls that must never be made twice, over retries and crashes.

The App API knows no repetition, so a message is sent again only where it is certain that no earlier
try had an effect. Each try leaves its mark before it begins, and another if it surely came to
nothing: the first under the part's own name, later ones numbered.
"""

from collections.abc import Callable, Iterator
from itertools import count

from walker_collector import DestinationDown, Progress, Rejected, RetryLater
from walker_dest_customerio.answers import Refused, Untaken


def once(part: str, progress: Progress | None, call: Callable[[], object]) -> None:
    """Make the call, unless an earlier try of it may have had an effect.

    Raises Rejected where that cannot be excluded, now or later; what the call raises where it
    surely had none.
    """
    if progress is None:
        _try(call)
        return
    name = _next_try(part, progress)
    progress.begin(name)
    try:
        _try(call)
    except (Untaken, Refused, DestinationDown):
        progress.finish(_void(name))
        raise
    progress.finish(part)


def _try(call: Callable[[], object]) -> None:
    try:
        call()
    except Untaken:
        raise
    except RetryLater as error:
        raise Rejected(_doubt(error.reason)) from None


def _next_try(part: str, progress: Progress) -> str:
    name = next(name for name in _tries(part) if progress.state(_void(name)) != "done")
    if progress.state(name) is not None:
        raise Rejected(_doubt("an earlier try was interrupted"))
    return name


def _tries(part: str) -> Iterator[str]:
    yield part
    yield from (f"{part} {number}" for number in count(2))


def _void(name: str) -> str:
    return f"{name} came to nothing"


def _doubt(reason: str) -> str:
    return (
        f"the message may have been sent ({reason}), so it is not sent again; "
        "look in Customer.io whether it was"
    )
