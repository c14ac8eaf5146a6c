"""What the answer of a web server means for the event that was sent."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from walker_collector.errors import DestinationDown, Rejected, RetryLater

_REFUSED = {
    401: "the credentials were not accepted; check headers and url",
    403: "the credentials give no right to this; check headers and url",
}


class NotNow(RetryLater):
    """A failure that concerns every event, not the one that was sent."""


def failure(status: int, retry_after: str | None, where: str, now: float) -> Exception | None:
    """Return the error for an HTTP status, or None for success.

    `retry_after` is the header of that name, `now` the time in s since the epoch. The message
    has the status only: a body may repeat what was sent.
    """
    reason = f"{where} answered {status}"
    if 200 <= status < 300:
        return None
    if status == 429:
        return NotNow(reason, seconds(retry_after, now))
    if status == 408 or status >= 500:
        return RetryLater(reason, seconds(retry_after, now))
    if status in _REFUSED:
        return DestinationDown(f"{reason}: {_REFUSED[status]}")
    if status < 400:
        return DestinationDown(f"{reason}: redirects are not followed; set url to where it points")
    return Rejected(reason)


def seconds(retry_after: str | None, now: float) -> float | None:
    """Return the wait (s) that Retry-After asks for, given as seconds or as a date (RFC 9110)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)
