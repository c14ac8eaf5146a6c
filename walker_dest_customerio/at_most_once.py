"""Calls that must never be made twice, over retries and crashes.

The App API knows no repetition, so a message is sent again only where it is certain that no earlier
try had an effect. A try is recorded before it begins. It stays begun where it is in doubt, which is
how a replay knows that the message may have been sent.
"""

from collections.abc import Callable

from walker_collector import DestinationDown, Progress, Rejected, RetryLater
from walker_dest_customerio.responses import NotProcessed


class InDoubt(Rejected):
    """A message that may have been sent: it is not sent again. `cause`: the trouble it met."""

    def __init__(self, reason: str, cause: RetryLater | None = None) -> None:
        self.cause = cause
        super().__init__(
            f"the message may have been sent ({reason}), so it is not sent again; "
            "look in Customer.io whether it was"
        )


def at_most_once(part: str, progress: Progress | None, call: Callable[[], object]) -> None:
    """Make the call, unless an earlier try of it may have had an effect.

    Raises InDoubt where that cannot be excluded, now or later; what the call raises where it
    surely had none.
    """
    if progress is None:
        _try(call)
        return
    if progress.state(part) == "begun":
        raise InDoubt("an earlier try was cut off, or got no answer")
    progress.begin(part)
    try:
        _try(call)
    except InDoubt:
        raise
    except Rejected as error:
        progress.reject(part, error.reason)
        raise
    except (NotProcessed, DestinationDown):
        progress.abandon(part)
        raise
    progress.finish(part)


def _try(call: Callable[[], object]) -> None:
    try:
        call()
    except NotProcessed:
        raise
    except RetryLater as error:
        raise InDoubt(error.reason, error) from None
