"""Requests and responses as plain values, for any server in front."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import orjson
from attrs import define, field

RETRY_AFTER: Final = {"Retry-After": "1"}
"""The header of an answer that asks its sender to come again, in seconds."""
_JSON: Final = "application/json; charset=utf-8"


@define(eq=False)  # not frozen, as one is made per request
class Request:
    """A request. `path` is without its query; header names are in lower case. `root` is the path
    that the application is mounted at.

    `client` is the address that the request comes from, "" if that is unknown.
    """

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    client: str = field(default="", repr=False)
    root: str = ""

    @classmethod
    def of(
        cls,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | str,
        client: str = "",
    ) -> "Request":
        """Return the request to a target, a path that may have a query."""
        path, _, query = target.partition("#")[0].partition("?")
        if "://" in path and not path.startswith("/"):  # a whole URL, as a proxy gets it
            path = "/" + path.partition("://")[2].partition("/")[2]
        lowered = {name.lower(): value for name, value in headers.items()}
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        return cls(method.upper(), unquote(path), query, lowered, raw, client)


@define(eq=False)  # not frozen, as some are made per request
class Response:
    """An answer: status, headers, body."""

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""

    def with_headers(self, more: Mapping[str, str]) -> "Response":
        """Return the answer with further headers."""
        return Response(self.status, {**self.headers, **more}, self.body)


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(status, {"Content-Type": _JSON, **(headers or {})}, orjson.dumps(body))


def raw_response(response: Response, more: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Return an answer as it is sent, by HTTP/1.1, with `more` headers."""
    head = _head(response.status, *response.headers.items())
    lines = b"".join([b"%b: %b\r\n" % header for header in more])
    body = response.body
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, lines, len(body), body)


@lru_cache(maxsize=256)
def _head(status: int, *headers: tuple[str, str]) -> bytes:
    """Return the lines that are the same for many answers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}"
    return head.encode("latin-1", "replace")


class RequestRejected(Exception):
    """The request is refused: with a status, a message for its author, and more headers.

    To be made for each request: an exception that is raised again keeps what every raise met.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}

    @property
    def code(self) -> str:
        """A word for programs, from the status: `bad_request`."""
        return HTTPStatus(self.status).phrase.lower().replace(" ", "_").replace("-", "_")


class NotStored(RequestRejected):
    """An event is not accepted for a reason that passes: its sender is to send it again."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message, RETRY_AFTER)


def no_room() -> NotStored:
    """Return the refusal of events that find no room."""
    return NotStored(429, "there is no room just now")
