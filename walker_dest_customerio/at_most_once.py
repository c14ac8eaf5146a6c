"""Calls that must never be made twice, across retries and crashes.

The App API cannot detect duplicates, so a message is sent again only if no earlier attempt can have
had an effect. An attempt is recorded as begun before the call. If its result is unknown it stays
begun, so that a later attempt or a replay knows that the message may have been sent.
"""

from collections.abc import Callable, Sequence

from walker_collector import DestinationDown, Progress, Rejected, RetryLater
from walker_dest_customerio.responses import NotProcessed


class InDoubt(Rejected):
    """A message that may have been sent, and is not sent again; `cause` is the original error."""

    def __init__(self, reason: str, cause: RetryLater | None = None) -> None:
        self.cause = cause
        super().__init__(
            f"the message may have been sent ({reason}), so it is not sent again; "
            "check in Customer.io whether it was"
        )


class RestLater(RetryLater):
    """A failure that leaves the rest of an event to a retry, beside messages in doubt.

    `cause` is the original error.
    """

    def __init__(self, cause: RetryLater, in_doubt: Sequence[str]) -> None:
        self.cause = cause
        parts = " and ".join(in_doubt)
        reason = f"{cause.reason}; {parts} may have been sent, and will not be sent again"
        super().__init__(reason, cause.after)


def at_most_once(part: str, progress: Progress | None, call: Callable[[], object]) -> None:
    """Make the call unless an earlier attempt may have had an effect.

    Raises InDoubt if an effect of this or an earlier attempt cannot be excluded, else the error of
    the call.
    """
    if progress is None:
        _try(call)
        return
    if progress.state(part) == "begun":
        raise InDoubt("an earlier attempt was cut off, or got no answer")
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
