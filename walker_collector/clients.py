"""A kit for plugins that are clients of a service: pace, Retry-After, statuses, checks of settings.

    from walker_collector.clients import RateLimiter, error_for_status, failure_text, retry_after

The collector's own destinations use it as well.
"""

import math
import time
from collections.abc import Callable
from datetime import UTC
from threading import Lock
from typing import TYPE_CHECKING, Final

from walker_collector.errors import DestinationDown, Rejected, RetryLater
from walker_collector.validators import (
    Validator,
    at_least,
    between,
    credential,
    filled,
    https_origin,
    positive,
    request_timeout,
    sendable_headers,
    web_address,
)

if TYPE_CHECKING:
    import ssl

    from walker_collector.bounded_http import (
        BoundedConnection,
        ResponseTooLong,
        bound_pools,
        call_within,
    )
    from walker_collector.explanations import explanation, known_words, listed
    from walker_collector.network_errors import causes_of, failure_text

__all__ = [
    "BoundedConnection",
    "RateLimiter",
    "ResponseTooLong",
    "Validator",
    "at_least",
    "between",
    "bound_pools",
    "call_within",
    "causes_of",
    "credential",
    "error_for_status",
    "explanation",
    "failure_text",
    "filled",
    "https_origin",
    "known_words",
    "listed",
    "positive",
    "request_timeout",
    "retry_after",
    "sendable_headers",
    "tls_context",
    "web_address",
]

DAY: Final = 86_400.0


def __getattr__(name: str) -> object:
    """Return a name of another module, imported late: most processes do not need it."""
    if name in ("BoundedConnection", "ResponseTooLong", "bound_pools", "call_within"):
        from walker_collector import bounded_http

        return getattr(bounded_http, name)
    if name in ("causes_of", "failure_text"):
        from walker_collector import network_errors

        return getattr(network_errors, name)
    if name in ("explanation", "known_words", "listed"):
        from walker_collector import explanations

        return getattr(explanations, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class RateLimiter:
    """A token bucket: at most `rate` calls per second, in bursts of up to a tenth of a second.

        limiter = RateLimiter(100)
        limiter.wait()      # before each call

    One limiter may be shared by several threads. `share` returns the part of the rate that is this
    process's, as several may deliver to one destination: see `Context.share`. `clock` (monotonic,
    s) and `sleep` are for tests. Raises ValueError unless the rate is a number above 0.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        if not 0 < rate < math.inf:
            raise ValueError(f"a rate is a number above 0, not {rate}")
        self._rate = rate
        self._get_share = share
        self._last_share = 1.0
        self._is_new = True
        self._tokens = max(1.0, rate / 10)
        self._clock = clock
        self._sleep = sleep
        self._filled_at = clock()
        self._lock = Lock()

    def reserve(self) -> float:
        """Take the next turn, and return the seconds until it comes: 0 to go at once."""
        with self._lock:
            now = self._clock()
            # Nothing is this process's any more: the last calls go on as they began.
            share = self._get_share() or self._last_share
            # Where the share has changed, it may have been the smaller one all the time.
            rate = self._rate * min(share, self._last_share)
            refilled = self._tokens + (now - self._filled_at) * rate
            if self._is_new and share < 1:  # the others may just have had the burst
                refilled = 1.0
            self._last_share, self._filled_at, self._is_new = share, now, False
            # A bucket below one token would never let a call through.
            burst = max(1.0, self._rate * share / 10)
            # Below zero are the turns of callers that wait already: the next one queues behind.
            self._tokens = min(burst, refilled) - 1
            return max(0.0, -self._tokens / (self._rate * share))

    def wait(self) -> None:
        """Take the next turn, and sleep until it comes."""
        delay = self.reserve()
        if delay > 0:
            self._sleep(delay)


def retry_after(value: str | None, now: float, longest: float = DAY) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; None if it asks for none.

    The header is a number of seconds or a date (RFC 9110, section 10.2.3); any other text counts
    as no header. `now` is the time in seconds since 1970. The result is never below 0 and never
    above `longest`.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        # isdigit alone is true of digits of other scripts, which are no number in HTTP.
        seconds = float(text) if text.isascii() and text.isdigit() else _unix(text) - now
    except (ValueError, TypeError, IndexError, OverflowError):  # no date, or none of a calendar
        return None
    return min(max(seconds, 0.0), longest)


def _unix(date: str) -> float:
    # The import takes 10 ms, and most processes never meet a date.
    from email.utils import parsedate_to_datetime

    moment = parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_REFUSALS: Final = frozenset(
    {400, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416, 417, 422, 424, 428, 431, 451}
)
"""Statuses about the request itself (RFC 9110 and the registry of statuses)."""
_CREDENTIALS: Final = {
    401: "the credentials were not accepted",
    403: "the credentials give no right to this",
}


def error_for_status(
    status: int,
    reason: str,
    after: float | None = None,
    *,
    credentials: str = "check the credentials",
    address: str = "check the address",
) -> Rejected | RetryLater | DestinationDown | None:
    """Return the error that an HTTP status means for an event, or None for success (2xx).

    Rejected: statuses by which a service refuses this request, such as 400, 404, 413 and 422.
    DestinationDown: 401, 403, and redirects (3xx), which no client should follow with credentials.
    RetryLater: all others, such as 408, 429 and 5xx; an odd status says nothing about the event.
    Statuses with a meaning of their own at a service are for the caller to handle before.

    reason: text for logs and dead letters, such as "the service answered 503", without event data.
    after: seconds to wait before the retry, see `retry_after`.
    credentials, address: advice for whoever must mend it; name the settings.
    """
    if 200 <= status < 300:
        return None
    if status in _CREDENTIALS:
        return DestinationDown(f"{reason}: {_CREDENTIALS[status]}; {credentials}")
    if 300 <= status < 400:
        return DestinationDown(f"{reason}: redirects are not followed; {address}")
    return Rejected(reason) if status in _REFUSALS else RetryLater(reason, after)


def tls_context(ca_file: str | None, setting: str = "caFile") -> "ssl.SSLContext":
    """Return a TLS context that trusts the authorities of a PEM file, or of the system if None.

    Raises DestinationDown, which names the setting, if the file cannot be read or has no
    certificate.
    """
    import ssl  # slow to import as well

    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise DestinationDown(f"{setting}: {ca_file}: not a PEM file of certificates") from None
    except OSError as error:
        raise DestinationDown(f"{setting}: {ca_file}: {error.strerror}") from None
