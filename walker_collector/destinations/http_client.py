"""JSON over HTTP, by urllib3: one request, and the error that its failure means."""

import ssl
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

import urllib3

from walker_collector.clients import (
    BoundedConnection,
    bound_pools,
    call_within,
    error_for_status,
    explanation,
    retry_after,
    tls_context,
)
from walker_collector.config import Secret
from walker_collector.destinations.payload import to_json
from walker_collector.errors import DestinationDown, Rejected, RetryLater, Untested, WalkerError
from walker_collector.network_errors import causes_of, failure_text

_READ_MAX: Final = 65_536
"""Bytes of a response that are read, so that its connection can be reused."""
_Answer = tuple[int, str | None, bytes]
"""Status, Retry-After and body of a response."""
_CONCEALED_MIN: Final = 8
_TOKEN_MIN: Final = 16
"""Characters of a step in a path that may be a token; a shorter one guards nothing."""


class ServiceUnavailable(RetryLater):
    """A transient failure that concerns every event, not the one that was sent."""


class HttpClient:
    """Sends JSON values to one URL. Raises `Rejected`, `RetryLater` or `DestinationDown`."""

    def __init__(
        self,
        url: str,
        *,
        method: str,
        headers: Mapping[str, Secret],
        timeout: float,
        ca_file: str | None,
        connections: int,
    ) -> None:
        parts = urlsplit(url)
        target = urlunsplit(parts._replace(netloc=_host(parts), fragment=""))
        to_send = _headers(parts, headers)
        pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(total=timeout),
            ssl_context=tls_context(ca_file),
        )
        bound_pools(pool, BoundedConnection)

        def request(verb: str, body: bytes | None) -> _Answer:
            with call_within(timeout):
                response = pool.request(
                    verb,
                    target,
                    body=body,
                    headers=to_send,
                    redirect=False,
                    preload_content=False,
                )
                return response.status, response.headers.get("Retry-After"), _finish(response)

        # The credentials in URL and headers are in the function alone: not in `vars` or a pickle.
        self._request = request
        self._method = method
        self._pool = pool
        self._shown = shown(url)
        self._timeout = timeout

    def send(self, value: Any) -> None:
        """Send one value, and return when the service has accepted it."""
        status, wait, body = self._respond(self._method, to_json(value))
        if 200 <= status < 300:
            return
        refused = 400 <= status < 500
        failure = failure_of(
            self._shown, status, wait, time.time(), explanation(body, value) if refused else ""
        )
        if failure is not None:
            raise failure

    def check(self) -> None:
        """Ask the service without sending an event; raise the failure that a person has to mend.

        Services that take events only often know none of these methods. So a 405 or 501 proves
        nothing but the address, and only where both find nothing is there nothing at the address.
        Raises Untested for such answers; many services ask for no credentials before OPTIONS.
        """
        method, (status, *_) = "HEAD", self._respond("HEAD", None)
        if status == 404:
            method, (status, *_) = "OPTIONS", self._respond("OPTIONS", None)
        if status in (404, 410):
            raise DestinationDown(f"{self._shown} answered {status}: nothing is there; check url")
        failure = None if status == 501 else failure_of(self._shown, status, None, time.time())
        if failure is not None and not isinstance(failure, Rejected):
            raise failure
        if failure is not None or status == 501 or method == "OPTIONS":
            raise Untested(
                f"{self._shown} answered {status} to {method}; an event will show whether path "
                "and credentials are right"
            )

    def _respond(self, method: str, body: bytes | None) -> _Answer:
        try:
            return self._request(method, body)
        except Exception as error:  # whatever is wrong with an answer, no event is to blame
            raise self._no_response(error) from None

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _no_response(self, error: Exception) -> Exception:
        reason = failure_text(error, self._shown, self._timeout)
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes_of(error)):
            return DestinationDown(f"{reason}; set caFile to the authority that signed it")
        return ServiceUnavailable(reason)


def failure_of(
    where: str, status: int, wait: str | None, now: float, words: str = ""
) -> WalkerError | None:
    """Return the error that a response means, or None for success.

    `wait` is its Retry-After header, `now` the time in s since 1970, `words` the service's
    explanation, without what may be data.
    """
    error = error_for_status(
        status,
        f"{where} answered {status}" + (f": {words}" if words else ""),
        retry_after(wait, now),
        credentials="check headers and url",
        address="set url to where it points",
    )
    if status == 429 and isinstance(error, RetryLater):
        return ServiceUnavailable(error.reason, error.after)
    return error


def shown(url: str) -> str:
    """Return the URL without the parts that may be credentials: user, password, query, tokens."""
    parts = urlsplit(url)
    path = "/".join("***" if _is_token(step) else step for step in parts.path.split("/"))
    return urlunsplit((parts.scheme, _host(parts), path, "", ""))


def _is_token(step: str) -> bool:
    """Return whether a step of a path looks like a token, as webhooks have them in their URLs."""
    return len(step) >= _TOKEN_MIN and any(char.isdigit() for char in step)


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _conceal(*texts: str | None) -> None:
    """Have texts struck out of reasons, as secrets are; short ones may be usual words."""
    for text in texts:
        if text and len(text) >= _CONCEALED_MIN:
            Secret(text)


def _headers(parts: SplitResult, given: Mapping[str, Secret]) -> dict[str, str]:
    """Return the headers to send; given ones replace the defaults in any case of letters."""
    headers = urllib3.HTTPHeaderDict(
        {"Content-Type": "application/json", "User-Agent": "walker-collector"}
    )
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.update(urllib3.make_headers(basic_auth=login))
        _conceal(parts.password, unquote(parts.password or ""), headers["Authorization"][6:])
    words = (*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)))
    _conceal(*filter(_is_token, words))
    for name, value in given.items():
        headers[name] = value.reveal()
    return dict(headers)


def _finish(response: urllib3.BaseHTTPResponse) -> bytes:
    """Read and return the body of a short response, so that its connection can be used again.

    As it came: the status alone decides the event's fate, so nothing is unpacked.
    """
    body = b""
    try:
        body = response.read(_READ_MAX, decode_content=False)
        if response.read(1, decode_content=False):
            response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        response.close()
    response.release_conn()
    return body
