"""JSON over HTTP, by urllib3: one request, and what became of it."""

import re
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import urllib3

from walker_collector.destinations.answers import NotNow, failure
from walker_collector.destinations.payload import to_json
from walker_collector.errors import DestinationDown

_READ_AT_MOST = 65_536
"""Bytes of an answer that are read, to use its connection again; longer ones are cut off."""


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def web_address(_: Any, __: Any, value: str) -> None:
    """Refuse, as a validator, what is no address of the web."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://host/... or https://host/...")


def sendable(_: Any, __: Any, headers: Mapping[str, str]) -> None:
    """Refuse, as a validator, headers that cannot be sent."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if not _HEADER_VALUE.fullmatch(str.__str__(value)):
            raise ValueError(f"the value of {name} has characters that a header cannot carry")


class Sender:
    """Sends JSON values to one URL. Raises `Rejected`, `RetryLater` or `DestinationDown`."""

    def __init__(
        self,
        url: str,
        *,
        method: str,
        headers: Mapping[str, str],
        timeout: float,
        ca_file: str | None,
        connections: int,
    ) -> None:
        parts = urlsplit(url)
        self._url = urlunsplit(parts._replace(netloc=_host(parts), fragment=""))
        self._shown = shown(url)
        self._method = method
        self._headers = _headers(parts, headers)
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(total=timeout),
            ssl_context=_trust(ca_file),
        )

    def send(self, value: Any) -> None:
        """Send one value; returns when it was taken."""
        body = to_json(value)
        try:
            response = self._pool.request(
                self._method,
                self._url,
                body=body,
                headers=self._headers,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.SSLError as error:
            raise self._distrust(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise NotNow(f"{self._shown} did not answer: {type(error).__name__}") from None
        _finish(response)
        retry_after = response.headers.get("Retry-After")
        refusal = failure(response.status, retry_after, self._shown, time.time())
        if refusal is not None:
            raise refusal

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _distrust(self, error: urllib3.exceptions.SSLError) -> Exception:
        cause = error.args[0] if error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = f"{self._shown}: its certificate is not trusted ({cause.verify_message})"
            return DestinationDown(f"{reason}; set caFile to the authority that signed it")
        return NotNow(f"{self._shown} did not answer: SSLError")


def shown(url: str) -> str:
    """Return the URL without what may be a credential: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, _host(parts), parts.path, "", ""))


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _headers(parts: SplitResult, given: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to send; the given ones win, whatever their case."""
    headers = urllib3.HTTPHeaderDict(
        {"Content-Type": "application/json", "User-Agent": "walker-collector"}
    )
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.update(urllib3.make_headers(basic_auth=login))
    for name, value in given.items():
        headers[name] = str.__str__(value)
    return dict(headers)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise DestinationDown(f"caFile {ca_file}: not a PEM file of certificates") from None
    except OSError as error:
        raise DestinationDown(f"caFile {ca_file}: {error.strerror}") from None


def _finish(response: urllib3.BaseHTTPResponse) -> None:
    """Read the rest of a short answer, so that its connection can be used again."""
    try:
        response.read(_READ_AT_MOST)
        if response.read(1):
            response.close()
    except urllib3.exceptions.HTTPError:
        response.close()  # the status has already said what became of the event
    response.release_conn()
