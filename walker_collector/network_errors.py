"""Causes of requests without a response, in words for operators.

No text of an exception is quoted but the operating system's: it may hold a URL with credentials, or
words of the other side.
"""

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import urlsplit


def failure_text(error: BaseException, place: str, timeout: float | None = None) -> str:
    """Return why there is no response from `place`, a host with its port, or a URL.

    `error` may be an exception of urllib3, httpx, requests or the standard library, with the cause
    inside. `timeout`: the limit (s) of the request.
    """
    found = list(causes_of(error))
    cause = next((item for item in reversed(found) if _is_telling(item)), found[-1])
    if isinstance(cause, socket.gaierror):
        return f"cannot resolve {urlsplit(place).hostname or place}: {cause.strerror}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {place} is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS connection to {place}: {cause.reason or type(cause).__name__}"
    if isinstance(cause, ConnectionRefusedError):
        return f"{place} refused the connection"
    if isinstance(cause, TimeoutError):
        within = "" if timeout is None else f" within {timeout:g} s"
        return f"no answer from {place}{within}"
    if isinstance(cause, ConnectionError):
        return f"{place} closed the connection"
    if isinstance(cause, HTTPException):
        return f"{place} answered with something that is not HTTP"
    if isinstance(cause, OSError) and cause.strerror:
        return f"no connection to {place}: {cause.strerror}"
    return f"no answer from {place}: {type(cause).__name__}"


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those inside it, from the outermost to the first cause."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        cause = left.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inside = [item for item in cause.args if isinstance(item, BaseException)]
        left += [cause.__context__, cause.__cause__, *inside, getattr(cause, "reason", None)]


def _is_telling(cause: BaseException) -> bool:
    return isinstance(cause, TimeoutError) or (isinstance(cause, OSError) and bool(cause.errno))
